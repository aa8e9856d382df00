//! The share of Feishu's rate limit that this program may use: a permit for every call.
//!
//! Feishu counts arrivals, we see departures and answers, and nobody knows the form of its windows.
//! A call therefore occupies every window from its departure until one window's length after its
//! answer (or our giving up on it): whatever latency, clocks and window form do, the limit cannot
//! be exceeded. Knows nobody; `batch` asks it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout_at},
};

/// At most `limit` calls in any stretch of `length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many calls.
    pub limit: usize,
    /// In how long.
    pub length: Duration,
}

/// Permits for calls, first come, first served.
#[derive(Clone, Debug)]
pub struct Quota {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    windows: Mutex<Vec<Window>>,
    /// Whoever holds it is next. Tokio's mutex is fair, which makes the wait a queue.
    turnstile: tokio::sync::Mutex<()>,
    /// Told when an answered call gives its places a time to come back.
    answered: Notify,
}

/// Leave to make one call. Dropping it means that the call is answered, or given up.
#[derive(Debug)]
pub struct Permit {
    inner: Arc<Inner>,
}

/// No permit in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPermit {
    /// The quota has no room before the deadline: known at once, without waiting for it.
    #[error("the quota has no room before the deadline")]
    Exhausted {
        /// When it would have had room.
        retry_after: Duration,
    },
    /// The deadline passed in the queue.
    #[error("the deadline passed while waiting for the quota")]
    DeadlineExceeded,
}

impl Quota {
    /// A quota of several limits that all hold at once.
    pub fn new(limits: &[Limit]) -> Self {
        Self {
            inner: Arc::new(Inner {
                windows: Mutex::new(limits.iter().copied().map(Window::new).collect()),
                turnstile: tokio::sync::Mutex::new(()),
                answered: Notify::new(),
            }),
        }
    }

    /// Waits for a permit. Cancel-safe: a caller that leaves takes none and holds up nobody.
    ///
    /// # Errors
    /// See [`NoPermit`].
    pub async fn acquire(&self, deadline: Instant) -> Result<Permit, NoPermit> {
        let _turn = timeout_at(deadline, self.inner.turnstile.lock())
            .await
            .map_err(|_| NoPermit::DeadlineExceeded)?;
        loop {
            let answered = self.inner.answered.notified();
            let now = Instant::now();
            match self.inner.take(now) {
                Room::Now => {
                    return Ok(Permit {
                        inner: self.inner.clone(),
                    });
                }
                Room::At(at) if at > deadline => {
                    return Err(NoPermit::Exhausted {
                        retry_after: at - now,
                    });
                }
                Room::At(at) => sleep_until(at).await,
                Room::AfterAnAnswer => timeout_at(deadline, answered)
                    .await
                    .map_err(|_| NoPermit::DeadlineExceeded)?,
            }
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Vec<Window>> {
        // Plain counters: a panic under this lock leaves them whole.
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in every window, or in none.
    fn take(&self, now: Instant) -> Room {
        let mut windows = self.lock();
        let room = windows
            .iter_mut()
            .map(|window| window.room(now))
            .max()
            .unwrap_or(Room::Now);
        if room == Room::Now {
            for window in windows.iter_mut() {
                window.out += 1;
            }
        }
        room
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let now = Instant::now();
        for window in self.inner.lock().iter_mut() {
            window.out = window.out.saturating_sub(1);
            window.returning.push_back(now + window.limit.length);
        }
        self.inner.answered.notify_waiters();
    }
}

/// One limit's places. Pure in `now`.
#[derive(Debug)]
struct Window {
    limit: Limit,
    /// Calls that are not answered yet.
    out: usize,
    /// When the places of answered calls come back: in ascending order, since all wait equally long.
    returning: VecDeque<Instant>,
}

/// When a place is free. The order is that of the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Room {
    Now,
    At(Instant),
    AfterAnAnswer,
}

impl Window {
    fn new(limit: Limit) -> Self {
        Self {
            limit,
            out: 0,
            returning: VecDeque::new(),
        }
    }

    fn room(&mut self, now: Instant) -> Room {
        while self.returning.front().is_some_and(|at| *at <= now) {
            self.returning.pop_front();
        }
        if self.out + self.returning.len() < self.limit.limit {
            Room::Now
        } else {
            self.returning
                .front()
                .map_or(Room::AfterAnAnswer, |at| Room::At(*at))
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn quota(limit: usize) -> Quota {
        Quota::new(&[
            Limit {
                limit,
                length: SECOND,
            },
            Limit {
                limit: 1000,
                length: 60 * SECOND,
            },
        ])
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_comes_back_one_window_after_the_answer() {
        let quota = quota(1);
        let start = Instant::now();
        let deadline = start + 10 * SECOND;
        let permit = quota.acquire(deadline).await.unwrap();
        let answered = tokio::spawn(async move {
            tokio::time::sleep(SECOND / 2).await;
            drop(permit);
        });
        let _next = quota.acquire(deadline).await.unwrap();
        assert_eq!(start.elapsed(), SECOND + SECOND / 2);
        answered.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_deadline_does_not_allow_is_refused_at_once() {
        let quota = quota(1);
        let start = Instant::now();
        drop(quota.acquire(start + SECOND).await.unwrap());
        assert_eq!(
            quota.acquire(start + SECOND / 2).await.unwrap_err(),
            NoPermit::Exhausted {
                retry_after: SECOND
            }
        );
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_longer_window_holds_too() {
        let quota = quota(50);
        let start = Instant::now();
        for _ in 0..1001 {
            drop(quota.acquire(start + 120 * SECOND).await.unwrap());
        }
        assert!(start.elapsed() >= 60 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_leaves_holds_up_nobody() {
        let quota = quota(1);
        let start = Instant::now();
        let held = quota.acquire(start + SECOND).await.unwrap();
        assert_eq!(
            quota.acquire(start + SECOND / 2).await.unwrap_err(),
            NoPermit::DeadlineExceeded
        );
        drop(held);
        quota.acquire(start + 10 * SECOND).await.unwrap();
    }
}
