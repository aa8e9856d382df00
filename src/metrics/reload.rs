//! Reloads of the configuration.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::SystemTime,
};

use super::{
    about,
    label::{Label, label},
    registry::{Registry, Value},
};

label! {
    /// What became of a configuration that was read anew.
    ReloadResult {
        /// It is in force.
        Applied = "applied",
        /// It has mistakes: the one before stays in force.
        Refused = "refused",
    }
}

/// The handle. Cloning gives the same one.
#[derive(Clone)]
pub struct Reloads(Arc<Counts>);

struct Counts {
    applied: AtomicU64,
    refused: AtomicU64,
    last_was_refused: AtomicBool,
    /// Milliseconds since 1970.
    applied_at: AtomicU64,
}

impl Reloads {
    /// The handle of a process that started from a good configuration at this moment.
    pub fn new(registry: &Registry, started_at: SystemTime) -> Self {
        let reloads = Self(Arc::new(Counts {
            applied: AtomicU64::default(),
            refused: AtomicU64::default(),
            last_was_refused: AtomicBool::default(),
            applied_at: AtomicU64::new(millis(started_at)),
        }));
        let Self(counts) = reloads.clone();
        registry.add(&about::CONFIG_RELOADS, move |sink| {
            for result in ReloadResult::ALL {
                let count = counts.of(*result).load(Ordering::Relaxed);
                sink.put(&[("result", result.text())], Value::Counter(count));
            }
        });
        let Self(counts) = reloads.clone();
        registry.gauge(&about::CONFIG_LAST_RELOAD_SUCCESSFUL, &[], move || {
            f64::from(u8::from(!counts.last_was_refused.load(Ordering::Relaxed)))
        });
        let Self(counts) = reloads.clone();
        registry.gauge(&about::CONFIG_LAST_RELOAD_AT, &[], move || {
            seconds(counts.applied_at.load(Ordering::Relaxed))
        });
        reloads
    }

    /// It was read anew at this moment.
    pub fn read(&self, result: ReloadResult, at: SystemTime) {
        let Self(counts) = self;
        counts.of(result).fetch_add(1, Ordering::Relaxed);
        let is_refused = result == ReloadResult::Refused;
        if !is_refused {
            counts.applied_at.store(millis(at), Ordering::Relaxed);
        }
        counts.last_was_refused.store(is_refused, Ordering::Relaxed);
    }
}

impl Counts {
    fn of(&self, result: ReloadResult) -> &AtomicU64 {
        match result {
            ReloadResult::Applied => &self.applied,
            ReloadResult::Refused => &self.refused,
        }
    }
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 are far below 2^53"
)]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}
