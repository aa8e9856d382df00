//! How a tenant's queue is, for those who look after it. Nothing is decided by it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use tokio::time::Instant;

use crate::{
    clock,
    directory::{Advice, DirectoryError},
};

use super::Batcher;

/// How a queue is at one moment.
#[derive(Clone, Debug)]
pub struct QueueStatus {
    /// Keys that wait for a call.
    pub waiting: usize,
    /// Calls that are not answered yet.
    pub in_flight: usize,
    /// Whether the directory is asked.
    pub breaker: BreakerState,
    /// The last error that a call ended with, however long ago.
    pub last_error: Option<LastError>,
}

/// Whether the directory is asked, after failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// It is.
    Closed,
    /// It is not, but for one call from this moment on.
    Open {
        /// When.
        probe_at: Instant,
    },
    /// One call is out to see.
    Probing,
}

/// An error and when it came.
#[derive(Clone, Debug)]
pub struct LastError {
    /// The error.
    pub error: Arc<DirectoryError>,
    /// When.
    pub at: SystemTime,
}

/// What is noted of calls as they come and go.
#[derive(Default)]
pub(super) struct Notes {
    in_flight: AtomicUsize,
    last_error: Mutex<Option<LastError>>,
}

/// A call under way, until it is dropped.
pub(super) struct UnderWay<'a>(&'a Notes);

impl Notes {
    pub(super) fn departs(&self) -> UnderWay<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        UnderWay(self)
    }

    pub(super) fn failed(&self, error: &Arc<DirectoryError>) {
        // Who is refused themselves is an answer, not trouble.
        if error.kind.advice() == Advice::Split {
            return;
        }
        let mut last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // One failure that many calls hear of happened once.
        let shared = |error: &DirectoryError| error.shared.as_deref().copied();
        let is_known = last
            .as_ref()
            .is_some_and(|last| shared(error).is_some() && shared(&last.error) == shared(error));
        if !is_known {
            *last = Some(LastError {
                error: error.clone(),
                at: clock::wall_now(),
            });
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Batcher {
    /// How the queue is.
    pub fn status(&self) -> QueueStatus {
        let (waiting, breaker) = {
            let waiting = self.shared.lock();
            (waiting.len(), waiting.breaker())
        };
        let notes = &self.shared.notes;
        let last_error = notes
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        QueueStatus {
            waiting,
            in_flight: notes.in_flight.load(Ordering::Relaxed),
            breaker,
            last_error: last_error.clone(),
        }
    }
}
