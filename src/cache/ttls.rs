//! How long answers live, which may change while they do.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use super::answer::millis;

/// How long answers live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttls {
    /// Of somebody who was found.
    pub found: Duration,
    /// Of the first answer that is not an ID: one minute becomes two when it repeats, then four, up
    /// to an hour.
    pub negative: Duration,
    /// How long past its TTL somebody who was found may be given when nobody can be asked.
    pub serve_stale: Duration,
}

/// The ones in force: read for every answer that is given, so each by itself and without a lock. Nothing
/// depends on two of them being of one change.
pub(super) struct InForce {
    /// In milliseconds, as entries have it.
    found: AtomicU32,
    /// In nanoseconds.
    negative: AtomicU64,
    /// In nanoseconds.
    serve_stale: AtomicU64,
}

impl InForce {
    pub(super) fn new(ttls: Ttls) -> Self {
        let in_force = Self {
            found: AtomicU32::default(),
            negative: AtomicU64::default(),
            serve_stale: AtomicU64::default(),
        };
        in_force.set(ttls);
        in_force
    }

    pub(super) fn set(&self, ttls: Ttls) {
        let nanos = |ttl: Duration| u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX);
        self.found.store(millis(ttls.found), Ordering::Relaxed);
        self.negative.store(nanos(ttls.negative), Ordering::Relaxed);
        self.serve_stale
            .store(nanos(ttls.serve_stale), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Ttls {
        Ttls {
            found: Duration::from_millis(self.found_ms().into()),
            negative: Duration::from_nanos(self.negative.load(Ordering::Relaxed)),
            serve_stale: self.serve_stale(),
        }
    }

    #[inline]
    pub(super) fn found_ms(&self) -> u32 {
        self.found.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn serve_stale(&self) -> Duration {
        Duration::from_nanos(self.serve_stale.load(Ordering::Relaxed))
    }
}
