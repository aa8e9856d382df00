//! The waits for a permit of the quota.

use std::{sync::Arc, time::Duration};

use super::{
    about,
    histogram::Histogram,
    registry::{Registry, Value},
};

/// The handle of one tenant. Cloning gives the same one.
#[derive(Clone, Default)]
pub struct Waited(Arc<Histogram>);

impl Waited {
    /// The handle of this tenant.
    pub fn new(registry: &Registry, tenant: &str) -> Self {
        let waited = Self::default();
        let (Self(histogram), tenant) = (waited.clone(), tenant.to_owned());
        registry.add(&about::QUOTA_WAIT, move |sink| {
            sink.put(&[("tenant", &tenant)], Value::Histogram(&histogram));
        });
        waited
    }

    /// A call was ready for so long before it could leave.
    pub fn record(&self, wait: Duration) {
        self.0.record_time(wait);
    }
}
