//! How much somebody may ask for: a token bucket that can go into debt. Pure in time, one atomic number,
//! no lock.
//!
//! Whoever owes nothing beyond the burst gets what they ask for, as much as it is, and then pays it off:
//! a batch that is larger than the bucket is possible, and over any time *t* nobody gets more than
//! rate × (*t* + burst) and one batch. Requiring that a batch fits would shut out large batches, or
//! starve them behind small ones.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// How much may be asked for at once after a pause: ten seconds' worth. With the default rate that is
/// one batch of 1,000.
const BURST: Duration = Duration::from_secs(10);

/// Identifiers in a second, over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    nanos_each: u64,
}

/// What one caller has taken.
pub(super) struct Bucket {
    since: Instant,
    /// When everything that was taken is paid for: in nanoseconds since then.
    paid_at: AtomicU64,
}

impl Rate {
    /// So many a second; none counts as one.
    pub fn per_second(identifiers: u32) -> Self {
        Self {
            nanos_each: 1_000_000_000 / u64::from(identifiers.max(1)),
        }
    }
}

impl Bucket {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            paid_at: AtomicU64::new(0),
        }
    }

    /// Takes so many.
    ///
    /// # Errors
    /// From when on the debt is small enough.
    pub(super) fn take(&self, rate: Rate, identifiers: usize, now: Instant) -> Result<(), Instant> {
        let burst = nanos(BURST);
        let passed = nanos(now.saturating_duration_since(self.since));
        let count = u64::try_from(identifiers).unwrap_or(u64::MAX);
        let price = rate.nanos_each.saturating_mul(count);
        let mut paid_at = self.paid_at.load(Ordering::Relaxed);
        loop {
            if paid_at.saturating_sub(passed) >= burst {
                let wait = paid_at.saturating_sub(passed).saturating_sub(burst);
                // At the very moment it would still be refused.
                return Err(now + Duration::from_nanos(wait) + Duration::from_millis(1));
            }
            let after = paid_at.max(passed).saturating_add(price);
            let exchange = self.paid_at.compare_exchange_weak(
                paid_at,
                after,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match exchange {
                Ok(_) => return Ok(()),
                // Another request of the same caller was faster.
                Err(other) => paid_at = other,
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn bucket() -> (Bucket, Instant) {
        let now = Instant::now();
        (Bucket::new(now), now)
    }

    #[test]
    fn a_burst_is_ten_seconds_worth_and_then_it_is_the_rate() {
        let (bucket, start) = bucket();
        let rate = Rate::per_second(100);
        for _ in 0..1000 {
            bucket.take(rate, 1, start).unwrap();
        }
        let again = bucket.take(rate, 1, start).unwrap_err();
        assert!(
            again - start <= Duration::from_millis(2),
            "{:?}",
            again - start
        );
        let mut taken = 0;
        for millis in 1..=10_000 {
            let now = start + Duration::from_millis(millis);
            while bucket.take(rate, 1, now).is_ok() {
                taken += 1;
            }
        }
        assert_eq!(taken, 1000, "ten seconds at a hundred");
    }

    #[test]
    fn a_batch_larger_than_the_bucket_is_possible_and_paid_for_afterwards() {
        let (bucket, start) = bucket();
        let rate = Rate::per_second(10);
        bucket.take(rate, 1000, start).unwrap();
        let again = bucket.take(rate, 1, start).unwrap_err();
        assert_eq!(
            (again - start).as_secs(),
            90,
            "a hundred seconds, less the burst"
        );
        assert!(bucket.take(rate, 1, start + 89 * SECOND).is_err());
        assert!(bucket.take(rate, 1000, again).is_ok());
        assert!(bucket.take(rate, 1, again).is_err());
    }

    #[test]
    fn who_is_refused_owes_nothing_for_it() {
        let (bucket, start) = bucket();
        let rate = Rate::per_second(1);
        bucket.take(rate, 10, start).unwrap();
        for _ in 0..100 {
            bucket.take(rate, 1000, start).unwrap_err();
        }
        bucket.take(rate, 1, start + SECOND).unwrap();
    }

    #[test]
    fn a_pause_gives_no_more_than_the_burst() {
        let (bucket, start) = bucket();
        let rate = Rate::per_second(7);
        let later = start + 3600 * SECOND;
        let taken = (0..1000).take_while(|_| bucket.take(rate, 1, later).is_ok());
        assert!((70..=71).contains(&taken.count()));
    }

    #[test]
    fn another_rate_takes_over_what_is_owed_in_time() {
        let (bucket, start) = bucket();
        bucket.take(Rate::per_second(1), 100, start).unwrap();
        let fast = Rate::per_second(1_000_000);
        assert!(bucket.take(fast, 1, start).is_err());
        assert!(bucket.take(fast, 1, start + 91 * SECOND).is_ok());
    }

    #[test]
    fn many_at_once_get_no_more_than_one_would() {
        let (bucket, start) = bucket();
        let rate = Rate::per_second(100);
        let taken: usize = std::thread::scope(|scope| {
            let take = || {
                (0..2000)
                    .filter(|_| bucket.take(rate, 1, start).is_ok())
                    .count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(taken, 1000);
    }

    #[test]
    fn absurd_numbers_do_not_overflow() {
        let (bucket, start) = bucket();
        bucket.take(Rate::per_second(0), usize::MAX, start).unwrap();
        assert!(
            bucket
                .take(Rate::per_second(u32::MAX), 1, start + SECOND)
                .is_err()
        );
    }
}
