//! `[cache]`: how long answers are given again. The same for every tenant.

use std::time::Duration;

use super::reader::Reader;

/// How long answers are kept, and how many.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// How long somebody's IDs are given again: those of a call that left at 9:00 until 21:00, with
    /// 12 h.
    pub ttl: Duration,
    /// The same for who was not found, doubling each time the answer repeats, up to 1 h: with 1 m,
    /// Feishu is asked again after 1, 2, 4 … 32 and then every 60 minutes.
    pub negative_ttl: Duration,
    /// How long past their TTL people who were found are still given when Feishu cannot be asked.
    pub serve_stale: Duration,
    /// Most identifiers remembered, all tenants together.
    pub capacity: usize,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            // IDs do not change, but an address can pass to somebody else: half a day later everybody
            // knows, and everybody is asked for twice a day at most.
            ttl: Duration::from_hours(12),
            // A newcomer is found soon after they get their account.
            negative_ttl: Duration::from_mins(1),
            // An outage of a working day and the night after.
            serve_stale: Duration::from_hours(24),
            // Everybody of a very large company by e-mail and mobile.
            capacity: 1_000_000,
        }
    }
}

impl CacheConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        const MONTH: Duration = Duration::from_hours(30 * 24);
        const HOUR: Duration = Duration::from_hours(1);
        let default = Self::default();
        Self {
            ttl: reader.ranged("cache.ttl", default.ttl, SECOND..=MONTH),
            negative_ttl: reader.ranged("cache.negative_ttl", default.negative_ttl, SECOND..=HOUR),
            serve_stale: reader.ranged(
                "cache.serve_stale",
                default.serve_stale,
                Duration::ZERO..=MONTH,
            ),
            capacity: reader.ranged("cache.capacity", default.capacity, 1000..=100_000_000),
        }
    }
}
