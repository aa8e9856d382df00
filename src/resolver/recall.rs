//! What is known already: given at once if it is fresh, or if it is stale and nobody can be asked. The
//! whole way of almost every request, so nothing is copied here but what goes out.

use std::time::Duration;

use crate::{
    batch::Standing,
    cache::{Answer, Freshness},
    identity::{Identifier, NormalForm, PersonStatus, UserIdType},
};

use super::{
    Answered, Kinds, Source, assemble,
    flight::FlightKey,
    judge::Verdict,
    tenant::{Ask, Tenant},
};

/// What is known of one kind of ID, and what to do with it.
pub(super) enum Recalled {
    /// It is the answer.
    Answer(Verdict, Source),
    /// It is the answer if no fresh one comes in time.
    Fallback(Box<Verdict>),
    /// There is none that may be given.
    Nothing,
}

/// What a recall comes to.
#[derive(Debug)]
pub enum Told {
    /// Somebody was found, and has been written.
    Found(Source),
    /// There is an answer, and it is another one.
    Otherwise(Box<Answered>),
    /// There is no answer yet.
    Nothing,
}

/// Where somebody who was found is written to.
pub trait Found {
    /// One kind of ID, with what is said of the account, and when the call left: counted from 1970.
    fn id(&mut self, kind: UserIdType, id: &str, status: Option<PersonStatus>, asked_at: Duration);

    /// At the end: whether any of it is older than its TTL.
    fn stale(&mut self, stale: bool);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Give {
    Now,
    IfNoFreshOneComes,
}

impl Tenant {
    /// Gives the answer, if it can be given without asking anybody. Somebody who was found is written
    /// straight to where they go.
    #[inline]
    pub(super) fn recall(
        &self,
        who: &NormalForm<'_>,
        kinds: Kinds,
        ask: &Ask,
        found: &mut impl Found,
    ) -> Told {
        let Some(known) = self.known(who.as_str(), ask) else {
            return Told::Nothing;
        };
        if let Some(kind) = kinds.only()
            && let Some((id, status, asked_at)) = known.fresh(kind, ask.not_before)
        {
            found.id(kind, id, status, asked_at);
            found.stale(false);
            return Told::Found(Source::Cache);
        }
        let mut sources = Source::Cache;
        // With several kinds: all of them are there, or nothing is written.
        for kind in kinds.iter() {
            let Some(answer) = known.answer(kind).filter(|a| is_new_enough(a, ask)) else {
                return Told::Nothing;
            };
            if self.give(&answer, ask, || who.clone().into_identifier()) != Give::Now {
                return Told::Nothing;
            }
            let Some((id, status, asked_at)) = answer.found() else {
                return whole_answer(&answer, kinds).map_or(Told::Nothing, Told::Otherwise);
            };
            if answer.is_stale() {
                sources = Source::Stale;
            }
            if kinds.is_one() {
                found.id(kind, id, status, asked_at);
            }
        }
        if !kinds.is_one() {
            let all = kinds
                .iter()
                .filter_map(|kind| Some((kind, known.answer(kind)?.found()?)));
            for (kind, (id, status, asked_at)) in all {
                found.id(kind, id, status, asked_at);
            }
        }
        found.stale(sources == Source::Stale);
        Told::Found(sources)
    }

    /// What is known of one kind of ID.
    pub(super) fn recall_one(&self, who: &Identifier, kind: UserIdType, ask: &Ask) -> Recalled {
        let Some(known) = self.known(who.as_str(), ask) else {
            return Recalled::Nothing;
        };
        let answer = known.answer(kind).filter(|a| is_new_enough(a, ask));
        let Some((answer, verdict)) = answer.and_then(|a| Some((a, Verdict::of_answer(&a)?)))
        else {
            return Recalled::Nothing;
        };
        match self.give(&answer, ask, || who.clone()) {
            Give::Now if answer.is_stale() => Recalled::Answer(verdict, Source::Stale),
            Give::Now => Recalled::Answer(verdict, Source::Cache),
            Give::IfNoFreshOneComes => Recalled::Fallback(Box::new(verdict)),
        }
    }

    /// Whether to give it as it is. Has it asked for again behind, if it is time for that.
    #[inline]
    fn give(&self, answer: &Answer<'_>, ask: &Ask, who: impl FnOnce() -> Identifier) -> Give {
        let key = || FlightKey {
            kind: answer.kind(),
            include_resigned: ask.include_resigned,
            identifier: who(),
        };
        match answer.freshness {
            Freshness::Fresh => Give::Now,
            Freshness::RefreshDue {
                urgent_at,
                expires_at,
            } => {
                self.refresh(&key(), urgent_at, expires_at);
                Give::Now
            }
            Freshness::Stale { may_ask } => match self.core.batcher.standing(ask.now) {
                // Not if a pause that Feishu has asked for is longer than anybody waits.
                Standing::Asking if may_ask && self.core.batcher.has_room_by(ask.patience) => {
                    Give::IfNoFreshOneComes
                }
                Standing::Asking
                | Standing::Resting {
                    probe_is_due: false,
                } => Give::Now,
                Standing::Resting { probe_is_due: true } => {
                    self.ask_behind(&key());
                    Give::Now
                }
                // The directory does answer, and what it says is for the caller.
                Standing::Refusing => Give::IfNoFreshOneComes,
            },
        }
    }
}

/// Whether the caller takes an answer of that age.
#[inline]
fn is_new_enough(answer: &Answer<'_>, ask: &Ask) -> bool {
    ask.not_before
        .is_none_or(|oldest| oldest <= answer.departed())
}

/// The answer about somebody who was not found, if it does not depend on other kinds of ID.
#[cold]
fn whole_answer(answer: &Answer<'_>, kinds: Kinds) -> Option<Box<Answered>> {
    let verdict = Verdict::of_answer(answer)?;
    kinds.is_one().then(|| {
        Box::new(Answered {
            resolution: assemble::of_one(answer.kind(), &verdict),
            source: Source::Cache,
        })
    })
}
