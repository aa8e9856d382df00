//! What a caller falls back on is looked at again when it goes out: it has grown older while a fresh
//! answer was waited for, and somebody may have flushed it.

use tokio::time::Instant;

use crate::identity::Identifier;

use super::{
    Failure, Source, Tenant,
    flight::FlightKey,
    judge::{Judged, Verdict},
    tenant::Ask,
};

impl Tenant {
    /// Whether somebody who is known, but stale, may be given as they are known now.
    pub(super) fn may_go_out(&self, stale: &Verdict, key: &FlightKey, ask: &Ask) -> bool {
        let now = Instant::now();
        let Some(departed) = stale.departed() else {
            return true;
        };
        let age = now.saturating_duration_since(departed);
        ask.max_age.is_none_or(|most| age <= most) && !self.is_flushed(key, departed, ask)
    }

    /// Whether that answer was flushed since the request began. A flush of others leaves it in memory.
    fn is_flushed(&self, key: &FlightKey, departed: Instant, ask: &Ask) -> bool {
        let has_been_one = self.core.cache.flushed_at() >= Some(ask.began);
        let is_there = || {
            let known = self.known(key.identifier.as_str(), ask)?;
            Some(known.answer(key.kind)?.departed() == departed)
        };
        has_been_one && is_there() != Some(true)
    }

    /// Who was given as they were known may have had to wait for the others of the request.
    pub(super) fn look_again(&self, judged: &mut Judged, people: &[Identifier], ask: &Ask) {
        for (kind, verdicts) in &mut judged.by_kind {
            for (slot, identifier) in verdicts.iter_mut().zip(people) {
                let Some((verdict @ Verdict::Stale(..), source)) = slot.as_deref_mut() else {
                    continue;
                };
                let key = FlightKey {
                    kind: *kind,
                    include_resigned: ask.include_resigned,
                    identifier: identifier.clone(),
                };
                if !self.may_go_out(verdict, &key, ask) {
                    *verdict = Verdict::Failed(Failure::outgrown());
                    *source = Source::Nowhere;
                }
            }
        }
    }
}
