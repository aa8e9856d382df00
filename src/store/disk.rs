//! The store in one file of this machine: an append-only log with checksums, and in memory where each
//! record lies. A thread of its own writes behind; reads go to tokio's threads for blocking work.
//!
//! Not an embedded database: of 10,000 damaged files one made redb 4.6, the candidate, abort the
//! process as it was opened, where no `catch_unwind` helps and every start would end the same way. A
//! service must not fail to start because its cache is damaged. Nor is one needed: records are found
//! by key alone, and whatever is lost is asked for again.

mod format;
mod index;
mod log;
mod opening;
mod queue;
mod replay;
mod writer;

use std::{
    fmt,
    fs::File,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, UNIX_EPOCH},
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::{Semaphore, oneshot},
    task::spawn_blocking,
    time::{Instant, timeout},
};

use crate::clock;

use super::{MAX_SEALED, Record, RecordKey, Selection, Store, StoreError, StoreStats};

use index::{Index, Slot};
use queue::Queue;

pub use opening::{Opened, Settings, Unavailable, open};

/// Longest that a caller waits for a read: below what callers themselves allow, or nobody would notice.
/// Some microseconds are usual, so this is a disk in trouble.
const READ_WITHIN: Duration = Duration::from_millis(200);
/// Reads side by side; more would only hold more threads where the disk is slow.
const READS: usize = 16;
/// After a read took too long, all are misses for this long.
const READ_PAUSE: Duration = Duration::from_secs(5);
/// Longest that a caller waits for the writer. A flush of all that can wait takes about a second,
/// and a compaction that is under way is broken off for it.
const WRITE_WITHIN: Duration = Duration::from_secs(5);
/// Longest that dropping a store waits for its last write.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Answers in a file. Dropping it writes what waits.
pub struct DiskStore {
    shared: Arc<Shared>,
    reads: Arc<Semaphore>,
}

/// What readers and the writer share.
struct Shared {
    queue: Queue,
    records: RwLock<Records>,
    count: Count,
    /// When reads may be tried again, in milliseconds since `started`.
    reads_from: AtomicU64,
    started: Instant,
}

/// The places and the file they are in: replaced together.
struct Records {
    index: Index,
    file: Arc<File>,
}

#[derive(Default)]
struct Count {
    bytes: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
    failed_reads: AtomicU64,
    failed_writes: AtomicU64,
}

impl Shared {
    fn new(index: Index, file: Arc<File>) -> Self {
        Self {
            queue: Queue::default(),
            records: RwLock::new(Records { index, file }),
            count: Count::default(),
            reads_from: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    fn records(&self) -> RwLockReadGuard<'_, Records> {
        self.records.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn records_mut(&self) -> RwLockWriteGuard<'_, Records> {
        // Each change of the index is whole before the next one begins.
        self.records.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(&self, index: Index, file: Arc<File>) {
        let new = Records { index, file };
        // A large index takes a while to free: outside the lock.
        let _old = std::mem::replace(&mut *self.records_mut(), new);
    }

    fn dropped(&self, count: usize) {
        self.count.dropped.fetch_add(count as u64, Relaxed);
    }

    fn note_size(&self, bytes: u64) {
        self.count.bytes.store(bytes, Relaxed);
    }

    fn may_read(&self) -> bool {
        self.since_start() >= self.reads_from.load(Relaxed)
    }

    fn pause_reads(&self) {
        let pause = u64::try_from(READ_PAUSE.as_millis()).unwrap_or(0);
        self.reads_from.store(self.since_start() + pause, Relaxed);
    }

    fn since_start(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Reads what lies at these places.
    fn read(&self, file: &File, places: Vec<(usize, RecordKey, Slot)>) -> Vec<(usize, Record)> {
        let mut found = Vec::new();
        for (position, key, slot) in places {
            match log::read(file, slot) {
                Some((theirs, record)) if theirs == key => found.push((position, record)),
                // Another key with the same head.
                Some(_) => {}
                None => {
                    self.count.failed_reads.fetch_add(1, Relaxed);
                    let index = &mut self.records_mut().index;
                    if index.find(&key) == Some(slot) {
                        index.forget(&key);
                    }
                }
            }
        }
        found
    }
}

impl DiskStore {
    /// The records in the file under these keys, with their positions.
    async fn read(&self, keys: Vec<(usize, RecordKey)>) -> Vec<(usize, Record)> {
        let (places, file) = {
            let records = self.shared.records();
            let place = |(position, key)| Some((position, key, records.index.find(&key)?));
            let places: Vec<_> = keys.into_iter().filter_map(place).collect();
            (places, records.file.clone())
        };
        if places.is_empty() {
            return Vec::new();
        }
        let missed = places.len() as u64;
        let (shared, reads) = (self.shared.clone(), self.reads.clone());
        let read = async move {
            // Held by the thread: where reads hang, no more than these threads do.
            let permit = reads.acquire_owned().await.ok()?;
            let read = spawn_blocking(move || {
                let found = shared.read(&file, places);
                drop(permit);
                found
            });
            read.await.ok()
        };
        let found = if self.shared.may_read() {
            timeout(READ_WITHIN, read).await
        } else {
            Ok(None)
        };
        if found.is_err() {
            self.shared.pause_reads();
        }
        found.ok().flatten().unwrap_or_else(|| {
            self.shared.count.failed_reads.fetch_add(missed, Relaxed);
            Vec::new()
        })
    }
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStore")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Store for DiskStore {
    fn get<'a>(&'a self, keys: &'a [RecordKey]) -> BoxFuture<'a, Vec<Option<Record>>> {
        Box::pin(async move {
            let mut found: Vec<_> = keys.iter().map(|key| self.shared.queue.find(key)).collect();
            let missing = keys.iter().copied().enumerate();
            let missing = missing.zip(&found).filter(|(_, found)| found.is_none());
            let missing: Vec<_> = missing.map(|(missing, _)| missing).collect();
            if !missing.is_empty() {
                for (position, record) in self.read(missing).await {
                    if let Some(place) = found.get_mut(position) {
                        *place = Some(record);
                    }
                }
            }
            let now = now();
            let fresh = |record: &Record| record.expires_at() > now;
            found
                .into_iter()
                .map(|record| record.filter(fresh))
                .collect()
        })
    }

    fn put(&self, key: RecordKey, record: Record) {
        let fits = record.sealed.len() <= MAX_SEALED;
        if !(fits && self.shared.queue.put(key, record)) {
            self.shared.dropped(1);
        }
    }

    fn remove(&self, which: Selection) -> BoxFuture<'_, Result<usize, StoreError>> {
        // At once, and not at the first poll: what is put after this call stays.
        let answer = self.shared.queue.remove(which);
        Box::pin(async move { answered(answer?).await })
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        let answer = self.shared.queue.flush();
        Box::pin(async move { answered(answer?).await })
    }

    fn stats(&self) -> StoreStats {
        let count = &self.shared.count;
        StoreStats {
            records: self.shared.records().index.len() as u64,
            bytes: count.bytes.load(Relaxed),
            waiting: self.shared.queue.len() as u64,
            written: count.written.load(Relaxed),
            dropped: count.dropped.load(Relaxed),
            failed_reads: count.failed_reads.load(Relaxed),
            failed_writes: count.failed_writes.load(Relaxed),
        }
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        self.shared.queue.close(CLOSE_WITHIN);
    }
}

async fn answered<T>(answer: oneshot::Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
    match timeout(WRITE_WITHIN, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_ended)) => Err(StoreError::Closed),
        Err(_elapsed) => Err(StoreError::TimedOut),
    }
}

/// The wall clock's time: records outlive the monotonic one.
fn now() -> u64 {
    let since = clock::wall_now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests;
