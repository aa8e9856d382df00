//! What waits for the writer: records, by key, and orders, in their turn. Both limited.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use crate::store::{Class, Record, RecordKey, Selection, StoreError};

/// Most records that wait: ten full writes, or what 50 calls a second bring in 8 s.
const MAX_WAITING: usize = 20_000;
/// Most bytes that wait.
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;
/// Most orders that wait.
const MAX_ORDERS: usize = 64;
/// Records of one write.
pub(super) const BATCH: usize = 2000;
/// Bytes of one write, which stay below a block's.
const BATCH_BYTES: usize = 3 * 1024 * 1024;
/// How long a record waits for others. A process that is killed loses at most these.
const GATHER: Duration = Duration::from_millis(500);

/// Something to do out of turn, with somebody who waits for it.
pub(super) enum Order {
    /// Write everything that waits.
    Flush(oneshot::Sender<Result<(), StoreError>>),
    /// Remove from the file; those that waited are gone already.
    Remove {
        which: Selection,
        /// The keys of those.
        waited: Vec<RecordKey>,
        reply: oneshot::Sender<Result<usize, StoreError>>,
    },
}

/// What the writer is to do next.
pub(super) enum Work {
    Order(Order),
    Write,
    /// Look after the file: it is time.
    Idle,
    Close,
}

pub(super) type Batch = HashMap<RecordKey, Record>;

/// Shared by those who bring and the one who writes.
#[derive(Default)]
pub(super) struct Queue {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    waiting: Batch,
    bytes: usize,
    /// Since when.
    since: Option<Instant>,
    /// Being written: still found here until it is found in the file.
    writing: Arc<Batch>,
    orders: VecDeque<Order>,
    /// After a failure nothing is written before this.
    not_before: Option<Instant>,
    closing: bool,
    ended: bool,
}

impl Queue {
    /// The record that waits under this key.
    pub(super) fn find(&self, key: &RecordKey) -> Option<Record> {
        let lines = self.lock();
        let found = lines.waiting.get(key).or_else(|| lines.writing.get(key));
        found.cloned()
    }

    /// How many records wait.
    pub(super) fn len(&self) -> usize {
        let lines = self.lock();
        lines.waiting.len() + lines.writing.len()
    }

    /// False if there is no room for it.
    pub(super) fn put(&self, key: RecordKey, record: Record) -> bool {
        let mut lines = self.lock();
        let added = lines.add(key, record);
        let wakes = lines.waiting.len() == 1 || lines.waiting.len() >= BATCH;
        drop(lines);
        if wakes {
            self.changed.notify_all();
        }
        added
    }

    /// Queues a flush.
    pub(super) fn flush(&self) -> Result<oneshot::Receiver<Result<(), StoreError>>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.order(&mut self.lock(), Order::Flush(reply))?;
        Ok(answer)
    }

    /// Drops what waits and is selected, and queues the removal of the rest.
    pub(super) fn remove(
        &self,
        which: Selection,
    ) -> Result<oneshot::Receiver<Result<usize, StoreError>>, StoreError> {
        let mut lines = self.lock();
        let (reply, answer) = oneshot::channel();
        let mut waited = Vec::new();
        for (key, record) in &lines.waiting {
            if which.covers(key, record.class()) {
                waited.push(*key);
            }
        }
        let gone = waited.clone();
        let order = Order::Remove {
            which,
            waited,
            reply,
        };
        self.order(&mut lines, order)?;
        for key in gone {
            lines.take(&key);
        }
        Ok(answer)
    }

    fn order(&self, lines: &mut Lines, order: Order) -> Result<(), StoreError> {
        if lines.ended || lines.closing {
            return Err(StoreError::Closed);
        }
        if lines.orders.len() >= MAX_ORDERS {
            return Err(StoreError::Busy);
        }
        lines.orders.push_back(order);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits for something to do; at `idle_at` there is.
    pub(super) fn next(&self, idle_at: Instant) -> Work {
        let mut lines = self.lock();
        loop {
            if let Some(order) = lines.orders.pop_front() {
                return Work::Order(order);
            }
            if lines.closing {
                return Work::Close;
            }
            let now = Instant::now();
            // First, or a queue that is always full would let the file grow for ever.
            if idle_at <= now {
                return Work::Idle;
            }
            let due = lines.due();
            if due.is_some_and(|due| due <= now) {
                return Work::Write;
            }
            let until = due.map_or(idle_at, |due| due.min(idle_at));
            let waited = self.changed.wait_timeout(lines, until - now);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether the writer should come back from what can be done later.
    pub(super) fn is_urgent(&self) -> bool {
        let lines = self.lock();
        lines.closing || !lines.orders.is_empty()
    }

    /// Takes what the next write carries, which can still be found here.
    pub(super) fn begin(&self) -> Arc<Batch> {
        let mut lines = self.lock();
        let mut bytes = 0;
        let fits = |(key, record): (&RecordKey, &Record)| {
            bytes += record.sealed.len();
            (bytes <= BATCH_BYTES).then_some(*key)
        };
        let keys: Vec<_> = lines.waiting.iter().map_while(fits).take(BATCH).collect();
        let batch = keys.iter().filter_map(|key| Some((*key, lines.take(key)?)));
        let batch = Arc::new(batch.collect::<Batch>());
        lines.writing = batch.clone();
        lines.since = (!lines.waiting.is_empty()).then(Instant::now);
        batch
    }

    /// It is in the file.
    pub(super) fn written(&self) {
        let mut lines = self.lock();
        lines.writing = Arc::default();
        lines.not_before = None;
    }

    /// It is not in the file: it waits again, but for what is newer or has been removed since. Says
    /// how many found no room.
    pub(super) fn failed(&self, pause: Duration) -> usize {
        let mut lines = self.lock();
        let batch = std::mem::take(&mut lines.writing);
        let mut lost = 0;
        for (key, record) in batch.iter() {
            let gone = lines.orders.iter().any(|order| match order {
                Order::Remove { which, .. } => which.covers(key, record.class()),
                Order::Flush(_) => false,
            });
            if !gone && !lines.waiting.contains_key(key) && !lines.add(*key, record.clone()) {
                lost += 1;
            }
        }
        lines.not_before = Some(Instant::now() + pause);
        lost
    }

    /// No more work after what waits; returns once the writer has ended, or after so long.
    pub(super) fn close(&self, at_most: Duration) {
        let mut lines = self.lock();
        lines.closing = true;
        self.changed.notify_all();
        let until = Instant::now() + at_most;
        while !lines.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(lines, left);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The writer has ended: whoever waits for it is told.
    pub(super) fn end(&self) {
        let mut lines = self.lock();
        lines.ended = true;
        lines.orders.clear();
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        // Each change is whole before the next one begins.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn add(&mut self, key: RecordKey, record: Record) -> bool {
        let size = record.sealed.len();
        let old = self.waiting.get(&key).map(|old| old.sealed.len());
        let bytes = self.bytes + size - old.unwrap_or(0);
        let full = old.is_none() && self.waiting.len() >= MAX_WAITING;
        // What has been spent is small, and nobody else knows it.
        let full = (full || bytes > MAX_WAITING_BYTES) && record.class != Class::Ledger;
        if full || self.closing || self.ended {
            return false;
        }
        self.bytes = bytes;
        self.waiting.insert(key, record);
        self.since.get_or_insert_with(Instant::now);
        true
    }

    fn take(&mut self, key: &RecordKey) -> Option<Record> {
        let record = self.waiting.remove(key)?;
        self.bytes -= record.sealed.len();
        if self.waiting.is_empty() {
            self.since = None;
        }
        Some(record)
    }

    /// When to write.
    fn due(&self) -> Option<Instant> {
        let since = self.since?;
        let full = self.waiting.len() >= BATCH;
        let due = if full { since } else { since + GATHER };
        Some(self.not_before.map_or(due, |earliest| due.max(earliest)))
    }
}
