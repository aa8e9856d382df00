//! One limit's places, and the credit by which they are spent evenly. Pure: time is an argument.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::Limit;

/// Most calls that may leave at once after a quiet time. A larger burst empties a window, and whoever
/// comes next waits for it: with 50, for 0.9 s; with 8 nobody waits longer than 0.13 s.
const MOST_CREDIT: f64 = 8.0;
/// At most this many of a window's returns are looked at to find the pace.
const SAMPLES: usize = 100;

pub(super) struct Window {
    limit: Limit,
    /// Calls that are not answered yet.
    out: usize,
    /// When the places of answered calls come back: ascending, since all wait equally long.
    returning: VecDeque<Instant>,
    /// Calls that may leave now.
    credit: f64,
    most_credit: f64,
    counted_at: Instant,
    /// Seconds for one more credit: the smallest gap at which the places never run out.
    gap: f64,
}

impl Window {
    /// A window of which `spent` places come back evenly during its length.
    pub(super) fn with_some_spent(limit: Limit, spent: usize, now: Instant) -> Self {
        let spent = spent.min(limit.limit.max(1) - 1);
        let back = |n: usize| now + limit.length.mul_f64(count(n + 1) / count(spent));
        Self::new(limit, (0..spent).map(back).collect(), now)
    }

    /// A window whose places come back then.
    pub(super) fn new(limit: Limit, mut returning: Vec<Instant>, now: Instant) -> Self {
        let limit = Limit {
            limit: limit.limit.max(1),
            ..limit
        };
        returning.sort_unstable();
        let mut window = Self {
            limit,
            out: 0,
            returning: returning.into(),
            credit: 0.0,
            most_credit: most_credit(limit.limit),
            counted_at: now,
            gap: 0.0,
        };
        window.credit = window.most_credit;
        window.gap = window.find_gap(now, Duration::ZERO);
        window
    }

    /// Allows so many calls from now on. Those that have left are still known: of a lowered limit they
    /// may take more than there is, and come back all the same.
    pub(super) fn set_limit(&mut self, limit: usize, now: Instant, usual_answer: Duration) {
        self.limit.limit = limit.max(1);
        self.most_credit = most_credit(self.limit.limit);
        self.credit = self.credit.min(self.most_credit);
        self.gap = self.find_gap(now, usual_answer);
    }

    pub(super) fn length(&self) -> Duration {
        self.limit.length
    }

    /// How long ago each call was answered that still counts, and zero for those that are not.
    pub(super) fn history(&self, now: Instant) -> Vec<Duration> {
        let ago = |back: &Instant| {
            let left = back.saturating_duration_since(now);
            self.limit.length.saturating_sub(left)
        };
        let unanswered = std::iter::repeat_n(Duration::ZERO, self.out);
        self.returning.iter().map(ago).chain(unanswered).collect()
    }

    /// The limit, and how many calls may leave now.
    pub(super) fn left(&self) -> (Limit, usize) {
        (self.limit, self.free())
    }

    /// Lets come back what is due, and refills the credit. `pace` is 1, or less to be slower.
    pub(super) fn count(&mut self, now: Instant, pace: f64) {
        while self.returning.front().is_some_and(|at| *at <= now) {
            self.returning.pop_front();
        }
        let passed = now.saturating_duration_since(self.counted_at).as_secs_f64();
        self.credit = (self.credit + pace * passed / self.gap).min(self.most_credit);
        self.counted_at = self.counted_at.max(now);
    }

    /// When the next place is free: none if that takes an answer first.
    pub(super) fn place(&self, now: Instant) -> Option<Instant> {
        if self.free() > 0 {
            Some(now)
        } else {
            self.returning.get(self.over()).copied()
        }
    }

    /// When there is credit for a call, if none leaves before.
    pub(super) fn credit_at(&self, now: Instant, pace: f64) -> Instant {
        let lacking = 1.0 - self.credit;
        if lacking <= 1e-9 {
            return now;
        }
        // Not at once again because of a rounding error.
        let seconds = (lacking * self.gap / pace).max(1e-4);
        now + Duration::try_from_secs_f64(seconds).unwrap_or(self.limit.length)
    }

    /// Whether no call has left for a while: the credit is as good as full.
    pub(super) fn is_rested(&self) -> bool {
        self.credit >= self.most_credit - 0.5
    }

    pub(super) fn half_is_free(&self) -> bool {
        self.until_half() > 0
    }

    /// How many more calls until half of the places is taken.
    pub(super) fn until_half(&self) -> usize {
        let taken = self.out + self.returning.len();
        self.limit.limit.div_ceil(2).saturating_sub(taken)
    }

    pub(super) fn depart(&mut self, now: Instant, is_charged: bool, usual_answer: Duration) {
        self.out += 1;
        if is_charged {
            self.credit = (self.credit - 1.0).max(0.0);
        }
        self.gap = self.find_gap(now, usual_answer);
    }

    /// The call was answered, or given up.
    pub(super) fn answered(&mut self, now: Instant) {
        self.out = self.out.saturating_sub(1);
        self.returning.push_back(now + self.limit.length);
    }

    /// The call never left.
    pub(super) fn give_back(&mut self) {
        self.out = self.out.saturating_sub(1);
        self.credit = (self.credit + 1.0).min(self.most_credit);
    }

    /// When the last of so many further calls has a place, as far as known answers tell.
    pub(super) fn nth_place(&self, now: Instant, calls: usize) -> Instant {
        let Some(waiting) = calls.checked_sub(self.free()).filter(|n| *n > 0) else {
            return now;
        };
        // Each place serves once in a window's length.
        let round = u32::try_from((waiting - 1) / self.limit.limit).unwrap_or(u32::MAX);
        let index = (waiting - 1) % self.limit.limit;
        let at = self.returning.get(index + self.over()).copied();
        let at = at.unwrap_or(now + self.limit.length);
        at + self.limit.length.saturating_mul(round.min(10_000))
    }

    /// How long so many calls take at the even pace, beyond what the credit covers.
    pub(super) fn paced(&self, calls: usize) -> Duration {
        let beyond = (count(calls) - self.credit).max(0.0);
        Duration::try_from_secs_f64(beyond * self.even()).unwrap_or(Duration::MAX)
    }

    fn free(&self) -> usize {
        self.limit
            .limit
            .saturating_sub(self.out + self.returning.len())
    }

    /// How many more are taken than there are, since the limit was lowered: so many must come back
    /// before one is free.
    fn over(&self) -> usize {
        (self.out + self.returning.len()).saturating_sub(self.limit.limit)
    }

    fn even(&self) -> f64 {
        self.limit.length.as_secs_f64() / count(self.limit.limit)
    }

    /// With places free at hand and the others coming back at r0 ≤ r1 ≤ …, the smallest gap at which
    /// a place is there whenever one is due: by the time r(j) no more than free + j may have left.
    fn find_gap(&self, now: Instant, usual_answer: Duration) -> f64 {
        let (free, over) = (self.free(), self.over());
        let unanswered = now + usual_answer + self.limit.length;
        let unanswered = std::iter::repeat_n(&unanswered, self.out);
        let returns = self.returning.len() + self.out;
        let step = returns.div_ceil(SAMPLES).max(1);
        let known = self.returning.iter().chain(unanswered);
        let gaps = known.enumerate().step_by(step).map(|(index, at)| {
            let seconds = at.saturating_duration_since(now).as_secs_f64();
            seconds / count((free + index).saturating_sub(over).max(1))
        });
        gaps.fold(self.even(), f64::max)
    }
}

fn most_credit(limit: usize) -> f64 {
    (count(limit) / 2.0).clamp(1.0, MOST_CREDIT)
}

/// Counts are small: at most a few hundred thousand.
fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}
