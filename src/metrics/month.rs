//! The month's calls.

use std::sync::Arc;

use super::{
    about,
    registry::{Registry, Value},
};

/// The calls of a month: how many have been made, of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonthOfCalls {
    /// Made, as far as is known.
    pub made: u64,
    /// Allowed, if there is a limit.
    pub limit: Option<u64>,
    /// Whether so much is spent that somebody should know.
    pub is_nearly_spent: bool,
}

/// Shows a tenant's month, as it is whenever it is read. Without a limit there is nothing to warn of.
pub fn watch_month(
    registry: &Registry,
    tenant: &str,
    read: impl Fn() -> MonthOfCalls + Send + Sync + 'static,
) {
    let read = Arc::new(read);
    let show = |about, value: fn(MonthOfCalls) -> Option<f64>| {
        let (read, tenant) = (read.clone(), tenant.to_owned());
        registry.add(about, move |sink| {
            if let Some(value) = value(read()) {
                sink.put(&[("tenant", &tenant)], Value::Gauge(value));
            }
        });
    };
    show(&about::QUOTA_MONTH_CALLS, |month| Some(shown(month.made)));
    show(&about::QUOTA_MONTH_LIMIT, |month| month.limit.map(shown));
    show(&about::QUOTA_MONTH_WARNING, |month| {
        month.limit?;
        Some(f64::from(u8::from(month.is_nearly_spent)))
    });
}

#[expect(
    clippy::cast_precision_loss,
    reason = "calls of a month: far below 2^53"
)]
fn shown(calls: u64) -> f64 {
    calls as f64
}
