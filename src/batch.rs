//! From waiting keys to calls: as few as possible, each as full as it can be, each with a permit.
//! Knows the directory and the quota, but no caller and no answer's meaning; `resolver` calls it.
//!
//! Today it packs the keys of one request; everything a queue across requests will need (permits,
//! slots, room for keys, splitting) already stands here.

mod isolate;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use crate::{
    directory::{Directory, DirectoryError, DirectoryErrorKind as Kind, LookupBatch, LookupScope},
    identity::{Identifier, Person},
    quota::{NoPermit, Quota},
};

/// The way to one tenant's directory.
pub struct Batcher {
    directory: Arc<dyn Directory>,
    quota: Quota,
    /// Calls in flight at a time.
    slots: Semaphore,
    /// Keys that wait or are in flight.
    room: Semaphore,
    max_queue: usize,
}

/// What to do when too many keys wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Refuse at once.
    Shed,
    /// Wait until there is room: the caller is slowed down.
    Wait,
}

/// The people behind one key.
#[derive(Clone, Debug)]
pub struct Looked {
    /// When the call left.
    pub asked_at: SystemTime,
    /// Nobody, one person, or several.
    pub people: Vec<Person>,
}

/// Why a key has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LookupError {
    /// The directory's error.
    #[error(transparent)]
    Directory(Arc<DirectoryError>),
    /// The directory refuses this very key: an answer, not a failure.
    #[error("refused by the directory: {0}")]
    Refused(Arc<DirectoryError>),
    /// Too many keys wait.
    #[error("too many lookups are waiting")]
    Overloaded,
    /// The quota has no room before the deadline.
    #[error("the quota has no room before the deadline")]
    QuotaExhausted {
        /// When it would have.
        retry_after: Duration,
    },
    /// The deadline passed.
    #[error("the deadline passed")]
    DeadlineExceeded,
}

/// One result per key.
pub type Lookups = HashMap<Identifier, Result<Looked, LookupError>>;

impl Batcher {
    /// A batcher with at most `max_in_flight` calls in flight and `max_queue` keys waiting.
    pub fn new(
        directory: Arc<dyn Directory>,
        quota: Quota,
        max_in_flight: usize,
        max_queue: usize,
    ) -> Self {
        let max_queue = max_queue.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            directory,
            quota,
            slots: Semaphore::new(max_in_flight.clamp(1, Semaphore::MAX_PERMITS)),
            room: Semaphore::new(max_queue),
            max_queue,
        }
    }

    /// Looks up different keys of one scope. Never waits past the deadline: what is not answered
    /// by then is [`LookupError::DeadlineExceeded`], and the rest is answered.
    ///
    /// Cancel-safe: calls in flight are abandoned.
    pub async fn lookup(
        &self,
        scope: LookupScope,
        keys: Vec<Identifier>,
        deadline: Instant,
        when_full: WhenFull,
    ) -> Lookups {
        let _room = match self.room(keys.len(), deadline, when_full).await {
            Ok(room) => room,
            Err(error) => return keys.into_iter().map(|k| (k, Err(error.clone()))).collect(),
        };
        let mut lookups = Lookups::with_capacity(keys.len());
        let mut calls: FuturesUnordered<_> = pack(scope, keys)
            .into_iter()
            .map(|batch| self.lookup_batch(batch, deadline))
            .collect();
        while let Some(answers) = calls.next().await {
            lookups.extend(answers);
        }
        lookups
    }

    /// The page where the directory's scope is requested, if there is one.
    pub fn scope_page(&self, scope: &str) -> Option<String> {
        self.directory.scope_page(scope)
    }

    async fn room(
        &self,
        keys: usize,
        deadline: Instant,
        when_full: WhenFull,
    ) -> Result<SemaphorePermit<'_>, LookupError> {
        // More than fits at all takes all the room there is.
        let keys = u32::try_from(keys.min(self.max_queue)).unwrap_or(u32::MAX);
        match when_full {
            WhenFull::Shed => self
                .room
                .try_acquire_many(keys)
                .map_err(|_| LookupError::Overloaded),
            WhenFull::Wait => timeout_at(deadline, self.room.acquire_many(keys))
                .await
                .map_err(|_| LookupError::DeadlineExceeded)?
                .map_err(|_closed| LookupError::Overloaded),
        }
    }

    async fn lookup_batch(&self, batch: LookupBatch, deadline: Instant) -> Lookups {
        match self.call(&batch, deadline).await {
            Err(LookupError::Directory(error))
                if matches!(error.kind, Kind::ContentRefused { .. }) =>
            {
                self.isolate(batch, error, deadline).await
            }
            result => fill(&batch, result),
        }
    }

    /// One call, and one more if its token was rejected: that is no fault of the call's.
    async fn call(&self, batch: &LookupBatch, deadline: Instant) -> Result<Answer, LookupError> {
        match self.call_once(batch, deadline).await {
            Err(LookupError::Directory(error)) if error.kind == Kind::TokenRejected => {
                self.call_once(batch, deadline).await
            }
            result => result,
        }
    }

    async fn call_once(
        &self,
        batch: &LookupBatch,
        deadline: Instant,
    ) -> Result<Answer, LookupError> {
        let _slot = timeout_at(deadline, self.slots.acquire())
            .await
            .map_err(|_| LookupError::DeadlineExceeded)?;
        let _permit = self.quota.acquire(deadline).await.map_err(|no| match no {
            NoPermit::Exhausted { retry_after } => LookupError::QuotaExhausted { retry_after },
            NoPermit::DeadlineExceeded => LookupError::DeadlineExceeded,
        })?;
        let answer = timeout_at(deadline, self.directory.lookup(batch))
            .await
            .map_err(|_| LookupError::DeadlineExceeded)?
            .map_err(|error| failed(batch, error))?;
        Ok(Answer {
            asked_at: answer.asked_at,
            people: answer.people,
        })
    }
}

/// The one place where a failed call is logged.
fn failed(batch: &LookupBatch, error: DirectoryError) -> LookupError {
    tracing::warn!(
        kind = ?error.kind,
        keys = batch.len(),
        feishu.code = error.code,
        feishu.log_id = error.log_id,
        "a lookup call failed: {error}"
    );
    LookupError::Directory(Arc::new(error))
}

struct Answer {
    asked_at: SystemTime,
    people: HashMap<Identifier, Vec<Person>>,
}

/// One result for every key of the batch.
fn fill(batch: &LookupBatch, result: Result<Answer, LookupError>) -> Lookups {
    let keys = batch.keys().cloned();
    match result {
        Ok(mut answer) => keys
            .map(|key| {
                let people = answer.people.remove(&key).unwrap_or_default();
                let asked_at = answer.asked_at;
                (key, Ok(Looked { asked_at, people }))
            })
            .collect(),
        Err(error) => keys.map(|key| (key, Err(error.clone()))).collect(),
    }
}

/// The fewest batches that hold the keys: both kinds travel together.
fn pack(scope: LookupScope, keys: impl IntoIterator<Item = Identifier>) -> Vec<LookupBatch> {
    let mut full = Vec::new();
    // Batches that still take one kind, the oldest first.
    let mut open: VecDeque<LookupBatch> = VecDeque::new();
    for mut key in keys {
        let mut at = 0;
        loop {
            if at == open.len() {
                open.push_back(LookupBatch::new(scope));
            }
            let Some(batch) = open.get_mut(at) else { break };
            match batch.push(key) {
                Ok(()) => {
                    if batch.is_full() {
                        full.extend(open.remove(at));
                    }
                    break;
                }
                Err(back) => (key, at) = (back, at + 1),
            }
        }
    }
    full.extend(open);
    full
}

#[cfg(test)]
mod tests;
