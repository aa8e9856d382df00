//! One tenant's people: from what is known already to the flights of what is not. Nothing in it is
//! shared with another tenant but the memory of answers, whose keys tell them apart.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::time::{Instant, timeout_at};

use crate::{
    batch::{Batcher, Interest, LookupError, Places, Stake, WhenFull, Wish},
    cache::{Cache, CacheKey, Known},
    coalesce::{Flights, Landing},
    identity::{Identifier, UserIdType},
};

use super::{
    Failure, Reason, Source, failure,
    flight::{self, FlightKey},
    judge::{Judged, Verdict},
    outdated::outdated,
    recall::Recalled,
};

/// How long a call for somebody who is known, but stale, is tried for behind those who ask. As long as
/// the pause before the next attempt.
const BEHIND: Duration = Duration::from_secs(30);

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
    pub(super) now: Instant,
    pub(super) include_resigned: bool,
    /// When the call must have left at the earliest.
    pub(super) not_before: Option<Instant>,
    /// When a stale answer goes out, if there is one.
    pub(super) patience: Instant,
    pub(super) wish: Wish,
    pub(super) when_full: WhenFull,
}

/// A flight that somebody waits for.
struct Wait {
    person: usize,
    key: FlightKey,
    source: Source,
    stake: Stake,
    landing: Landing<Verdict>,
    /// The answer if none comes in time.
    fallback: Option<Verdict>,
}

/// Somebody for whom there is no flight yet.
struct Lacking {
    person: usize,
    key: FlightKey,
    /// The answer if none comes in time.
    fallback: Option<Verdict>,
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
        people: &[Identifier],
        kinds: &[UserIdType],
        ask: &Ask,
    ) -> Judged {
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
        // Who was not found by one kind, and after that was by another, has come meanwhile.
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
            loop {
                let wish = interest.wish();
                let ask = Ask {
                    now,
                    include_resigned: key.include_resigned,
                    not_before: Some(now),
                    patience: wish.deadline,
                    wish,
                    when_full: WhenFull::Wait,
                };
                let wait = self.start(0, key.clone(), &ask, None);
                let (verdict, _) = self.wait(wait, &ask).await;
                // Somebody may have come meanwhile who has more time.
                if !is_late(&verdict) || interest.wish().deadline <= Instant::now() {
                    return verdict;
                }
            }
        }
        .boxed()
    }

    /// Everything that is known of somebody, old or new.
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
                return refused(judged, lacking, &error, may_wait_longer);
            }
        };
        let ask = Ask {
            now: Instant::now(),
            ..*ask
        };
        for lacking in lacking {
            // Others may have asked while this request waited for room.
            let (person, key) = (lacking.person, lacking.key);
            match self.recall_one(&key.identifier, key.kind, &ask) {
                Recalled::Answer(known, source) => judged.set(person, key.kind, known, source),
                _ => waits.push(Wait {
                    fallback: lacking.fallback,
                    ..self.start(person, key, &ask, places.split())
                }),
            }
        }
        Vec::new()
    }

    /// Joins the flight of this key, if there is one that is good enough.
    fn join(&self, person: usize, key: FlightKey, ask: &Ask) -> Result<Wait, Lacking> {
        let enter = |interest: &Arc<Interest>| interest.join(ask.wish, ask.not_before);
        match self.flights.join_if(&key, enter) {
            Some((stake, landing)) => Ok(Wait {
                person,
                key,
                source: Source::Coalesced,
                stake,
                landing,
                fallback: None,
            }),
            None => Err(Lacking {
                person,
                key,
                fallback: None,
            }),
        }
    }

    /// Joins the flight of this key, or starts it.
    fn start(&self, person: usize, key: FlightKey, ask: &Ask, place: Option<Places>) -> Wait {
        let mut source = Source::Coalesced;
        let (stake, landing) = self.flights.join_or_replace(
            key.clone(),
            |interest| interest.join(ask.wish, ask.not_before),
            || {
                source = Source::Upstream;
                let (interest, stake) = Interest::new(ask.wish);
                let load = self.load(key.clone(), interest.clone(), place);
                (interest, stake, load)
            },
        );
        Wait {
            person,
            key,
            source,
            stake,
            landing,
            fallback: None,
        }
    }

    /// Asks again, without hurry, for what is about to expire.
    pub(super) fn refresh(&self, key: &FlightKey, urgent_at: Instant, expires_at: Instant) {
        // Whatever is under way already is new enough.
        let enter = |_: &Arc<Interest>| Some(());
        self.lasting(key, Wish::refresh(urgent_at, expires_at), enter, |_| ());
    }

    /// Asks again for somebody who is stale, and does not wait.
    pub(super) fn ask_behind(&self, key: &FlightKey) {
        let now = Instant::now();
        let enter = |_: &Arc<Interest>| Some(());
        self.lasting(key, Wish::refresh(now, now + BEHIND), enter, |_| ());
    }

    /// Asks again for somebody who is stale. The call goes on when whoever asks has stopped waiting, so
    /// that it is worth having been made; if there is room for one that does.
    fn ask_for(
        &self,
        person: usize,
        key: FlightKey,
        ask: &Ask,
        stale: Verdict,
    ) -> Result<Wait, Lacking> {
        let now = Instant::now();
        let wish = ask.impatient().wish;
        let joined = self.lasting(
            &key,
            Wish::refresh(now, now + BEHIND),
            |interest| interest.join(wish, ask.not_before).map(Some),
            |interest| interest.join(wish, None),
        );
        let fallback = Some(stale);
        match joined {
            Some((Some(stake), landing)) => Ok(Wait {
                person,
                key,
                source: Source::Upstream,
                stake,
                landing,
                fallback,
            }),
            _ => Err(Lacking {
                person,
                key,
                fallback,
            }),
        }
    }

    /// Joins the flight of this key, or starts one that goes on without those who wait for it. None if
    /// there is no room for another one.
    fn lasting<T>(
        &self,
        key: &FlightKey,
        wish: Wish,
        enter: impl FnOnce(&Arc<Interest>) -> Option<T>,
        first: impl FnOnce(&Arc<Interest>) -> T,
    ) -> Option<(T, Landing<Verdict>)> {
        let place = self.core.batcher.admit_refresh()?;
        let start = || {
            let (interest, stake) = Interest::new(wish);
            let entered = first(&interest);
            let load = self.load(key.clone(), interest.clone(), Some(place));
            let (core, key) = (self.core.clone(), key.clone());
            let load = async move {
                let verdict = load.await;
                core.postpone(&key, &verdict);
                drop(stake);
                verdict
            };
            (interest, entered, load)
        };
        Some(self.flights.join_or_replace(key.clone(), enter, start))
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
            core.remember(&key, &verdict);
            drop(place);
            verdict
        }
    }

    async fn wait(&self, mut wait: Wait, ask: &Ask) -> (Verdict, Source) {
        let until = match wait.fallback {
            Some(_) => ask.impatient().wish.deadline,
            None => ask.wish.deadline,
        };
        loop {
            let verdict = match timeout_at(until, wait.landing.wait()).await {
                Ok(Ok(verdict)) => verdict,
                Ok(Err(_crashed)) => Verdict::Failed(Failure::crashed()),
                Err(_late) => Verdict::Failed(Failure::late()),
            };
            if let Verdict::Failed(failure) = &verdict
                && failure.allows_stale()
                && let Some(stale) = wait.fallback.take()
            {
                return (stale, Source::Stale);
            }
            // It was given up by others just when this one came; there is time for another.
            if is_late(&verdict) && Instant::now() < until {
                drop(wait.stake);
                wait = self.start(wait.person, wait.key, ask, None);
                continue;
            }
            let source = match verdict {
                Verdict::Failed(_) => Source::Nowhere,
                _ => wait.source,
            };
            return (verdict, source);
        }
    }
}

impl Ask {
    /// The same for somebody of whom there is a stale answer.
    fn impatient(&self) -> Self {
        let mut ask = *self;
        ask.wish.deadline = ask.wish.deadline.min(ask.patience);
        ask
    }
}

impl Core {
    fn cache_key<'a>(&self, key: &'a FlightKey) -> CacheKey<'a> {
        CacheKey {
            directory: self.number,
            include_resigned: key.include_resigned,
            identifier: key.identifier.as_str(),
        }
    }

    fn remember(&self, key: &FlightKey, verdict: &Verdict) {
        if let Some((asked, fact)) = verdict.fact() {
            self.cache
                .insert(self.cache_key(key), key.kind, &fact, asked);
        }
    }

    /// Nobody could be asked: it is not tried again at once. It is for who is stale if the directory
    /// did say something, for who asks must hear it.
    fn postpone(&self, key: &FlightKey, verdict: &Verdict) {
        let also_if_stale = match verdict {
            Verdict::Failed(failure) => failure.allows_stale(),
            Verdict::NotGranted(_) => false,
            _ => return,
        };
        if !is_late(verdict) {
            let now = Instant::now();
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

/// There is no room: who has something to fall back on gets it. Gives back those who may wait longer.
fn refused(
    judged: &mut Judged,
    lacking: Vec<Lacking>,
    error: &LookupError,
    may_wait_longer: bool,
) -> Vec<Lacking> {
    let failure = Failure::from(error);
    let mut patient = Vec::new();
    for lacking in lacking {
        let (person, kind) = (lacking.person, lacking.key.kind);
        match lacking.fallback {
            Some(stale) if failure.allows_stale() => {
                judged.set(person, kind, stale, Source::Stale);
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

fn is_late(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Failed(failure) if failure.reason == Reason::DeadlineExceeded)
}
