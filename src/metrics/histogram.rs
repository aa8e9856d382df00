//! A histogram whose recording takes no lock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Where the buckets of a histogram end, in the unit that is recorded.
pub(super) struct Buckets {
    /// The last value of each bucket, ascending; one more bucket holds what is above.
    pub(super) ends: &'static [u64],
    /// How many of the recorded unit make one of the shown.
    pub(super) scale: f64,
}

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000 * MICROSECOND;
const SECOND: u64 = 1_000 * MILLISECOND;

/// From what the cache answers in to a minute, recorded in nanoseconds.
pub(super) static SECONDS: Buckets = Buckets {
    ends: &[
        100 * MICROSECOND,
        250 * MICROSECOND,
        500 * MICROSECOND,
        MILLISECOND,
        2_500 * MICROSECOND,
        5 * MILLISECOND,
        10 * MILLISECOND,
        25 * MILLISECOND,
        50 * MILLISECOND,
        100 * MILLISECOND,
        250 * MILLISECOND,
        500 * MILLISECOND,
        SECOND,
        2_500 * MILLISECOND,
        5 * SECOND,
        10 * SECOND,
        30 * SECOND,
        60 * SECOND,
    ],
    scale: 1e9,
};

/// Up to the hundred identifiers that a call can carry.
pub(super) static IDENTIFIERS: Buckets = Buckets {
    ends: &[1, 2, 5, 10, 20, 30, 40, 49, 50, 75, 99, 100],
    scale: 1.0,
};

/// How often values of each size were seen, and their sum.
pub(super) struct Histogram {
    buckets: &'static Buckets,
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    pub(super) fn new(buckets: &'static Buckets) -> Self {
        Self {
            buckets,
            counts: (0..=buckets.ends.len())
                .map(|_| AtomicU64::new(0))
                .collect(),
            sum: AtomicU64::new(0),
        }
    }

    pub(super) fn record(&self, value: u64) {
        let bucket = self.buckets.ends.partition_point(|end| *end < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
            self.sum.fetch_add(value, Ordering::Relaxed);
        }
    }

    pub(super) fn record_time(&self, time: Duration) {
        // Nanoseconds of 584 years fit.
        self.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().map(|c| c.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn sum(&self) -> f64 {
        shown(self.sum.load(Ordering::Relaxed), self.buckets)
    }

    /// The upper end and the count of each bucket by itself.
    pub(super) fn read(&self) -> Vec<(f64, u64)> {
        let ends = self
            .buckets
            .ends
            .iter()
            .map(|end| shown(*end, self.buckets));
        let counts = self.counts.iter().map(|c| c.load(Ordering::Relaxed));
        ends.chain([f64::INFINITY]).zip(counts).collect()
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new(&SECONDS)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a figure for people: 53 bits are more than enough"
)]
fn shown(value: u64, buckets: &Buckets) -> f64 {
    value as f64 / buckets.scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_at_a_bucket_s_end_is_in_it_and_what_is_longer_than_all_is_in_the_last() {
        let histogram = Histogram::new(&IDENTIFIERS);
        for value in [0, 1, 2, 3, 100, 101] {
            histogram.record(value);
        }
        let filled: Vec<_> = histogram
            .read()
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .collect();
        let expected = [(1.0, 2), (2.0, 1), (5.0, 1), (100.0, 1), (f64::INFINITY, 1)];
        assert_eq!(filled, expected);
        assert_eq!(histogram.count(), 6);
        assert!((histogram.sum() - 207.0).abs() < 1e-9);
    }

    #[test]
    fn times_are_shown_in_seconds() {
        let histogram = Histogram::default();
        histogram.record_time(Duration::from_micros(250));
        let filled: Vec<_> = histogram
            .read()
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .collect();
        assert_eq!(filled, [(0.000_25, 1)]);
        assert!((histogram.sum() - 0.000_25).abs() < 1e-12);
    }
}
