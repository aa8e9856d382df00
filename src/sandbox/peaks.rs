//! The highest number of calls in a second and in a minute, by both forms of window. Counts what
//! arrives, let through or not. Pure: time is an argument.

use std::collections::VecDeque;

use serde_json::{Value, json};

const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60_000;

/// Most arrivals that a window remembers: 16,000 calls a second for a minute, 8 MB.
const MOST_ARRIVALS: usize = 1_000_000;

/// Both lengths of window.
#[derive(Default)]
pub(super) struct Peaks {
    second: Window,
    minute: Window,
}

#[derive(Default)]
struct Window {
    arrivals: VecDeque<u64>,
    any: usize,
    current: u64,
    in_current: usize,
    fixed: usize,
}

impl Peaks {
    pub(super) fn count(&mut self, now_ms: u64) {
        self.second.count(now_ms, SECOND_MS);
        self.minute.count(now_ms, MINUTE_MS);
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "in_a_clock_second": self.second.fixed,
            "in_any_second": self.second.any,
            "in_a_clock_minute": self.minute.fixed,
            "in_any_minute": self.minute.any,
        })
    }
}

impl Window {
    fn count(&mut self, now_ms: u64, length_ms: u64) {
        while self
            .arrivals
            .front()
            .is_some_and(|at| at + length_ms <= now_ms)
            || self.arrivals.len() >= MOST_ARRIVALS
        {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back(now_ms);
        self.any = self.any.max(self.arrivals.len());
        let current = now_ms / length_ms;
        if current != self.current {
            self.current = current;
            self.in_current = 0;
        }
        self.in_current += 1;
        self.fixed = self.fixed.max(self.in_current);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_over_a_boundary_counts_whole_in_any_second_and_split_by_the_clock() {
        let mut peaks = Peaks::default();
        for at in [59_800, 59_900, 60_000, 60_100, 61_000] {
            peaks.count(at);
        }
        assert_eq!(
            peaks.to_json(),
            json!({
                "in_a_clock_second": 2,
                "in_any_second": 4,
                "in_a_clock_minute": 3,
                "in_any_minute": 5,
            })
        );
    }
}
