//! Answers that outlive the process: the tier under the memory cache. Knows only opaque keys and
//! sealed bytes; what they mean, and when they are good enough, is `resolver`'s to say.
//!
//! - [`Store`] is the port. A store that is down is a cache that misses: it never fails a read.
//! - [`Vault`] makes the keys and the sealed bytes, so that no store ever sees whom they are about.
//! - [`DiskStore`] is the store in one file of this machine: [`open`] opens it with its vault, or
//!   says why the process must do without.

mod disk;
mod record;
mod vault;

use std::{collections::HashSet, sync::Arc};

use futures_util::future::BoxFuture;

pub use disk::{DiskStore, Opened, Settings, Unavailable, open};
pub use record::{Class, DirectoryTag, MAX_SEALED, Record, RecordKey};
pub use vault::{DirectoryName, KeyFileError, KeyId, Vault};

/// Records by key, which outlive the process.
pub trait Store: Send + Sync + 'static {
    /// The records under these keys, in their order. What cannot be read, in time or at all, counts
    /// as absent, and so does what has expired.
    fn get<'a>(&'a self, keys: &'a [RecordKey]) -> BoxFuture<'a, Vec<Option<Record>>>;

    /// Keeps a record in place of the one under this key. Returns at once and writes behind; what
    /// does not fit into the queue is dropped and counted.
    fn put(&self, key: RecordKey, record: Record);

    /// Removes records, also those that wait to be written, and says how many. [`Class::Ledger`]
    /// stays whatever is selected. Durable once it is `Ok`. One removal costs one write, however many
    /// it selects.
    ///
    /// # Errors
    /// Nothing is known to be removed.
    fn remove(&self, which: Selection) -> BoxFuture<'_, Result<usize, StoreError>>;

    /// Writes what waits. Bounded in time.
    ///
    /// # Errors
    /// Some of it may not be written; it is still tried.
    fn flush(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Counts since the start, and sizes now.
    fn stats(&self) -> StoreStats;
}

/// Which records to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Whose.
    pub scope: Scope,
    /// Only those that hold an answer that is not an ID.
    pub negative_only: bool,
}

/// Whose records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The one under this key.
    Key(RecordKey),
    /// Those under these keys.
    Keys(Arc<HashSet<RecordKey>>),
    /// All of one directory.
    Directory(DirectoryTag),
    /// All.
    Everything,
}

impl Selection {
    /// Whether records of this class can be meant. The ledger is never: forgetting answers must not
    /// make a process forget what it has spent.
    pub fn takes(&self, class: Class) -> bool {
        match class {
            Class::Ledger => false,
            Class::Found => !self.negative_only,
            Class::Negative | Class::Mixed => true,
        }
    }

    /// Whether the record of that class under this key is meant.
    pub fn covers(&self, key: &RecordKey, class: Class) -> bool {
        let in_scope = match &self.scope {
            Scope::Key(one) => one == key,
            Scope::Keys(some) => some.contains(key),
            Scope::Directory(directory) => *directory == key.directory(),
            Scope::Everything => true,
        };
        in_scope && self.takes(class)
    }
}

/// Why something was not made durable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Too much waits to be done already.
    #[error("the store is busy")]
    Busy,
    /// It may still happen.
    #[error("the store did not answer in time")]
    TimedOut,
    /// The store has ended.
    #[error("the store is closed")]
    Closed,
    /// It could not be written.
    #[error("the store cannot be written: {0}")]
    Write(String),
}

/// Counts since the start, and sizes now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Records that can be read, expired ones included until they are swept.
    pub records: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Records that wait to be written.
    pub waiting: u64,
    /// Records written.
    pub written: u64,
    /// Records that were never kept, because too many waited or one was too large.
    pub dropped: u64,
    /// Records that were there and could not be read.
    pub failed_reads: u64,
    /// Writes that failed; each is tried again.
    pub failed_writes: u64,
}
