//! `[quota]`: this service's share of what Feishu gives an app. The same for every tenant.

use jiff::tz::{Offset, TimeZone};

use super::{reader::Reader, value::OptionalLimit};

/// This service's share of what Feishu allows.
#[derive(Clone, Debug)]
pub struct QuotaConfig {
    /// Calls in any second.
    pub per_second: u32,
    /// Calls in any minute.
    pub per_minute: u32,
    /// Calls in a month, of all of Feishu's endpoints; none is no limit, and they are counted all the
    /// same.
    pub per_month: Option<u64>,
    /// By which a month ends.
    pub time_zone: TimeZone,
    /// Most identifiers of one tenant that wait for a call.
    pub max_queue: usize,
}

impl Default for QuotaConfig {
    fn default() -> Self {
        Self {
            // Feishu's limits of `batch_get_id`: 1000 a minute and 50 a second for each app.
            per_second: 50,
            per_minute: 1000,
            // It depends on the tenant's edition, and Feishu does not tell it to an app.
            per_month: None,
            time_zone: shanghai(),
            // At most 20 seconds' worth: 1000 calls a minute of 50 identifiers or more.
            max_queue: 20_000,
        }
    }
}

impl QuotaConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        Self {
            per_second: reader.ranged("quota.per_second", default.per_second, 1..=10_000),
            per_minute: reader.ranged("quota.per_minute", default.per_minute, 1..=100_000),
            per_month: reader
                .checked(
                    "quota.per_month",
                    OptionalLimit(default.per_month),
                    |limit| match limit.0 {
                        Some(0) => Err("must be at least 1, or \"off\"".to_owned()),
                        _ => Ok(()),
                    },
                )
                .0,
            time_zone: reader.setting("quota.time_zone", default.time_zone),
            max_queue: reader.ranged("quota.max_queue", default.max_queue, 100..=10_000_000),
        }
    }

    /// The given fraction of the pace, at least one call a window: `share(10)` of 50 and 1000 is 5
    /// and 100.
    #[must_use]
    pub fn share(&self, parts: u32) -> Self {
        let parts = parts.max(1);
        Self {
            per_second: (self.per_second / parts).max(1),
            per_minute: (self.per_minute / parts).max(1),
            ..self.clone()
        }
    }
}
/// Feishu's own: no summer time, so that the offset would do.
fn shanghai() -> TimeZone {
    TimeZone::get("Asia/Shanghai").unwrap_or_else(|_| TimeZone::fixed(Offset::constant(8)))
}
