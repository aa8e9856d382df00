//! The month's calls.

use std::sync::Arc;

use super::{Registry, about};

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
    let labels = [("tenant", tenant)];
    let month = read.clone();
    registry.gauge(&about::QUOTA_MONTH_CALLS, &labels, move || {
        shown(month().made)
    });
    if read().limit.is_none() {
        return;
    }
    let month = read.clone();
    registry.gauge(&about::QUOTA_MONTH_LIMIT, &labels, move || {
        shown(month().limit.unwrap_or_default())
    });
    registry.gauge(&about::QUOTA_MONTH_WARNING, &labels, move || {
        f64::from(u8::from(read().is_nearly_spent))
    });
}

#[expect(
    clippy::cast_precision_loss,
    reason = "calls of a month: far below 2^53"
)]
fn shown(calls: u64) -> f64 {
    calls as f64
}
