//! How many calls a second and a minute the simulated Feishu lets through, for each API, app and
//! tenant. Pure: time is an argument. Knows no HTTP; `gateway` asks and refuses.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60_000;

/// How a window is counted. Feishu does not say which it uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Form {
    /// Windows that begin with the clock's second or minute.
    #[default]
    Fixed,
    /// Any stretch of a second or a minute.
    Sliding,
}

/// What is allowed.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) per_second: u32,
    pub(super) per_minute: u32,
    pub(super) form: Form,
}

/// A refusal: the limit that was reached, and when to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) limit: u32,
    pub(super) reset_seconds: u64,
}

/// The calls of the last minute that were let through, by tenant (one app each, and one API that
/// has a quota).
#[derive(Default)]
pub(super) struct Quota {
    calls: HashMap<usize, VecDeque<u64>>,
}

impl Quota {
    /// Counts a call that arrives now, or refuses it. A refused call is not counted.
    pub(super) fn admit(
        &mut self,
        tenant: usize,
        now_ms: u64,
        limits: Limits,
    ) -> Result<(), Refusal> {
        let calls = self.calls.entry(tenant).or_default();
        while calls.front().is_some_and(|at| at + MINUTE_MS <= now_ms) {
            calls.pop_front();
        }
        for (limit, window) in [
            (limits.per_second, SECOND_MS),
            (limits.per_minute, MINUTE_MS),
        ] {
            let free_at = match limits.form {
                Form::Fixed => fixed(calls, limit, now_ms, window),
                Form::Sliding => sliding(calls, limit, now_ms, window),
            };
            if let Some(free_at) = free_at {
                return Err(Refusal {
                    limit,
                    reset_seconds: free_at.saturating_sub(now_ms).div_ceil(1000).max(1),
                });
            }
        }
        calls.push_back(now_ms);
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.calls.clear();
    }
}

/// When the window is full: the moment at which the next begins.
fn fixed(calls: &VecDeque<u64>, limit: u32, now_ms: u64, window_ms: u64) -> Option<u64> {
    let start = now_ms - now_ms % window_ms;
    // The limit-th call from the end is inside the window: it is full. Calls are in order.
    let full = nth_last(calls, limit).is_none_or(|at| at >= start);
    full.then_some(start + window_ms)
}

/// When the window is full: the moment at which its oldest call leaves it.
fn sliding(calls: &VecDeque<u64>, limit: u32, now_ms: u64, window_ms: u64) -> Option<u64> {
    let Some(oldest) = nth_last(calls, limit) else {
        return Some(now_ms + window_ms);
    };
    (oldest + window_ms > now_ms).then_some(oldest + window_ms)
}

/// The call that must have left before another may come. Time zero, long ago, if there have been
/// fewer; none if the limit is nothing.
fn nth_last(calls: &VecDeque<u64>, limit: u32) -> Option<u64> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if limit == 0 {
        return None;
    }
    let index = calls.len().checked_sub(limit);
    Some(
        index
            .and_then(|index| calls.get(index).copied())
            .unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_second: u32, per_minute: u32, form: Form) -> Limits {
        Limits {
            per_second,
            per_minute,
            form,
        }
    }

    /// The clock of these tests starts at a full minute.
    const START: u64 = 1_795_426_200_000;

    fn admitted(quota: &mut Quota, at: u64, calls: usize, limits: Limits) -> usize {
        (0..calls)
            .filter(|_| quota.admit(0, START + at, limits).is_ok())
            .count()
    }

    #[test]
    fn fixed_windows_begin_anew_with_the_clock() {
        let rules = limits(50, 1000, Form::Fixed);
        let mut quota = Quota::default();
        assert_eq!(admitted(&mut quota, 900, 60, rules), 50);
        assert_eq!(admitted(&mut quota, 999, 1, rules), 0);
        assert_eq!(admitted(&mut quota, 1000, 60, rules), 50);
    }

    #[test]
    fn sliding_windows_never_hold_more_than_the_limit() {
        let rules = limits(50, 1000, Form::Sliding);
        let mut quota = Quota::default();
        assert_eq!(admitted(&mut quota, 900, 60, rules), 50);
        assert_eq!(admitted(&mut quota, 1000, 60, rules), 0);
        assert_eq!(admitted(&mut quota, 1899, 1, rules), 0);
        assert_eq!(admitted(&mut quota, 1900, 60, rules), 50);
    }

    #[test]
    fn the_minute_counts_too_and_the_reset_is_in_whole_seconds() {
        for form in [Form::Fixed, Form::Sliding] {
            let rules = limits(50, 120, form);
            let mut quota = Quota::default();
            let passed: usize = (0..5)
                .map(|second| admitted(&mut quota, second * 1000, 50, rules))
                .sum();
            assert_eq!(passed, 120);
            let refused = quota.admit(0, START + 4_500, rules);
            let reset_seconds = 56; // 55.5 s until the minute is over, or the first call leaves.
            assert_eq!(
                refused,
                Err(Refusal {
                    limit: 120,
                    reset_seconds
                })
            );
            assert_eq!(admitted(&mut quota, 60_000, 100, rules), 50);
        }
    }

    #[test]
    fn tenants_are_counted_apart_and_a_limit_of_nothing_refuses() {
        let mut quota = Quota::default();
        let one = limits(1, 1, Form::Fixed);
        assert!(quota.admit(0, START, one).is_ok());
        assert!(quota.admit(0, START, one).is_err());
        assert!(quota.admit(1, START, one).is_ok());
        assert!(quota.admit(2, START, limits(0, 1, Form::Sliding)).is_err());
    }
}
