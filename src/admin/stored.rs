//! What administration needs of the answers that outlive the process.

use futures_util::future::BoxFuture;

use crate::identity::Identifier;

/// The answers that outlive the process.
pub trait Stored: Send + Sync + 'static {
    /// Removes records, also those that wait to be written, or only those that hold an answer that is
    /// not an ID. Says how many. Bounded in time; durable once it is `Ok`.
    ///
    /// # Errors
    /// Nothing is known to be removed.
    fn remove<'a>(
        &'a self,
        whose: Whose<'a>,
        negative_only: bool,
    ) -> BoxFuture<'a, Result<usize, NotRemoved>>;

    /// How it is.
    fn status(&self) -> StoreStatus;
}

/// Whose records to remove.
#[derive(Clone, Copy)]
pub enum Whose<'a> {
    /// Of these people, with and without people who have left.
    People {
        /// Of which directory, by its number in the cache's keys.
        directory: u32,
        /// Who.
        people: &'a [Identifier],
    },
    /// Of everybody of the directory with this number.
    Directory(u32),
    /// Of everybody.
    Everybody,
}

/// Why nothing is known to be removed, for people.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotRemoved(pub String);

/// How the store is. Counts are since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// Which store it is, such as `disk`.
    pub kind: &'static str,
    /// Records that it holds.
    pub records: u64,
    /// Its size.
    pub bytes: u64,
    /// Records that wait to be written.
    pub waiting: u64,
    /// Records written.
    pub written: u64,
    /// Records that were not kept, because too many waited or one was too large.
    pub dropped: u64,
    /// Reads that failed.
    pub failed_reads: u64,
    /// Writes that failed.
    pub failed_writes: u64,
}
