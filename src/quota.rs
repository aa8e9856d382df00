//! The share of Feishu's rate limit that this program may use: a permit for every call.
//!
//! Feishu counts arrivals, we see departures and answers, and nobody knows the form of its windows.
//! A call therefore occupies every window from its departure until one window's length after its
//! answer (or our giving up on it): whatever latency, clocks and window form do, the limit cannot
//! be exceeded. Within the limit, calls are paced so that no window is spent to the last and then
//! waited for. Knows nobody; `batch` asks it.

mod ledger;
mod meter;
mod pace;
mod window;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

pub use ledger::{Ledger, millis};
pub use meter::{Meter, Month, MonthSpent, Usage, WallClock};

use pace::{Pace, Room};

/// At most `limit` calls in any stretch of `length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many calls.
    pub limit: usize,
    /// In how long.
    pub length: Duration,
}

/// What waits for a permit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// From when on a full call's worth waits, which may leave sooner than others; none if less does.
    pub full_at: Option<Instant>,
    /// From when on a call that is not full is worth leaving; none if nothing waits.
    pub ready_at: Option<Instant>,
    /// Whether somebody waits after whom nobody is about to come: on an idle service their call
    /// leaves at once.
    pub eager: bool,
}

/// What waits, as it changes.
pub type Demand = watch::Receiver<Load>;

/// What a permit is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covers {
    /// Only a full call: others must wait for the pace of the longest window.
    FullCall,
    /// Any call.
    AnyCall,
}

/// How a call with a permit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Answered, whatever the answer, or given up.
    Answered,
    /// Refused because of the rate limit: somebody else uses the same app.
    Throttled {
        /// When the directory asks us to come back.
        retry_after: Option<Duration>,
    },
    /// It never left.
    Unused,
}

/// Whoever gives out permits: the windows in this process now, windows shared by several processes
/// to come.
pub trait Permits: Send + Sync + 'static {
    /// Waits until a call may leave for what waits, and takes a place for it in every window.
    ///
    /// Cancel-safe: a caller that leaves takes none.
    fn acquire<'a>(&'a self, demand: &'a mut Demand) -> BoxFuture<'a, Permit>;

    /// In how long the last of so many further calls could leave.
    fn outlook(&self, calls: usize) -> Duration;
}

/// Leave to make one call. Dropping it means that the call is answered, or given up.
pub struct Permit {
    covers: Covers,
    end: Option<Box<dyn FnOnce(Ended) + Send>>,
}

/// The windows of one app, in this process.
pub struct Quota {
    inner: Arc<Inner>,
}

struct Inner {
    pace: Mutex<Pace>,
    /// Told when an answered call gives its places a time to come back, or the limits are others.
    answered: Notify,
}

impl Permit {
    /// A permit that tells `end` how its call ended, exactly once.
    pub fn new(covers: Covers, end: impl FnOnce(Ended) + Send + 'static) -> Self {
        let end = Some(Box::new(end) as Box<_>);
        Self { covers, end }
    }

    /// What it is good for.
    pub fn covers(&self) -> Covers {
        self.covers
    }

    /// Says how the call ended.
    pub fn ended(mut self, how: Ended) {
        self.end_as(how);
    }

    fn end_as(&mut self, how: Ended) {
        if let Some(end) = self.end.take() {
            end(how);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.end_as(Ended::Answered);
    }
}

impl Quota {
    /// A quota of several limits that all hold at once. Nobody knows what an earlier process spent
    /// of them, so all but the shortest window's worth count as spent, and come back evenly.
    pub fn new(limits: &[Limit]) -> Self {
        Self::of(Pace::new(limits, Instant::now()))
    }

    /// The same after a process whose calls are known: how long ago each of them was answered.
    pub fn with_history(limits: &[Limit], answered: &[Duration]) -> Self {
        Self::of(Pace::with_history(limits, answered, Instant::now()))
    }

    fn of(pace: Pace) -> Self {
        Self {
            inner: Arc::new(Inner {
                pace: Mutex::new(pace),
                answered: Notify::new(),
            }),
        }
    }

    /// Holds these limits from now on, for windows of the same lengths as before. What has been spent
    /// stays spent: of a lowered limit as much as of a raised one.
    pub fn set_limits(&self, limits: &[Limit]) {
        self.inner.lock().set_limits(limits, Instant::now());
        // Whoever waits for a permit may have to wait less, or longer.
        self.inner.answered.notify_waiters();
    }

    /// How long ago each call was answered that still counts, and zero for those that are not answered
    /// yet: for the next process.
    pub fn history(&self) -> Vec<Duration> {
        self.inner.lock().history(Instant::now())
    }

    /// For each limit, the shortest first, how many calls it allows and how many of them are free.
    pub fn left(&self) -> Vec<(Limit, usize)> {
        self.inner.lock().left(Instant::now())
    }
}

impl Permits for Quota {
    fn acquire<'a>(&'a self, demand: &'a mut Demand) -> BoxFuture<'a, Permit> {
        async move {
            loop {
                let answered = self.inner.answered.notified();
                let load = *demand.borrow_and_update();
                let room = self.inner.lock().take(Instant::now(), load);
                let until = match room {
                    Room::Now(covers) => return self.inner.permit(covers),
                    Room::At(at) => Some(at),
                    Room::AfterAChange => None,
                };
                let at = async {
                    match until {
                        Some(at) => sleep_until(at).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    changed = demand.changed() => if changed.is_err() {
                        // Nothing can come to wait any more: whoever asks is about to end.
                        std::future::pending::<()>().await;
                    },
                    () = answered => {}
                    () = at => {}
                }
            }
        }
        .boxed()
    }

    fn outlook(&self, calls: usize) -> Duration {
        self.inner.lock().outlook(Instant::now(), calls)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Pace> {
        // Plain counters: a panic under this lock leaves them whole.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn permit(self: &Arc<Self>, covers: Covers) -> Permit {
        let inner = self.clone();
        let departed = Instant::now();
        let is_probe = self.lock().is_probing();
        Permit::new(covers, move |how| {
            inner.lock().end(departed, Instant::now(), is_probe, how);
            inner.answered.notify_waiters();
        })
    }
}

#[cfg(test)]
mod tests;
