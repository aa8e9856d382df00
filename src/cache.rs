//! Answers and how long each may be given: who is known, and who is known not to be there. Time is
//! an argument: nothing in here reads a clock. Knows nobody who asks and nobody who answers;
//! `resolver` asks it first and fills it.
//!
//! - An answer is *fresh*, then *due for refresh* (given at once, and asked for again behind it),
//!   then *expired*, exactly at its TTL, which counts from when the call left.
//! - Found lives for the TTL; not found, ambiguous and refused for the negative TTL, which doubles
//!   each time the answer repeats. Failures are not answers and never come here.
//! - Keys are compared in full.

mod answer;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quick_cache::{UnitWeighter, sync::DefaultLifecycle};
use tokio::time::Instant;

use crate::{
    backoff::Random,
    identity::{Identifier, UserIdType},
};

pub use answer::{Answer, Asked, Fact, Freshness, Refusal};

/// The longest that a negative answer lives, however often it repeats.
const LONGEST_NEGATIVE: Duration = Duration::from_hours(1);
/// Room that is made at the start; the rest comes as it is needed.
const FIRST_ENTRIES: usize = 1024;

/// How long answers live.
#[derive(Clone, Copy, Debug)]
pub struct Ttls {
    /// Of somebody who was found.
    pub found: Duration,
    /// Of the first answer that is not an ID: one minute becomes two when it repeats, then four, up
    /// to an hour.
    pub negative: Duration,
}

/// Everything that changes an answer but for the kind of ID.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CacheKey {
    /// Which directory: a number for its tenant, base URL and app together.
    pub directory: u32,
    /// Whether people who have left count.
    pub include_resigned: bool,
    /// Who.
    pub identifier: Identifier,
}

/// Up to three answers for each key, one for each kind of ID, each with a time of its own.
pub struct Cache {
    entries: Entries,
    ttls: Ttls,
    random: Random,
    /// An entry is read, changed and written back: one at a time.
    writing: Mutex<()>,
}

type Entries = quick_cache::sync::Cache<
    CacheKey,
    Arc<[Answer]>,
    UnitWeighter,
    std::hash::RandomState,
    DefaultLifecycle<CacheKey, Arc<[Answer]>>,
>;

impl Cache {
    /// An empty cache of at most so many entries.
    pub fn new(capacity: usize, ttls: Ttls, random: Random) -> Self {
        let most = u64::try_from(capacity.max(1)).unwrap_or(u64::MAX);
        Self {
            entries: Entries::with(
                FIRST_ENTRIES.min(capacity),
                most,
                UnitWeighter,
                std::hash::RandomState::new(),
                DefaultLifecycle::default(),
            ),
            ttls,
            random,
            writing: Mutex::new(()),
        }
    }

    /// The answer of this kind, if there is one that may be given, and how fresh it is.
    pub fn get(
        &self,
        key: &CacheKey,
        kind: UserIdType,
        now: Instant,
    ) -> Option<(Answer, Freshness)> {
        let answers = self.entries.get(key)?;
        let answer = answers.iter().find(|answer| answer.kind == kind)?;
        match answer.freshness(now) {
            Freshness::Expired => None,
            freshness => Some((answer.clone(), freshness)),
        }
    }

    /// Keeps an answer to a call that left at `departed`, unless a newer one is here.
    pub fn insert(&self, key: CacheKey, kind: UserIdType, fact: Fact, asked: Asked) {
        self.change(key, |answers| {
            let known = answers.iter().find(|answer| answer.kind == kind);
            if known.is_some_and(|known| known.departed > asked.departed) {
                return None;
            }
            let ttl = self.ttl(&fact, known, asked.departed);
            let new = Answer::new(kind, fact, asked, ttl, (self.random)());
            let others = answers.iter().filter(|answer| answer.kind != kind);
            Some(others.cloned().chain([new]).collect())
        });
    }

    /// Puts off the refresh of an answer for which nobody could be asked.
    pub fn postpone(&self, key: CacheKey, kind: UserIdType, now: Instant) {
        self.change(key, |answers| {
            let postponed = answers.iter().cloned().map(|mut answer| {
                if answer.kind == kind {
                    answer.postpone(now);
                }
                answer
            });
            (!answers.is_empty()).then(|| postponed.collect())
        });
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn change(&self, key: CacheKey, change: impl FnOnce(&[Answer]) -> Option<Arc<[Answer]>>) {
        // Nothing is held by the lock itself: a panic under it leaves nothing half-done.
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = self.entries.get(&key).unwrap_or_default();
        if let Some(answers) = change(&answers) {
            self.entries.insert(key, answers);
        }
    }

    fn ttl(&self, fact: &Fact, known: Option<&Answer>, departed: Instant) -> Duration {
        if fact.is_found() {
            return self.ttls.found;
        }
        let first = self.ttls.negative;
        let longest = LONGEST_NEGATIVE.max(first);
        match known {
            // Whoever asks again and again before its time does not make it live longer.
            Some(known) if !known.fact.is_same_negative(fact) => first,
            Some(known) if known.is_due(departed) => (known.ttl * 2).min(longest),
            Some(known) => known.ttl,
            None => first,
        }
    }
}

#[cfg(test)]
mod tests;
