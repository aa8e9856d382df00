//! Flights and those who wait for them: joined, started, or started so that they go on when nobody
//! waits any more.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use crate::{
    batch::{Interest, Places, Stake, Wish},
    coalesce::Landing,
    trace::Parent,
};

use super::{
    Failure, Source,
    flight::{self, FlightKey},
    judge::Verdict,
    tenant::{Ask, Tenant},
    traced::FlightSpan,
};

/// How long a call for somebody who is known, but stale, is tried for behind those who ask. As long as
/// the pause before the next attempt.
const BEHIND: Duration = Duration::from_secs(30);

/// A flight that somebody waits for.
pub(super) struct Wait {
    pub(super) person: usize,
    pub(super) key: FlightKey,
    source: Source,
    stake: Stake,
    landing: Landing<Verdict>,
    /// The span of a flight that somebody else started.
    pub(super) joined: Option<Parent>,
    /// The answer if none comes in time.
    pub(super) fallback: Option<Box<Verdict>>,
}

/// Somebody for whom there is no flight yet.
pub(super) struct Lacking {
    pub(super) person: usize,
    pub(super) key: FlightKey,
    /// The answer if none comes in time.
    pub(super) fallback: Option<Box<Verdict>>,
}

impl Wait {
    /// Whether somebody else had started the flight.
    pub(super) fn is_joined(&self) -> bool {
        self.source == Source::Coalesced
    }
}

impl Tenant {
    /// Joins the flight of this key, if there is one that is good enough.
    pub(super) fn join(&self, person: usize, key: FlightKey, ask: &Ask) -> Result<Wait, Lacking> {
        let not_before = self.not_before(ask);
        let enter = |interest: &Arc<Interest>| {
            let stake = interest.join(ask.wish, not_before)?;
            Some((stake, interest.flight().cloned()))
        };
        match self.flights.join_if(&key, enter) {
            Some(((stake, joined), landing)) => Ok(Wait {
                person,
                key,
                source: Source::Coalesced,
                stake,
                landing,
                joined,
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
    pub(super) fn start(
        &self,
        person: usize,
        key: FlightKey,
        ask: &Ask,
        place: Option<Places>,
    ) -> Wait {
        let mut source = Source::Coalesced;
        let not_before = self.not_before(ask);
        let ((stake, joined), landing) = self.flights.join_or_replace(
            key.clone(),
            |interest| {
                let stake = interest.join(ask.wish, not_before)?;
                Some((stake, interest.flight().cloned()))
            },
            || {
                source = Source::Upstream;
                let span = FlightSpan::begin(&key);
                let (interest, stake) = Interest::of_flight(ask.wish, span.parent());
                let load = self.load(key.clone(), interest.clone(), place, span);
                (interest, (stake, None), load)
            },
        );
        Wait {
            person,
            key,
            source,
            stake,
            landing,
            joined,
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
    pub(super) fn ask_for(
        &self,
        person: usize,
        key: FlightKey,
        ask: &Ask,
        stale: Box<Verdict>,
    ) -> Result<Wait, Lacking> {
        let now = Instant::now();
        let not_before = self.not_before(ask);
        let wish = ask.impatient().wish;
        let flight = self.lasting(
            &key,
            Wish::refresh(now, now + BEHIND),
            |interest| interest.join(wish, not_before).map(Some),
            |interest| interest.join(wish, None),
        );
        let fallback = Some(stale);
        match flight {
            Some((Some(own), landing)) => Ok(Wait {
                person,
                key,
                source: Source::Upstream,
                stake: own,
                landing,
                joined: None,
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
            let mut span = FlightSpan::begin(key);
            span.goes_on_alone();
            let (interest, stake) = Interest::of_flight(wish, span.parent());
            let entered = first(&interest);
            let load = self.load(key.clone(), interest.clone(), Some(place), span);
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

    /// One flight: looks up, judges, remembers. It is in the queue before this returns, and not only when
    /// its task has its turn: on a busy machine a batch would be spread over several calls.
    fn load(
        &self,
        key: FlightKey,
        interest: Arc<Interest>,
        place: Option<Places>,
        span: FlightSpan,
    ) -> impl Future<Output = Verdict> + Send + use<> {
        let (core, tenant) = (self.core.clone(), self.me.clone());
        let scope = span.scope();
        let in_line = flight::line_up(&core, &key, &interest);
        let flight = async move {
            let verdict = flight::fly(&core, &tenant, &key, &interest, in_line).await;
            core.remember(&key, &verdict);
            drop(place);
            span.end(&interest, &verdict);
            verdict
        };
        scope.wrap(flight)
    }

    pub(super) async fn wait(&self, mut wait: Wait, ask: &Ask) -> (Verdict, Source) {
        loop {
            let until = match wait.fallback {
                Some(_) => ask.impatient().wish.deadline,
                None => ask.wish.deadline,
            };
            let verdict = match timeout_at(until, wait.landing.wait()).await {
                Ok(Ok(verdict)) => verdict,
                Ok(Err(_crashed)) => Verdict::Failed(Failure::crashed()),
                Err(_late) => Verdict::Failed(Failure::late()),
            };
            if let Verdict::Failed(failure) = &verdict
                && failure.allows_stale()
                && let Some(stale) = wait.fallback.take()
                && self.may_go_out(&stale, &wait.key, ask)
            {
                return (*stale, Source::Stale);
            }
            // It was given up by others just when this one came, or there is nothing to fall back on any
            // more; there is time for another.
            if verdict.is_late() && Instant::now() < ask.wish.deadline {
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
