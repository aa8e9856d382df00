//! When a call may leave: the windows' places and credits, and what follows from refusals. Pure:
//! time is an argument.
//!
//! A full call leaves on the shortest window's credit alone while more than half of the longer
//! windows is free; any other call needs credit in every window. So a lone lookup waits for nothing,
//! a bulk load travels in full calls close together, and a busy service gathers by itself.

use std::time::Duration;

use tokio::time::Instant;

use super::{Covers, Ended, Limit, Load, window::Window};

/// The shortest and the longest pause after a refusal, whatever the directory asks for: Feishu's
/// windows are a second and a minute.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// How long after a refusal the pace stays slower: somebody else spends the same quota.
const SLOW_FOR: Duration = Duration::from_mins(5);
const SLOW_PACE: f64 = 0.7;
/// A guess at how long an answer takes, before there was one.
const FIRST_ANSWER: Duration = Duration::from_millis(50);
/// The longest that an answer counts as having taken: one that took longer says that this process
/// itself stood still, as when its machine slept, and nothing about the next ones.
const LONGEST_ANSWER: Duration = Duration::from_secs(10);

pub(super) struct Pace {
    /// The shortest first.
    windows: Vec<Window>,
    /// How long an answer takes, on average.
    usual_answer: Duration,
    paused_until: Option<Instant>,
    slow_until: Option<Instant>,
    /// Refusals in a row.
    refusals: u32,
    probe: Probe,
}

/// After a refusal one call goes first, and the others wait for what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    NotNeeded,
    Due,
    Out,
}

/// When a call may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Now(Covers),
    At(Instant),
    /// When something comes to wait, or an answer comes.
    AfterAChange,
}

impl Pace {
    /// Nobody knows what was before.
    pub(super) fn new(limits: &[Limit], now: Instant) -> Self {
        let limits = sorted(limits);
        let at_once = limits.first().map_or(0, |shortest| shortest.limit);
        let windows = limits.iter().enumerate().map(|(index, limit)| {
            // The shortest window is over before anybody can have asked twice.
            let spent = match index {
                0 => 0,
                _ => limit.limit.saturating_sub(at_once),
            };
            Window::with_some_spent(*limit, spent, now)
        });
        Self::of(windows.collect())
    }

    /// Calls were answered so long ago.
    pub(super) fn with_history(limits: &[Limit], answered: &[Duration], now: Instant) -> Self {
        let windows = sorted(limits).into_iter().map(|limit| {
            let back = |ago: &Duration| Some(now + limit.length.checked_sub(*ago)?);
            let returning = answered.iter().filter_map(back).filter(|at| *at > now);
            Window::new(limit, returning.collect(), now)
        });
        Self::of(windows.collect())
    }

    fn of(windows: Vec<Window>) -> Self {
        Self {
            windows,
            usual_answer: FIRST_ANSWER,
            paused_until: None,
            slow_until: None,
            refusals: 0,
            probe: Probe::NotNeeded,
        }
    }

    /// Holds these limits from now on, for windows of the same lengths. What has been spent stays spent.
    pub(super) fn set_limits(&mut self, limits: &[Limit], now: Instant) {
        self.count(now);
        for window in &mut self.windows {
            let same = limits.iter().find(|limit| limit.length == window.length());
            if let Some(limit) = same {
                window.set_limit(limit.limit, now, self.usual_answer);
            }
        }
    }

    /// How long ago the calls that still count were answered; zero for those that are not.
    pub(super) fn history(&mut self, now: Instant) -> Vec<Duration> {
        self.count(now);
        let longest = self.windows.last();
        longest
            .map(|window| window.history(now))
            .unwrap_or_default()
    }

    pub(super) fn left(&mut self, now: Instant) -> Vec<(Limit, usize)> {
        self.count(now);
        self.windows.iter().map(Window::left).collect()
    }

    /// Takes a place in every window, or in none.
    pub(super) fn take(&mut self, now: Instant, load: Load) -> Room {
        let pace = self.count(now);
        let room = self.room(now, load, pace);
        if let Room::Now(covers) = room {
            for (index, window) in self.windows.iter_mut().enumerate() {
                // A full call leaves the longer windows' credit to the others: they would have to wait
                // for the last of the full ones.
                let is_charged = index == 0 || covers == Covers::AnyCall;
                window.depart(now, is_charged, self.usual_answer);
            }
            if self.probe == Probe::Due {
                self.probe = Probe::Out;
            }
        }
        room
    }

    /// Whether the call that left last is the one that goes first after a refusal.
    pub(super) fn is_probing(&self) -> bool {
        self.probe == Probe::Out
    }

    pub(super) fn end(&mut self, departed: Instant, now: Instant, is_probe: bool, how: Ended) {
        let windows = self.windows.iter_mut();
        if how == Ended::Unused {
            windows.for_each(Window::give_back);
            if is_probe {
                self.probe = Probe::Due;
            }
            return;
        }
        windows.for_each(|window| window.answered(now));
        let took = now.saturating_duration_since(departed).min(LONGEST_ANSWER);
        self.usual_answer = (self.usual_answer * 9 + took) / 10;
        match how {
            Ended::Throttled { retry_after } => self.refused(now, retry_after, is_probe),
            _ if is_probe => {
                self.probe = Probe::NotNeeded;
                self.refusals = 0;
            }
            _ => {}
        }
    }

    /// In how long the last of so many further calls could leave.
    pub(super) fn outlook(&mut self, now: Instant, calls: usize) -> Duration {
        let pace = self.count(now);
        let places = self.windows.iter().map(|w| w.nth_place(now, calls));
        let at = places.chain(self.paused_until).max().unwrap_or(now);
        let paced = self.windows.iter().enumerate().map(|(index, window)| {
            // Full calls are spared the longer windows' pace until half of those is spent.
            let spared = if index == 0 { 0 } else { window.until_half() };
            window.paced(calls.saturating_sub(spared)).div_f64(pace)
        });
        let paced = paced.max().unwrap_or_default();
        at.saturating_duration_since(now).max(paced)
    }

    /// Brings every window up to date, and says at which pace.
    fn count(&mut self, now: Instant) -> f64 {
        let pace = match self.slow_until {
            Some(until) if until > now => SLOW_PACE,
            _ => 1.0,
        };
        for window in &mut self.windows {
            window.count(now, pace);
        }
        pace
    }

    fn room(&self, now: Instant, load: Load, pace: f64) -> Room {
        let Some(ready_at) = load.ready_at else {
            return Room::AfterAChange;
        };
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Room::At(until);
        }
        for window in &self.windows {
            match window.place(now) {
                Some(at) if at <= now => {}
                Some(at) => return Room::At(at),
                None => return Room::AfterAChange,
            }
        }
        match self.probe {
            Probe::Out => return Room::AfterAChange,
            Probe::Due if ready_at <= now => return Room::Now(Covers::AnyCall),
            Probe::Due => return Room::At(ready_at),
            Probe::NotNeeded => {}
        }
        self.by_credit(now, load, ready_at, pace)
    }

    fn by_credit(&self, now: Instant, load: Load, ready_at: Instant, pace: f64) -> Room {
        let credits = self.windows.iter().map(|w| w.credit_at(now, pace));
        let mut any_at = credits.max().unwrap_or(now);
        let eager = load.eager && self.windows.iter().all(Window::is_rested);
        if !eager {
            any_at = any_at.max(load.full_at.map_or(ready_at, |at| at.min(ready_at)));
        }
        if any_at <= now {
            return Room::Now(Covers::AnyCall);
        }
        let mut windows = self.windows.iter();
        let shortest = windows.next().map_or(now, |w| w.credit_at(now, pace));
        match load.full_at.map(|at| at.max(shortest)) {
            Some(full_at) if windows.all(Window::half_is_free) => {
                if full_at <= now {
                    Room::Now(Covers::FullCall)
                } else {
                    Room::At(full_at.min(any_at))
                }
            }
            _ => Room::At(any_at),
        }
    }

    fn refused(&mut self, now: Instant, retry_after: Option<Duration>, is_probe: bool) {
        // Calls that were under way together are refused together: that is one refusal.
        if is_probe || self.probe == Probe::NotNeeded {
            self.refusals = self.refusals.saturating_add(1);
        }
        let doublings = self.refusals.saturating_sub(1).min(6);
        let pause = retry_after.unwrap_or(PAUSE.0 * (1 << doublings));
        let until = now + pause.clamp(PAUSE.0, PAUSE.1);
        self.paused_until = Some(self.paused_until.map_or(until, |other| other.max(until)));
        self.slow_until = Some(now + SLOW_FOR);
        if is_probe || self.probe == Probe::NotNeeded {
            self.probe = Probe::Due;
        }
    }
}

/// The shortest first.
fn sorted(limits: &[Limit]) -> Vec<Limit> {
    let mut limits = limits.to_vec();
    limits.sort_by_key(|limit| limit.length);
    limits
}
