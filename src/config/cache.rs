//! `[cache]`: how long answers are given again. The same for every tenant.

use std::time::Duration;

use super::reader::Reader;

/// How long answers are given again.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// How long somebody who was found is not asked for again.
    pub ttl: Duration,
    /// The same for who was not; doubles each time the answer repeats, up to an hour.
    pub negative_ttl: Duration,
    /// Most people remembered, all tenants together.
    pub capacity: usize,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::from_hours(12),
            negative_ttl: Duration::from_mins(1),
            capacity: 1_000_000,
        }
    }
}

impl CacheConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        const LEAST: Duration = Duration::from_secs(1);
        let default = Self::default();
        Self {
            ttl: reader.ranged(
                "cache.ttl",
                default.ttl,
                LEAST..=Duration::from_hours(30 * 24),
            ),
            negative_ttl: reader.ranged(
                "cache.negative_ttl",
                default.negative_ttl,
                LEAST..=Duration::from_hours(1),
            ),
            capacity: reader.ranged("cache.capacity", default.capacity, 1000..=100_000_000),
        }
    }
}
