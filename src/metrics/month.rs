//! The month's calls.

use std::sync::Arc;

use super::{Registry, about};

/// The calls of a month: how many have been made, of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonthOfCalls {
    /// Made, as far as is known.
    pub made: u64,
    /// Allowed.
    pub limit: u64,
}

impl MonthOfCalls {
    /// Whether so much is spent that somebody should know: four fifths.
    pub fn is_nearly_spent(self) -> bool {
        u128::from(self.made) * 5 >= u128::from(self.limit) * 4
    }
}

/// Shows a tenant's month, as it is whenever it is read.
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
    let month = read.clone();
    registry.gauge(&about::QUOTA_MONTH_LIMIT, &labels, move || {
        shown(month().limit)
    });
    registry.gauge(&about::QUOTA_MONTH_WARNING, &labels, move || {
        f64::from(u8::from(read().is_nearly_spent()))
    });
}

#[expect(
    clippy::cast_precision_loss,
    reason = "calls of a month: far below 2^53"
)]
fn shown(calls: u64) -> f64 {
    calls as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_warns_from_four_fifths_on() {
        let month = |made| MonthOfCalls { made, limit: 100 };
        assert!(!month(79).is_nearly_spent());
        assert!(month(80).is_nearly_spent());
        assert!(month(101).is_nearly_spent());
    }
}
