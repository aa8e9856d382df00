//! The thread that owns the file: writes what waits, removes, sweeps and compacts, one at a time.

use std::{
    collections::HashSet,
    fs::File,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

use crate::store::{RecordKey, Scope, Selection, StoreError};

use super::{
    Shared,
    format::{Entry, MAX_KEYS},
    index::SHARDS,
    log::{Block, Log, in_file_order},
    queue::{Order, Work},
};

/// Between two looks after the file. A sweep of all parts takes 64 of them.
const IDLE: Duration = Duration::from_secs(1);
/// After a failed write.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two lines of the log about failures.
const BETWEEN_COMPLAINTS: Duration = Duration::from_mins(1);
/// After a compaction that failed or was broken off.
const COMPACT_AGAIN: Duration = Duration::from_mins(1);
/// Less than this is not worth a compaction, nor is less than what is used.
const WASTE: u64 = 1024 * 1024;
/// How much of the capacity is freed when it is exceeded, so that it is not each time.
const HEADROOM: usize = 16;
/// Records that are noted or forgotten in one go: whoever reads waits for no more.
const AT_A_TIME: usize = 256;

/// Runs until the queue is closed.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Log,
    /// Held as long as the file is: another process must not have it.
    pub(super) _lock: File,
    pub(super) capacity: usize,
    pub(super) upkeep: Upkeep,
}

/// What is done now and then.
pub(super) struct Upkeep {
    idle_at: Instant,
    part: usize,
    compact_not_before: Instant,
    /// What was removed on purpose should leave the file, too.
    compact_soon: bool,
    complained: Option<Instant>,
}

impl Default for Upkeep {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            idle_at: now,
            part: 0,
            compact_not_before: now,
            compact_soon: false,
            complained: None,
        }
    }
}

/// Ends the queue even if the writer ends by a fault.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.queue.end();
    }
}

impl Writer {
    pub(super) fn run(mut self) {
        // Declared first, dropped last: by then the lock is free.
        let ending = Ending(self.shared.clone());
        let run = catch_unwind(AssertUnwindSafe(move || self.work()));
        if run.is_err() {
            tracing::error!("a fault in the store: answers are kept in memory only from now on");
        }
        drop(ending);
    }

    fn work(&mut self) {
        loop {
            match self.shared.queue.next(self.upkeep.idle_at) {
                Work::Order(Order::Flush(reply)) => {
                    let _gone = reply.send(self.write_all());
                }
                Work::Order(Order::Remove {
                    which,
                    waited,
                    reply,
                }) => {
                    let _gone = reply.send(self.remove(&which, &waited));
                }
                // It has been counted, and is tried again.
                Work::Write => drop(self.write()),
                Work::Idle => self.look_after(),
                Work::Close => {
                    let _counted = self.write_all();
                    // Best effort: damage is found all the same, only not told from a crash.
                    let _unmarked = self.log.note_mark();
                    return;
                }
            }
        }
    }

    /// As much as waits; what comes meanwhile may stay.
    fn write_all(&mut self) -> Result<(), StoreError> {
        let mut left = self.shared.queue.len();
        while left > 0 {
            match self.write()? {
                0 => break,
                written => left = left.saturating_sub(written),
            }
        }
        Ok(())
    }

    /// One block of what waits.
    fn write(&mut self) -> Result<usize, StoreError> {
        let batch = self.shared.queue.begin();
        let mut block = Block::new();
        let mut placed = Vec::with_capacity(batch.len());
        for (key, record) in batch.iter() {
            let entry = Entry::Record(*key, record.clone());
            placed.push((key, record, block.push(&entry)));
        }
        if placed.is_empty() {
            return Ok(0);
        }
        let place = match self.log.append(&mut block) {
            Ok(place) => place,
            Err(error) => {
                let lost = self.shared.queue.failed(PAUSE);
                self.shared.dropped(lost);
                return Err(self.complain(&error));
            }
        };
        for some in placed.chunks(AT_A_TIME) {
            let mut records = self.shared.records_mut();
            for (key, record, (start, length)) in some {
                records
                    .index
                    .insert(key, record, place + *start as u64, *length);
            }
        }
        self.shared.queue.written();
        self.shared
            .count
            .written
            .fetch_add(batch.len() as u64, Relaxed);
        self.note_size();
        self.evict();
        Ok(batch.len())
    }

    fn remove(&mut self, which: &Selection, waited: &[RecordKey]) -> Result<usize, StoreError> {
        let waited: HashSet<_> = waited.iter().collect();
        let only_waited = {
            let records = self.shared.records();
            let only = |key: &&&RecordKey| records.index.find(key).is_none();
            waited.iter().filter(only).count()
        };
        for part in parts(which) {
            let mut block = Block::new();
            block.push(&Entry::Removal(part));
            self.log
                .append(&mut block)
                .map_err(|error| self.complain(&error))?;
        }
        let removed = match &which.scope {
            Scope::Key(_) => self.shared.records_mut().index.remove(which),
            Scope::Keys(keys) => self.remove_some(keys, which),
            Scope::Directory(_) | Scope::Everything => {
                self.upkeep.compact_soon = true;
                (0..SHARDS)
                    .map(|part| self.shared.records_mut().index.remove_from(part, which))
                    .sum()
            }
        };
        self.note_size();
        Ok(only_waited + removed)
    }

    /// A few at a time, as they are written.
    fn remove_some(&self, keys: &HashSet<RecordKey>, which: &Selection) -> usize {
        let keys: Vec<_> = keys.iter().collect();
        let mut removed = 0;
        for some in keys.chunks(AT_A_TIME) {
            let index = &mut self.shared.records_mut().index;
            removed += some
                .iter()
                .filter(|key| index.remove_one(key, which))
                .count();
        }
        removed
    }

    fn look_after(&mut self) {
        self.upkeep.part = (self.upkeep.part + 1) % SHARDS;
        let now = super::now();
        self.shared
            .records_mut()
            .index
            .expire(self.upkeep.part, now);
        self.evict();
        if let Err(error) = self.compact().and_then(|()| self.log.note_mark()) {
            self.complain(&error);
        }
        self.upkeep.idle_at = Instant::now() + IDLE;
    }

    /// Who expires soonest goes first, until a part of the room is free again.
    fn evict(&mut self) {
        let count = self.shared.records().index.len();
        if count <= self.capacity {
            return;
        }
        let keep = self.capacity - self.capacity / HEADROOM;
        let mut left = count - keep;
        let mut worths: Vec<_> = (0..SHARDS)
            .flat_map(|part| self.shared.records().index.worths(part))
            .collect();
        let last = left.min(worths.len()).saturating_sub(1);
        worths.sort_unstable();
        let Some(&bound) = worths.get(last) else {
            return;
        };
        for part in 0..SHARDS {
            left -= self.shared.records_mut().index.evict(part, bound, left);
        }
    }

    /// Makes the file small again, if it holds more waste than records. Reads go on meanwhile, writes
    /// wait.
    fn compact(&mut self) -> io::Result<()> {
        let waste = {
            let used = self.shared.records().index.bytes();
            let waste = self.log.len().saturating_sub(used);
            waste > used.saturating_add(WASTE) || (self.upkeep.compact_soon && waste > 0)
        };
        if !waste || Instant::now() < self.upkeep.compact_not_before {
            return Ok(());
        }
        self.upkeep.compact_not_before = Instant::now() + COMPACT_AGAIN;
        let records = in_file_order(|part| self.shared.records().index.part(part));
        let fresh = self.shared.records().index.of_same_directories();
        let queue = &self.shared.queue;
        let Some((log, index)) = self.log.compact(records, fresh, || queue.is_urgent())? else {
            return Ok(());
        };
        self.shared.replace(index, log.file());
        self.log = log;
        self.upkeep.compact_soon = false;
        self.upkeep.compact_not_before = Instant::now();
        self.note_size();
        Ok(())
    }

    fn note_size(&self) {
        self.shared.note_size(self.log.len());
    }

    /// Counts a failure, and tells of it now and then.
    fn complain(&mut self, error: &io::Error) -> StoreError {
        let failed = self.shared.count.failed_writes.fetch_add(1, Relaxed) + 1;
        let told = self.upkeep.complained;
        if told.is_none_or(|told| told.elapsed() >= BETWEEN_COMPLAINTS) {
            self.upkeep.complained = Some(Instant::now());
            tracing::warn!(
                failed,
                "answers cannot be written to disk: {error}; they wait in memory, as far as there \
                 is room, and are tried again"
            );
        }
        StoreError::Write(error.to_string())
    }
}

/// The removal in as few parts as each fit into a block: one, unless it is of very many keys.
fn parts(which: &Selection) -> Vec<Selection> {
    let Scope::Keys(keys) = &which.scope else {
        return vec![which.clone()];
    };
    let keys: Vec<_> = keys.iter().copied().collect();
    let part = |keys: &[RecordKey]| Selection {
        scope: Scope::Keys(Arc::new(keys.iter().copied().collect())),
        negative_only: which.negative_only,
    };
    keys.chunks(MAX_KEYS).map(part).collect()
}
