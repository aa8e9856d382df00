//! When calls are due in an open loop. The schedule is made before anything is known of the
//! answers: that is what makes its latencies honest.

use std::{thread, time::Duration};

use tokio::time::Instant;

use crate::values::Arrivals;

/// The longest sleep, so that an interrupted run ends soon.
const NAP: Duration = Duration::from_millis(200);

/// The moments at which calls are due, counted from the start. Without end.
pub struct Schedule {
    interval: f64,
    arrivals: Arrivals,
    random: fastrand::Rng,
    seconds: f64,
}

impl Schedule {
    pub fn new(rate: f64, arrivals: Arrivals, seed: u64) -> Self {
        Self {
            interval: 1.0 / rate,
            arrivals,
            random: fastrand::Rng::with_seed(seed),
            seconds: 0.0,
        }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let due = self.seconds;
        self.seconds += match self.arrivals {
            Arrivals::Even => self.interval,
            // The gaps of a Poisson process. 1 - u, since the logarithm of 0 is no number.
            Arrivals::Poisson => -(1.0 - self.random.f64()).ln() * self.interval,
        };
        Some(Duration::from_secs_f64(due))
    }
}

/// Calls `dispatch` at each moment of the schedule until it returns false. Blocks: for a thread of
/// its own, which sleeps more exactly than the runtime's timer of a millisecond.
pub fn keep(
    schedule: Schedule,
    began: Instant,
    stopped: impl Fn() -> bool,
    mut dispatch: impl FnMut(Instant) -> bool,
) {
    for offset in schedule {
        let due = began + offset;
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(NAP));
            if stopped() {
                return;
            }
        }
        if !dispatch(due) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(arrivals: Arrivals) -> Vec<f64> {
        let schedule: Vec<Duration> = Schedule::new(200.0, arrivals, 5).take(20_001).collect();
        let gap = |pair: &[Duration]| match pair {
            [one, two] => two.saturating_sub(*one).as_secs_f64(),
            _ => 0.0,
        };
        schedule.windows(2).map(gap).collect()
    }

    #[test]
    fn even_arrivals_keep_their_distance() {
        for gap in gaps(Arrivals::Even) {
            assert!((gap - 0.005).abs() < 1e-6, "{gap}");
        }
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread_of_their_law() {
        let gaps = gaps(Arrivals::Poisson);
        let mean = gaps.iter().sum::<f64>() / 20_000.0;
        assert!((mean - 0.005).abs() < 0.0002, "{mean}");
        // Of exponential gaps, 1 in e is longer than the mean.
        let longer = gaps.iter().filter(|gap| **gap > 0.005).count();
        assert!((7158..=7558).contains(&longer), "{longer}");
    }

    #[test]
    fn a_late_dispatcher_still_says_when_calls_were_due() {
        let began = Instant::now();
        let mut due = Vec::new();
        keep(
            Schedule::new(1000.0, Arrivals::Even, 1),
            began,
            || false,
            |at| {
                if due.is_empty() {
                    thread::sleep(Duration::from_millis(20));
                }
                due.push(at - began);
                due.len() < 5
            },
        );
        let last = due.last().copied().unwrap_or_default();
        assert_eq!(last.as_millis(), 4);
    }

    #[test]
    fn the_same_seed_gives_the_same_moments() {
        let take = || Schedule::new(50.0, Arrivals::Poisson, 9).take(100);
        assert!(take().eq(take()));
    }
}
