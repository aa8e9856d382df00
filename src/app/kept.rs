//! The store as administration sees it.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, future::BoxFuture, stream};

use crate::{
    admin::stored::{NotRemoved, StoreStatus, Stored, Whose},
    resolver::Tier,
    store::{Scope, Selection, Store},
};

/// Removals that wait for the store at a time: it takes 64 from everybody together.
const AT_A_TIME: usize = 8;

/// The store, with each tenant's part of it by the number of its directory.
pub(super) struct Kept {
    kind: &'static str,
    store: Arc<dyn Store>,
    tiers: BTreeMap<u32, Tier>,
}

impl Kept {
    pub(super) fn new(
        kind: &'static str,
        store: Arc<dyn Store>,
        tiers: BTreeMap<u32, Tier>,
    ) -> Self {
        Self { kind, store, tiers }
    }

    fn scopes(&self, whose: Whose<'_>) -> Vec<Scope> {
        match whose {
            Whose::Everybody => vec![Scope::Everything],
            Whose::Directory(number) => {
                let tier = self.tiers.get(&number);
                tier.map(|tier| Scope::Directory(tier.directory()))
                    .into_iter()
                    .collect()
            }
            Whose::People { directory, people } => {
                let Some(tier) = self.tiers.get(&directory) else {
                    return Vec::new();
                };
                let keys = |who: &str| [false, true].map(|resigned| tier.key(resigned, who));
                let keys = people.iter().flat_map(|who| keys(who.as_str()));
                keys.map(Scope::Key).collect()
            }
        }
    }
}

impl Stored for Kept {
    fn remove<'a>(
        &'a self,
        whose: Whose<'a>,
        negative_only: bool,
    ) -> BoxFuture<'a, Result<usize, NotRemoved>> {
        let remove = move |scope| {
            self.store.remove(Selection {
                scope,
                negative_only,
            })
        };
        stream::iter(self.scopes(whose))
            .map(remove)
            .buffered(AT_A_TIME)
            .try_fold(0, |sum, removed| async move { Ok(sum + removed) })
            .map(|removed| removed.map_err(|why| NotRemoved(why.to_string())))
            .boxed()
    }

    fn status(&self) -> StoreStatus {
        let stats = self.store.stats();
        StoreStatus {
            kind: self.kind,
            records: stats.records,
            bytes: stats.bytes,
            waiting: stats.waiting,
            written: stats.written,
            dropped: stats.dropped,
            failed_reads: stats.failed_reads,
            failed_writes: stats.failed_writes,
        }
    }
}
