//! How long to wait before trying again. Pure: the random number is an argument. Knows nobody.

use std::time::Duration;

/// A pause that doubles with each failure in a row, up to a limit.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The pause after the first failure.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Backoff {
    /// The pause after this many failures in a row (1 is the first), between half of it and all of
    /// it as `random` in 0..1 says: with first = 1 s and longest = 30 s, 0.5 to 1 s, then 1 to 2 s,
    /// 2 to 4 s, … 15 to 30 s.
    pub fn pause(self, failures: u32, random: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        whole.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }
}

/// Where random numbers in 0..1 come from; handed in, so that a run can be replayed.
pub type Random = fn() -> f64;

/// The program's own source of randomness.
#[expect(clippy::disallowed_methods, reason = "the one place the ban points to")]
pub fn random() -> f64 {
    fastrand::f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_limit() {
        let backoff = Backoff {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
        };
        let pauses = [1, 2, 3, 5, 6, 1000].map(|n| backoff.pause(n, 1.0).as_secs());
        assert_eq!(pauses, [1, 2, 4, 16, 30, 30]);
        assert_eq!(backoff.pause(1, 0.0), Duration::from_millis(500));
    }
}
