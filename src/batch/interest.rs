//! Who still wants a key, how long, and how much: what decides whether it may cost a call and whose
//! turn it is. Shared by those who wait for one lookup; knows no queue.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::{caller::CallerId, trace::Parent};

/// A call that left longer ago than any may take (`upstream.timeout` is a minute at most) left before
/// this process stood still, as when its machine sleeps: too old for whoever asks now.
const LONGEST_CALL: Duration = Duration::from_mins(1);

/// How urgent a key is. The order is the order in which calls take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Somebody waits for a few answers.
    Interactive,
    /// Somebody waits for many.
    Bulk,
    /// Nobody waits: an answer that is about to expire. It travels where there is room, and makes a
    /// call of its own only from the given moment on.
    Refresh {
        /// When it becomes urgent.
        urgent_at: Instant,
    },
}

/// What one of those who wait wants.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// When they stop waiting.
    pub deadline: Instant,
    /// How urgent it is to them.
    pub class: Class,
    /// Whom fairness counts it against.
    pub caller: CallerId,
    /// Whether it is all that they ask for: then nothing is about to follow it.
    pub alone: bool,
}

impl Wish {
    /// Nobody's: an answer to be had again before it expires.
    pub fn refresh(urgent_at: Instant, expires_at: Instant) -> Self {
        Self {
            deadline: expires_at,
            class: Class::Refresh { urgent_at },
            caller: CallerId::default(),
            alone: false,
        }
    }
}

/// What all who wait for one key want together.
#[derive(Debug)]
pub struct Interest {
    state: Mutex<State>,
    /// Told when a waiter came who wants more, or the last one left.
    changed: Notify,
    /// The flight's span, if whoever started it is sampled.
    flight: Option<Parent>,
}

#[derive(Debug)]
struct State {
    waiters: usize,
    wish: Wish,
    /// When the call left that will give the answer; none before.
    departed: Option<Instant>,
    /// Given up: nobody may come to wait any more.
    over: bool,
    /// The call's span, if both have one.
    call: Option<Parent>,
}

/// One who waits. Dropping it is leaving.
#[derive(Debug)]
pub struct Stake(Arc<Interest>);

impl Interest {
    /// An interest with its first waiter.
    pub fn new(wish: Wish) -> (Arc<Self>, Stake) {
        Self::of_flight(wish, None)
    }

    /// The same, of a flight that may have a span.
    pub fn of_flight(wish: Wish, flight: Option<Parent>) -> (Arc<Self>, Stake) {
        let state = State {
            waiters: 1,
            wish,
            departed: None,
            over: false,
            call: None,
        };
        let interest = Arc::new(Self {
            state: Mutex::new(state),
            changed: Notify::new(),
            flight,
        });
        (interest.clone(), Stake(interest))
    }

    /// One more waits; none if it has been given up, or if the call left before `not_before`.
    pub fn join(self: &Arc<Self>, wish: Wish, not_before: Option<Instant>) -> Option<Stake> {
        let mut state = self.lock();
        let too_old = state.departed.is_some_and(|departed| {
            not_before.is_some_and(|not_before| departed < not_before)
                || departed.elapsed() > LONGEST_CALL
        });
        if state.over || too_old {
            return None;
        }
        state.waiters += 1;
        let more_urgent = wish.class < state.wish.class;
        if more_urgent {
            state.wish.class = wish.class;
            state.wish.caller = wish.caller;
        }
        let longer = wish.deadline > state.wish.deadline;
        state.wish.deadline = state.wish.deadline.max(wish.deadline);
        drop(state);
        if more_urgent || longer {
            self.changed.notify_one();
        }
        Some(Stake(self.clone()))
    }

    /// The most that anybody wants.
    pub fn wish(&self) -> Wish {
        self.lock().wish
    }

    /// When the call left that gives the answer; none before, and while it waits for another one.
    pub fn departed(&self) -> Option<Instant> {
        self.lock().departed
    }

    /// The flight's span, for those who have to do with it.
    pub fn flight(&self) -> Option<&Parent> {
        self.flight.as_ref()
    }

    /// The span of the call that it travels in, if it is not a part of the flight's own.
    pub fn call(&self) -> Option<Parent> {
        self.lock().call.clone()
    }

    /// It travels in a call that is a part of somebody else's flight.
    pub(super) fn set_call(&self, call: &Parent) {
        if self.flight.is_some() {
            self.lock().call = Some(call.clone());
        }
    }

    /// Whether nobody can use an answer any more.
    pub(super) fn is_lost(&self, now: Instant) -> bool {
        let state = self.lock();
        state.waiters == 0 || state.wish.deadline <= now
    }

    /// Gives up for good if nobody can use an answer any more.
    pub(super) fn give_up_if_lost(&self, now: Instant) -> bool {
        let mut state = self.lock();
        state.over |= state.waiters == 0 || state.wish.deadline <= now;
        state.over
    }

    /// The call has left, or, with none, has brought nothing and another one will.
    pub(super) fn set_departed(&self, at: Option<Instant>) {
        self.lock().departed = at;
    }

    /// Completes when something changed that matters: more is wanted, or nothing any more.
    pub(super) async fn changed(&self) {
        let deadline = self.wish().deadline;
        tokio::select! {
            biased;
            () = self.changed.notified() => {}
            () = sleep_until(deadline) => {}
        }
    }

    /// Completes when a waiter has come who wants more.
    pub(super) async fn more_wanted(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain values: a panic under this lock leaves them whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stake {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.waiters = state.waiters.saturating_sub(1);
        let last = state.waiters == 0;
        drop(state);
        if last {
            self.0.changed.notify_one();
        }
    }
}
