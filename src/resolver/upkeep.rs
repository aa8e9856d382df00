//! What those who look after a tenant may do with it: forget answers, have it asked again, and see how
//! it is.

use tokio::time::Instant;

use crate::{batch::QueueStatus, cache::CacheKey, identity::Identifier};

use super::{Tenant, tenant::Ask};

impl Tenant {
    /// The number of its directory in the cache's keys.
    pub fn number(&self) -> u32 {
        self.core.number
    }

    /// Forgets somebody, however they were asked for, or only that they are not there. Says how many
    /// entries that were.
    pub fn forget(&self, who: &Identifier, negative_only: bool) -> usize {
        let now = Instant::now();
        let forget = |include_resigned| {
            let key = CacheKey {
                directory: self.core.number,
                include_resigned,
                identifier: who.as_str(),
            };
            usize::from(self.core.cache.forget(key, negative_only, now))
        };
        forget(false) + forget(true)
    }

    /// Somebody may have mended what its calls failed with.
    pub fn may_be_mended(&self) {
        self.core.batcher.may_be_mended();
    }

    /// How many entries there are of its people.
    pub fn entries(&self) -> usize {
        self.core.cache.len_of(self.core.number)
    }

    /// How its queue is.
    pub fn queue(&self) -> QueueStatus {
        self.core.batcher.status()
    }

    /// When a call must have left at the earliest to be worth waiting for: what it would bring must
    /// not have been flushed.
    pub(super) fn not_before(&self, ask: &Ask) -> Option<Instant> {
        ask.not_before.max(self.core.cache.flushed_at())
    }
}
