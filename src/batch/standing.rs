//! What the breaker says, for those who only want to know whether to ask at all: read without the
//! queue's lock, by every caller who is given a stale answer.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use crate::directory::{Advice, DirectoryError, DirectoryErrorKind as Kind};

/// Whether it is worth asking the directory now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It answers, as far as is known.
    Asking,
    /// It has not answered lately, or given no token, and is left alone.
    Resting {
        /// But for a call to see whether it does now, for which it is time.
        probe_is_due: bool,
    },
    /// It is left alone too, but it did say why: somebody has to mend that, and callers must hear it.
    Refusing,
}

/// The standing, in one number: 0 for asking, or the nanosecond of the next probe, or one of the two
/// largest.
#[derive(Debug)]
pub(super) struct Published {
    epoch: Instant,
    state: AtomicU64,
}

const ASKING: u64 = 0;
const PROBING: u64 = u64::MAX - 1;
const REFUSING: u64 = u64::MAX;

impl Published {
    pub(super) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            state: AtomicU64::new(ASKING),
        }
    }

    pub(super) fn asking(&self) {
        self.set(ASKING);
    }

    /// Nobody asks until then, or while a probe is out, because of this.
    pub(super) fn resting(&self, probe_at: Option<Instant>, why: &DirectoryError) {
        // It is the directory itself that says so, and not that it knows nothing of the credentials.
        let is_told = why.kind.advice() == Advice::Mend && why.kind != Kind::BadCredentials;
        self.set(match probe_at {
            _ if is_told => REFUSING,
            None => PROBING,
            Some(at) => {
                let nanos = at.saturating_duration_since(self.epoch).as_nanos();
                u64::try_from(nanos)
                    .unwrap_or(PROBING)
                    .clamp(1, PROBING - 1)
            }
        });
    }

    pub(super) fn read(&self, now: Instant) -> Standing {
        match self.state.load(Ordering::Relaxed) {
            ASKING => Standing::Asking,
            REFUSING => Standing::Refusing,
            probe_at => {
                let now = now.saturating_duration_since(self.epoch).as_nanos();
                Standing::Resting {
                    probe_is_due: u128::from(probe_at) <= now,
                }
            }
        }
    }

    fn set(&self, state: u64) {
        self.state.store(state, Ordering::Relaxed);
    }
}
