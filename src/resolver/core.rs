//! What the flights of a tenant share: its queue, and what is remembered of its people, in memory and in
//! what outlives the process.

use std::{collections::HashSet, sync::Arc};

use tokio::time::Instant;

use crate::{
    batch::Batcher,
    cache::{Cache, CacheKey, Snapshot},
    clock,
    identity::{Identifier, UserIdType},
};

use super::{Tier, failure, flight::FlightKey, judge::Verdict, tenant::Ask, unread::Unread};

/// What a flight needs of its tenant.
pub(super) struct Core {
    /// The directory's number in the cache's keys.
    pub(super) number: u32,
    pub(super) batcher: Batcher,
    pub(super) cache: Arc<Cache>,
    /// What outlives the process, if anything does; and who of it could not be read.
    stored: Option<(Arc<Tier>, Unread)>,
}

impl Core {
    pub(super) fn new(
        number: u32,
        batcher: Batcher,
        cache: Arc<Cache>,
        tier: Option<Arc<Tier>>,
    ) -> Self {
        let stored = tier.map(|tier| {
            let unread = Unread::new(number, cache.clone(), tier.clone());
            (tier, unread)
        });
        Self {
            number,
            batcher,
            cache,
            stored,
        }
    }

    fn cache_key<'a>(&self, key: &'a FlightKey) -> CacheKey<'a> {
        CacheKey {
            directory: self.number,
            include_resigned: key.include_resigned,
            identifier: key.identifier.as_str(),
        }
    }

    pub(super) fn remember(&self, key: &FlightKey, verdict: &Verdict) {
        let Some((asked, fact)) = verdict.fact() else {
            return;
        };
        let of_cache = self.cache_key(key);
        let keep = self.stored.as_ref().map(|(tier, unread)| {
            move |snapshot: &Snapshot| {
                // Not over what has yet to be read.
                if !unread.has(key.include_resigned, &key.identifier) {
                    tier.keep(key.include_resigned, key.identifier.as_str(), snapshot);
                }
            }
        });
        let keep = keep.as_ref().map(|keep| keep as &dyn Fn(&Snapshot));
        self.cache
            .insert_and(of_cache, key.kind, &fact, asked, keep);
    }

    /// Takes over what an earlier process knew of those of whom nothing is known. Says who they are.
    /// Also where nothing old may be given: what is learnt of them is written over what is stored.
    pub(super) async fn restore(&self, people: &[Identifier], ask: &Ask) -> HashSet<usize> {
        let mut stored = HashSet::new();
        let Some((tier, unread)) = &self.stored else {
            return stored;
        };
        let key = |who| CacheKey {
            directory: self.number,
            include_resigned: ask.include_resigned,
            identifier: who,
        };
        let strangers = people.iter().map(Identifier::as_str).enumerate();
        let strangers: Vec<_> = strangers
            .filter(|(_, who)| self.cache.recall(key(who), ask.now).is_none())
            .collect();
        if strangers.is_empty() {
            return stored;
        }
        let who = strangers.iter().map(|(_, who)| *who);
        let (read_at, wall) = (Instant::now(), clock::wall_now());
        let fetched = tier.fetch(ask.include_resigned, who, ask.patience).await;
        let mut records = fetched.records.into_iter();
        for (person, who) in strangers {
            if let Some(bytes) = records.next().flatten() {
                self.cache.restore(key(who), &bytes, read_at, wall);
                stored.insert(person);
            } else if !fetched.is_whole
                && let Some(identifier) = people.get(person)
            {
                unread.note(ask.include_resigned, identifier);
            }
        }
        stored
    }

    /// Nobody could be asked: it is not tried again at once. It is for who is stale if the directory
    /// did say something, for who asks must hear it.
    pub(super) fn postpone(&self, key: &FlightKey, verdict: &Verdict) {
        let also_if_stale = match verdict {
            Verdict::Failed(failure) => failure.allows_stale(),
            Verdict::NotGranted(_) => false,
            _ => return,
        };
        let now = Instant::now();
        // While nobody is asked the breaker says when to ask again, for everybody.
        if !verdict.is_late() && !self.batcher.is_left_alone() {
            let key_of_cache = self.cache_key(key);
            self.cache
                .postpone(key_of_cache, key.kind, now, also_if_stale);
        }
    }

    /// Where the field scope for this kind of ID is requested.
    pub(super) fn scope_page(&self, kind: UserIdType) -> Option<String> {
        self.batcher.scope_page(failure::field_scope(kind)?)
    }
}
