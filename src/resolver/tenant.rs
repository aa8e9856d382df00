//! One tenant's people: from what is known already to the flights of what is not. Nothing in it is
//! shared with another tenant but the memory of answers, whose keys tell them apart.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::time::{Instant, timeout_at};

use crate::{
    batch::{Batcher, Interest, Places, Stake, WhenFull, Wish},
    cache::{Cache, CacheKey, Freshness},
    coalesce::{Flights, Landing},
    identity::{Identifier, UserIdType},
};

use super::{
    Failure, Reason, failure,
    flight::{self, FlightKey},
    judge::{Judged, Verdict, Verdicts},
};

/// One tenant.
pub struct Tenant {
    pub(super) core: Arc<Core>,
    flights: Flights<FlightKey, Verdict, Arc<Interest>>,
    /// For flights that need another one: they must not keep alive what owns them.
    me: Weak<Self>,
}

/// What a flight needs of its tenant.
pub(super) struct Core {
    /// The directory's number in the cache's keys.
    number: u32,
    pub(super) batcher: Batcher,
    cache: Arc<Cache>,
}

/// What a request asks for with.
#[derive(Clone, Copy)]
pub(super) struct Ask {
    pub(super) include_resigned: bool,
    pub(super) max_age: Option<Duration>,
    pub(super) wish: Wish,
    pub(super) when_full: WhenFull,
}

/// A flight that somebody waits for.
struct Wait {
    key: FlightKey,
    stake: Stake,
    landing: Landing<Verdict>,
}

impl Tenant {
    /// A tenant behind this queue. `number` names its directory (tenant, base URL and app) in the
    /// cache, and no other's.
    pub fn new(number: u32, batcher: Batcher, cache: Arc<Cache>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            core: Arc::new(Core {
                number,
                batcher,
                cache,
            }),
            flights: Flights::new(),
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
        people: &[&Identifier],
        kinds: &[UserIdType],
        ask: Ask,
    ) -> Judged {
        // None: so old that nothing is older.
        let not_before = ask.max_age.and_then(|age| Instant::now().checked_sub(age));
        let mut judged: Judged = kinds
            .iter()
            .map(|kind| (*kind, Verdicts::with_capacity(people.len())))
            .collect();
        let mut waits = Vec::new();
        let mut lacking = Vec::new();
        for (kind, verdicts) in &mut judged {
            for person in people {
                let key = FlightKey {
                    kind: *kind,
                    include_resigned: ask.include_resigned,
                    identifier: (*person).clone(),
                };
                if let Some(known) = self.known(&key, not_before) {
                    verdicts.insert(key.identifier, known);
                } else if let Some(wait) = self.join(&key, ask.wish, not_before) {
                    waits.push(wait);
                } else {
                    lacking.push(key);
                }
            }
        }
        self.find_out(&mut judged, lacking, waits, ask, not_before)
            .await;
        // Who was not found by one kind, and after that was by another, has come meanwhile.
        if let Some((lacking, not_before)) = outdated(&judged, ask.include_resigned) {
            let not_before = Some(not_before);
            self.find_out(&mut judged, lacking, Vec::new(), ask, not_before)
                .await;
        }
        judged
    }

    /// Waits for these flights, and starts those that are lacking.
    async fn find_out(
        &self,
        judged: &mut Judged,
        lacking: Vec<FlightKey>,
        mut waits: Vec<Wait>,
        ask: Ask,
        not_before: Option<Instant>,
    ) {
        let mut told = self.start_all(lacking, ask, not_before, &mut waits).await;
        for wait in waits {
            let key = wait.key.clone();
            let verdict = self.wait(wait, ask.wish, not_before).await;
            told.push((key, verdict));
        }
        for (key, verdict) in told {
            if let Some((_, verdicts)) = judged.iter_mut().find(|(kind, _)| *kind == key.kind) {
                verdicts.insert(key.identifier, verdict);
            }
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
            loop {
                let wish = interest.wish();
                let wait = self.start(key.clone(), wish, Some(now), None);
                let verdict = self.wait(wait, wish, Some(now)).await;
                // Somebody may have come meanwhile who has more time.
                if !is_late(&verdict) || interest.wish().deadline <= Instant::now() {
                    return verdict;
                }
            }
        }
        .boxed()
    }

    /// What is known already, if it is new enough. What is about to expire is asked for again behind.
    fn known(&self, key: &FlightKey, not_before: Option<Instant>) -> Option<Verdict> {
        let now = Instant::now();
        let (answer, freshness) = self
            .core
            .cache
            .get(&self.core.cache_key(key), key.kind, now)?;
        if not_before.is_some_and(|oldest| answer.departed < oldest) {
            return None;
        }
        if let Freshness::RefreshDue { urgent_at } = freshness {
            self.refresh(key, urgent_at, answer.expires_at);
        }
        Some(answer.into())
    }

    /// Flights for those for whom there is none, as far as there is room in the queue. Returns the
    /// verdicts that need no wait.
    async fn start_all(
        &self,
        lacking: Vec<FlightKey>,
        ask: Ask,
        not_before: Option<Instant>,
        waits: &mut Vec<Wait>,
    ) -> Vec<(FlightKey, Verdict)> {
        if lacking.is_empty() {
            return Vec::new();
        }
        let batcher = &self.core.batcher;
        let mut places = match batcher.admit(lacking.len(), ask.wish, ask.when_full).await {
            Ok(places) => places,
            Err(error) => {
                let failed = Verdict::Failed((&error).into());
                return lacking
                    .into_iter()
                    .map(|key| (key, failed.clone()))
                    .collect();
            }
        };
        let mut told = Vec::new();
        for key in lacking {
            // Others may have asked while this request waited for room.
            match self.known(&key, not_before) {
                Some(known) => told.push((key, known)),
                None => waits.push(self.start(key, ask.wish, not_before, places.split())),
            }
        }
        told
    }

    fn join(&self, key: &FlightKey, wish: Wish, not_before: Option<Instant>) -> Option<Wait> {
        let enter = |interest: &Arc<Interest>| interest.join(wish, not_before);
        let (stake, landing) = self.flights.join_if(key, enter)?;
        Some(Wait {
            key: key.clone(),
            stake,
            landing,
        })
    }

    /// Joins the flight of this key, or starts it.
    fn start(
        &self,
        key: FlightKey,
        wish: Wish,
        not_before: Option<Instant>,
        place: Option<Places>,
    ) -> Wait {
        let (stake, landing) = self.flights.join_or_replace(
            key.clone(),
            |interest| interest.join(wish, not_before),
            || {
                let (interest, stake) = Interest::new(wish);
                let load = self.load(key.clone(), interest.clone(), place);
                (interest, stake, load)
            },
        );
        Wait {
            key,
            stake,
            landing,
        }
    }

    /// Asks again, without hurry, for what is about to expire.
    fn refresh(&self, key: &FlightKey, urgent_at: Instant, expires_at: Instant) {
        let Some(place) = self.core.batcher.admit_refresh() else {
            return;
        };
        let wish = Wish::refresh(urgent_at, expires_at);
        let start = || {
            let (interest, stake) = Interest::new(wish);
            let load = self.load(key.clone(), interest.clone(), Some(place));
            let (core, key) = (self.core.clone(), key.clone());
            let load = async move {
                let verdict = load.await;
                if verdict.fact().is_none() {
                    let cache_key = core.cache_key(&key);
                    core.cache.postpone(cache_key, key.kind, Instant::now());
                }
                drop(stake);
                verdict
            };
            (interest, (), load)
        };
        // Whatever is under way already is new enough.
        self.flights
            .join_or_replace(key.clone(), |_| Some(()), start);
    }

    /// One flight: looks up, judges, remembers.
    fn load(
        &self,
        key: FlightKey,
        interest: Arc<Interest>,
        place: Option<Places>,
    ) -> impl Future<Output = Verdict> + Send + use<> {
        let (core, tenant) = (self.core.clone(), self.me.clone());
        async move {
            let verdict = flight::fly(&core, &tenant, &key, &interest).await;
            if let Some((asked, fact)) = verdict.fact() {
                core.cache
                    .insert(core.cache_key(&key), key.kind, fact, asked);
            }
            drop(place);
            verdict
        }
    }

    async fn wait(&self, mut wait: Wait, wish: Wish, not_before: Option<Instant>) -> Verdict {
        loop {
            let verdict = match timeout_at(wish.deadline, wait.landing.wait()).await {
                Ok(Ok(verdict)) => verdict,
                Ok(Err(_crashed)) => Verdict::Failed(Failure::crashed()),
                Err(_late) => return Verdict::Failed(Failure::late()),
            };
            // It was given up by others just when this one came; there is time for another.
            if is_late(&verdict) && Instant::now() < wish.deadline {
                drop(wait.stake);
                wait = self.start(wait.key, wish, not_before, None);
                continue;
            }
            return verdict;
        }
    }
}

impl Core {
    fn cache_key(&self, key: &FlightKey) -> CacheKey {
        CacheKey {
            directory: self.number,
            include_resigned: key.include_resigned,
            identifier: key.identifier.clone(),
        }
    }

    /// Where the field scope for this kind of ID is requested.
    pub(super) fn scope_page(&self, kind: UserIdType) -> Option<String> {
        self.batcher.scope_page(failure::field_scope(kind)?)
    }
}

/// Who is known not to be there by a call that left before one that found them by another kind of ID,
/// and how new an answer about them must be.
fn outdated(judged: &Judged, include_resigned: bool) -> Option<(Vec<FlightKey>, Instant)> {
    let found = |identifier: &Identifier| {
        let verdicts = judged.iter().filter_map(|(_, v)| v.get(identifier));
        let found = verdicts.filter_map(|verdict| match verdict {
            Verdict::Found(asked, _) => Some(asked.departed),
            _ => None,
        });
        found.max()
    };
    if judged.len() < 2 {
        return None;
    }
    let mut outdated = Vec::new();
    let mut newest: Option<Instant> = None;
    for (kind, verdicts) in judged {
        for (identifier, verdict) in verdicts {
            if let Verdict::NotFound(asked) = verdict
                && let Some(found) = found(identifier).filter(|found| *found > asked.departed)
            {
                newest = newest.max(Some(found));
                outdated.push(FlightKey {
                    kind: *kind,
                    include_resigned,
                    identifier: identifier.clone(),
                });
            }
        }
    }
    // In an order of their own: that of a hash map cannot be replayed.
    outdated.sort_unstable_by(|a, b| (a.kind, &a.identifier).cmp(&(b.kind, &b.identifier)));
    Some((outdated, newest?))
}

fn is_late(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Failed(failure) if failure.reason == Reason::DeadlineExceeded)
}
