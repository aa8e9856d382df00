//! From waiting keys to calls: as few as possible, each as full as it can be, each with a permit.
//! What a call carries is decided when its permit and one of the slots are in hand, not before.
//! Knows the directory and the quota, but no caller and no answer's meaning; `resolver` calls it.
//!
//! Keys wait, not batches: a failed call gives its keys back, and they never hold up others. A key
//! whose waiters have gone leaves before it costs a call.

mod admission;
mod breaker;
mod interest;
mod isolate;
mod key;
mod lanes;
mod settle;
mod standing;
mod status;
mod traced;
mod waiting;
mod worker;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use tokio::{sync::oneshot, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    backoff::Random,
    directory::{Directory, DirectoryError, LookupAnswer, LookupScope},
    identity::{Identifier, Person},
    log_limit::LogLimit,
    metrics::Waited,
    quota::Permits,
};

use admission::Rooms;
use key::Key;
use standing::Published;
use status::Notes;
use traced::{Failed, QueueSpan};
use waiting::{Visit, Waiting};

pub use admission::{Places, WhenFull};
pub use interest::{Class, Interest, Stake, Wish};
pub use standing::Standing;
pub use status::{BreakerState, LastError, QueueStatus};

/// The way to one tenant's directory. Ends its calls when it is dropped.
pub struct Batcher {
    shared: Arc<Shared>,
    rooms: Rooms,
    _worker: AbortOnDropHandle<()>,
}

/// The limits of a queue.
#[derive(Clone)]
pub struct BatchSettings {
    /// Whose queue it is, for logs and traces.
    pub tenant: String,
    /// Calls in flight at a time.
    pub max_in_flight: usize,
    /// Keys that wait or are in flight.
    pub max_queue: usize,
    /// Where the jitter of retries comes from.
    pub random: Random,
    /// Where the waits for permits are counted.
    pub waited: Waited,
}

/// How a queue is just now, for whoever watches it. Does not keep it alive.
#[derive(Clone)]
pub struct Gauge(Weak<Shared>);

/// A key's place in the queue. It leaves when this is dropped, unless its call is under way.
pub struct InLine {
    shared: Arc<Shared>,
    id: lanes::KeyId,
    answer: oneshot::Receiver<LookupResult>,
    since: Instant,
    interest: Arc<Interest>,
}

struct Shared {
    directory: Arc<dyn Directory>,
    permits: Arc<dyn Permits>,
    tenant: String,
    random: Random,
    standing: Arc<Published>,
    notes: Notes,
    failures: LogLimit<Failed>,
    waited: Waited,
    // A std mutex: it is never held across an await.
    waiting: Mutex<Waiting>,
}

/// The people behind one key.
#[derive(Clone, Debug)]
pub struct Looked {
    /// When the call left, for people.
    pub asked_at: SystemTime,
    /// When the call left, for measuring its age: never later than it really did.
    pub departed: Instant,
    /// Nobody, one person, or several.
    pub people: Vec<Person>,
    /// Whether anybody in this call was given an ID of the kind: then who was not is not there.
    pub kind_was_given: bool,
}

/// Why a key has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LookupError {
    /// The directory's error.
    #[error(transparent)]
    Directory(Arc<DirectoryError>),
    /// The directory has failed too often lately to be asked: its last error.
    #[error("not asked, because of earlier failures: {error}")]
    NotAsked {
        /// What it failed with.
        error: Arc<DirectoryError>,
        /// When it will be asked again.
        retry_after: Duration,
    },
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
    /// Nobody waits any more: the deadline passed.
    #[error("the deadline passed")]
    DeadlineExceeded,
    /// The call crashed: a fault of this program's.
    #[error("the lookup ended without a result")]
    Crashed,
}

/// What became of one key.
pub type LookupResult = Result<Looked, LookupError>;

/// What became of one call.
type CallResult = Result<LookupAnswer, LookupError>;

impl Batcher {
    /// A queue before this directory. Starts its task, so there must be a runtime.
    pub fn new(
        directory: Arc<dyn Directory>,
        permits: Arc<dyn Permits>,
        settings: BatchSettings,
    ) -> Self {
        let now = Instant::now();
        let standing = Arc::new(Published::new(now));
        let (waiting, demand) = Waiting::new(standing.clone(), now);
        let shared = Arc::new(Shared {
            directory,
            permits,
            tenant: settings.tenant,
            random: settings.random,
            standing,
            notes: Notes::default(),
            failures: LogLimit::default(),
            waited: settings.waited,
            waiting: Mutex::new(waiting),
        });
        let worker = worker::run(shared.clone(), demand, settings.max_in_flight);
        Self {
            shared,
            rooms: Rooms::new(settings.max_queue),
            _worker: AbortOnDropHandle::new(tokio::spawn(worker)),
        }
    }

    /// A key comes to wait for a call, for as long as anybody is interested. It does so before this returns:
    /// those of one batch, one after the other without a pause, share their call.
    ///
    /// # Errors
    /// If the directory is not to be asked now.
    pub fn line_up(
        &self,
        scope: LookupScope,
        key: Identifier,
        interest: Arc<Interest>,
    ) -> Result<InLine, LookupError> {
        let now = Instant::now();
        let (key, answer) = Key::new(scope, key, interest.clone(), now);
        let mut waiting = self.shared.lock();
        waiting.admit(now)?;
        let id = waiting.push(key, None, now);
        drop(waiting);
        let shared = self.shared.clone();
        Ok(InLine {
            shared,
            id,
            answer,
            since: now,
            interest,
        })
    }

    /// Whether it is worth asking.
    #[inline]
    pub fn standing(&self, now: Instant) -> Standing {
        self.shared.standing.read(now)
    }

    /// Whether it is left alone but for probes: then those say for everybody when to ask again.
    pub fn is_left_alone(&self) -> bool {
        self.shared.lock().is_left_alone()
    }

    /// Whether a call could leave by then, as far as the quota goes.
    pub fn has_room_by(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        self.shared.permits.outlook(1) < left
    }

    /// Somebody may have mended what calls failed with, such as a wrong secret: the directory is asked
    /// again as soon as anybody wants it.
    pub fn may_be_mended(&self) {
        self.shared.lock().may_be_mended(Instant::now());
    }

    /// The page where the directory's scope is requested, if there is one.
    pub fn scope_page(&self, scope: &str) -> Option<String> {
        self.shared.directory.scope_page(scope)
    }

    /// How many keys wait for a call.
    pub fn waiting(&self) -> usize {
        self.shared.lock().len()
    }

    /// For whoever watches the queue.
    pub fn gauge(&self) -> Gauge {
        Gauge(Arc::downgrade(&self.shared))
    }
}

impl Gauge {
    /// How many keys wait for a call.
    pub fn waiting(&self) -> usize {
        self.0.upgrade().map_or(0, |shared| shared.lock().len())
    }

    /// Whether the directory is left alone because of earlier failures.
    pub fn is_left_alone(&self) -> bool {
        let shared = self.0.upgrade();
        shared.is_some_and(|shared| shared.lock().is_left_alone())
    }
}

impl InLine {
    /// What becomes of the key. What may succeed again is retried.
    ///
    /// Cancel-safe: a key that still waits leaves the queue; a call under way goes on.
    pub async fn answer(mut self) -> LookupResult {
        // Not when it lined up: the spans of a request are limited, and others of it come first.
        let waits = QueueSpan::since(self.since, &self.interest);
        let mut under_way = false;
        loop {
            tokio::select! {
                biased;
                answer = &mut self.answer => {
                    waits.end(&self.interest);
                    return answer.unwrap_or(Err(LookupError::Crashed));
                }
                () = self.interest.changed(), if !under_way => {}
                // Paid for: it is worth having whether or not somebody still waits. A call ends
                // within a bound of the directory's own.
                () = self.interest.more_wanted(), if under_way => {}
            }
            let now = Instant::now();
            under_way = match self.shared.lock().revisit(self.id, now) {
                Visit::Left => return Err(LookupError::DeadlineExceeded),
                Visit::Waits => false,
                // Until the deadline is a later one there is nothing to look at again.
                Visit::UnderWay => self.interest.is_lost(now),
            };
        }
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        self.shared.lock().leave(self.id, Instant::now());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Every change of the queue is whole before the lock is given up; a panic in the middle of
        // one can only lose keys, whose waiters then hear so.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<breaker::Refusal> for LookupError {
    fn from(refusal: breaker::Refusal) -> Self {
        Self::NotAsked {
            error: refusal.error,
            retry_after: refusal.retry_after,
        }
    }
}

#[cfg(test)]
mod tests;
