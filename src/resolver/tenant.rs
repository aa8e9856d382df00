//! One tenant's people: from what is known already to the flights of what is not. Nothing in it is
//! shared with another tenant but the memory of answers, whose keys tell them apart.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::time::Instant;

use crate::{
    batch::{Batcher, Interest, LookupError, WhenFull, Wish},
    cache::{Cache, CacheKey, Known},
    coalesce::Flights,
    identity::{Identifier, UserIdType},
    metrics::Identifiers,
};

use super::{
    Failure, Source, Tier,
    core::Core,
    flight::FlightKey,
    judge::{Judged, Verdict},
    outdated::outdated,
    recall::Recalled,
    traced::waiting,
    waits::{Lacking, Wait},
};

/// One tenant.
pub struct Tenant {
    pub(super) core: Arc<Core>,
    pub(super) flights: Flights<FlightKey, Verdict, Arc<Interest>>,
    pub(super) identifiers: Identifiers,
    /// For flights that need another one: they must not keep alive what owns them.
    pub(super) me: Weak<Self>,
}

/// What a request asks for with.
#[derive(Clone, Copy)]
pub(super) struct Ask {
    pub(super) now: Instant,
    /// When the request came.
    pub(super) began: Instant,
    pub(super) include_resigned: bool,
    /// The oldest answer that may go out.
    pub(super) max_age: Option<Duration>,
    /// When the call must have left at the earliest.
    pub(super) not_before: Option<Instant>,
    /// When a stale answer goes out, if there is one.
    pub(super) patience: Instant,
    pub(super) wish: Wish,
    pub(super) when_full: WhenFull,
}

impl Tenant {
    /// A tenant behind this queue. `number` names its directory (tenant, base URL and app) in the
    /// cache, and no other's.
    pub fn new(
        number: u32,
        batcher: Batcher,
        cache: Arc<Cache>,
        tier: Option<Arc<Tier>>,
        identifiers: Identifiers,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            core: Arc::new(Core::new(number, batcher, cache, tier)),
            flights: Flights::new(),
            identifiers,
            me: me.clone(),
        })
    }

    /// Whether nothing is under way and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.flights.is_empty() && self.core.batcher.waiting() == 0
    }

    /// A verdict for everybody, for every kind of ID, by the deadline.
    pub(super) async fn judge(
        &self,
        people: &[Identifier],
        kinds: &[UserIdType],
        ask: &Ask,
    ) -> Judged {
        let stored = self.core.restore(people, ask).await;
        let mut judged = Judged::new(people.len(), kinds);
        let mut waits = Vec::new();
        let mut lacking = Vec::new();
        for kind in kinds {
            for (person, identifier) in people.iter().enumerate() {
                let key = || FlightKey {
                    kind: *kind,
                    include_resigned: ask.include_resigned,
                    identifier: identifier.clone(),
                };
                match self.recall_one(identifier, *kind, ask) {
                    Recalled::Answer(verdict, source) => {
                        let is_stored = source == Source::Cache && stored.contains(&person);
                        let source = if is_stored { Source::Store } else { source };
                        judged.set(person, *kind, verdict, source);
                    }
                    Recalled::Fallback(stale) => match self.ask_for(person, key(), ask, stale) {
                        Ok(wait) => waits.push(wait),
                        Err(without) => lacking.push(without),
                    },
                    Recalled::Nothing => match self.join(person, key(), ask) {
                        Ok(wait) => waits.push(wait),
                        Err(without) => lacking.push(without),
                    },
                }
            }
        }
        self.find_out(&mut judged, lacking, waits, ask).await;
        // Who was not found by one kind, and was by another, has come meanwhile, or gone.
        if let Some((again, not_before)) = outdated(&judged) {
            let ask = Ask {
                not_before: Some(not_before),
                ..*ask
            };
            let lacking = |(person, kind): (usize, UserIdType)| {
                let key = FlightKey {
                    kind,
                    include_resigned: ask.include_resigned,
                    identifier: people.get(person)?.clone(),
                };
                Some(Lacking {
                    person,
                    key,
                    fallback: None,
                })
            };
            let lacking = again.into_iter().filter_map(lacking).collect();
            self.find_out(&mut judged, lacking, Vec::new(), &ask).await;
        }
        self.look_again(&mut judged, people, ask);
        judged
    }

    /// Waits for these flights, and starts those that are lacking.
    async fn find_out(
        &self,
        judged: &mut Judged,
        lacking: Vec<Lacking>,
        mut waits: Vec<Wait>,
        ask: &Ask,
    ) {
        let deadline = ask.wish.deadline;
        let lacking = if lacking.iter().any(|one| one.fallback.is_some()) {
            // Who has something to fall back on does not wait for room as long as the others.
            self.start_all(judged, lacking, &ask.impatient(), deadline, &mut waits)
                .await
        } else {
            lacking
        };
        self.start_all(judged, lacking, ask, deadline, &mut waits)
            .await;
        let _waiting = (!waits.is_empty()).then(|| waiting(&waits));
        for wait in waits {
            let (person, kind) = (wait.person, wait.key.kind);
            let (verdict, source) = self.wait(wait, ask).await;
            judged.set(person, kind, verdict, source);
        }
    }

    /// One verdict that somebody needs to come to another one, from a call that leaves from now on.
    pub(super) fn judge_one<'a>(
        &'a self,
        key: FlightKey,
        interest: &'a Interest,
    ) -> BoxFuture<'a, Verdict> {
        async move {
            let now = Instant::now();
            let ask = || {
                let wish = interest.wish();
                Ask {
                    now,
                    began: now,
                    include_resigned: key.include_resigned,
                    max_age: None,
                    not_before: Some(now),
                    patience: wish.deadline,
                    wish,
                    when_full: WhenFull::Wait,
                }
            };
            let people = std::slice::from_ref(&key.identifier);
            self.core.restore(people, &ask()).await;
            loop {
                let ask = ask();
                let wait = self.start(0, key.clone(), &ask, None);
                let (verdict, _) = self.wait(wait, &ask).await;
                // Somebody may have come meanwhile who has more time.
                if !verdict.is_late() || interest.wish().deadline <= Instant::now() {
                    return verdict;
                }
            }
        }
        .boxed()
    }

    /// Everything that is known of somebody, old or new.
    #[inline]
    pub(super) fn known(&self, who: &str, ask: &Ask) -> Option<Known> {
        let key = CacheKey {
            directory: self.core.number,
            include_resigned: ask.include_resigned,
            identifier: who,
        };
        self.core.cache.recall(key, ask.now)
    }

    /// Flights for those for whom there is none, as far as there is room in the queue. Gives back those
    /// for whom there was none, and who may wait longer, until the deadline.
    async fn start_all(
        &self,
        judged: &mut Judged,
        lacking: Vec<Lacking>,
        ask: &Ask,
        deadline: Instant,
        waits: &mut Vec<Wait>,
    ) -> Vec<Lacking> {
        if lacking.is_empty() {
            return lacking;
        }
        let batcher = &self.core.batcher;
        let mut places = match batcher.admit(lacking.len(), ask.wish, ask.when_full).await {
            Ok(places) => places,
            Err(error) => {
                let may_wait_longer = ask.wish.deadline < deadline;
                return self.refused(judged, lacking, &error, may_wait_longer, ask);
            }
        };
        let ask = Ask {
            now: Instant::now(),
            ..*ask
        };
        for lacking in lacking {
            // Others may have asked while this request waited for room.
            let (person, key) = (lacking.person, lacking.key);
            if let Recalled::Answer(known, source) =
                self.recall_one(&key.identifier, key.kind, &ask)
            {
                judged.set(person, key.kind, known, source);
            } else {
                let mut ask = ask;
                if lacking.fallback.is_none() {
                    ask.wish.deadline = deadline;
                }
                let mut wait = self.start(person, key, &ask, places.split());
                wait.fallback = lacking.fallback;
                waits.push(wait);
            }
        }
        Vec::new()
    }

    /// There is no room: who has something to fall back on gets it. Gives back those who may wait longer.
    fn refused(
        &self,
        judged: &mut Judged,
        lacking: Vec<Lacking>,
        error: &LookupError,
        may_wait_longer: bool,
        ask: &Ask,
    ) -> Vec<Lacking> {
        let failure = Failure::from(error);
        let mut patient = Vec::new();
        for mut lacking in lacking {
            let (person, kind) = (lacking.person, lacking.key.kind);
            let fallback = lacking.fallback.take();
            match fallback.filter(|stale| self.may_go_out(stale, &lacking.key, ask)) {
                Some(stale) if failure.allows_stale() => {
                    judged.set(person, kind, *stale, Source::Stale);
                }
                None if may_wait_longer => patient.push(lacking),
                _ => {
                    let failed = Verdict::Failed(failure.clone());
                    judged.set(person, kind, failed, Source::Nowhere);
                }
            }
        }
        patient
    }
}

impl Ask {
    /// The same for somebody of whom there is a stale answer.
    pub(super) fn impatient(&self) -> Self {
        let mut ask = *self;
        ask.wish.deadline = ask.wish.deadline.min(ask.patience);
        ask
    }
}
