//! Answers and how long each may be given: who is known, and who is known not to be there. Time is
//! an argument: nothing in here reads a clock. Knows nobody who asks and nobody who answers;
//! `resolver` asks it first and fills it.
//!
//! - An answer is *fresh*, then *due for refresh* (given at once, and asked for again behind it), and
//!   expires exactly at its TTL, which counts from when the call left. Who was found is then *stale*
//!   for a while: to be given only if the directory cannot be asked in time.
//! - Found lives for the TTL; not found, ambiguous and refused for the negative TTL, which doubles
//!   each time the answer repeats. Failures are not answers and never come here.
//! - A TTL that is changed never makes an answer live longer than it was to. A shorter one for who was
//!   found binds at once; a shorter negative one, whatever is asked for from then on.
//! - Keys are compared in full.

mod answer;
mod key;
mod known;
mod packed;
mod population;
mod stored;
mod ttls;

use std::{
    sync::{
        Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use quick_cache::{OptionsBuilder, UnitWeighter};
use tokio::time::Instant;

use crate::{backoff::Random, identity::UserIdType};

pub use answer::{Answer, Asked, Fact, Freshness, Refusal};
pub use key::CacheKey;
pub use known::Known;
pub use stored::Snapshot;
pub use ttls::Ttls;

use answer::{Epoch, Times};
use key::StoredKey;
use packed::{Packed, Packer, Piece, Pieces};
use population::Population;
use ttls::InForce;

/// The longest that a negative answer lives, however often it repeats.
const LONGEST_NEGATIVE: Duration = Duration::from_hours(1);
/// Room at the start: a small table stays in the processor's caches.
const FIRST_ENTRIES: usize = 1024;
/// From so many entries on room is set aside, though not touched, for many more: growing by and by
/// would copy what is there each time, and leave holes of half its size.
const MANY_ENTRIES: usize = 50_000;
/// So many. What is more than this comes as it is needed.
const ROOM: usize = 1_000_000;
/// So many locks that two threads seldom touch the same one.
const SHARDS: usize = 64;
/// How far ahead of ours a clock may have been that wrote an answer.
const CLOCK_SKEW: Duration = Duration::from_mins(1);

/// Up to three answers for each key, one for each kind of ID, each with a time of its own.
pub struct Cache {
    entries: Entries,
    population: Population,
    ttls: InForce,
    random: Random,
    epoch: Epoch,
    /// Answers to calls that left before this are not kept: somebody has flushed since.
    flushed_at: AtomicI64,
    /// How many flushes are under way.
    flushing: AtomicUsize,
    /// An entry is read, changed and written back: one at a time.
    writing: Mutex<()>,
    /// Whether it has been set aside.
    room_for_many: Once,
}

type Entries =
    quick_cache::sync::Cache<StoredKey, Packed, UnitWeighter, std::hash::RandomState, Population>;

/// A flush under way, for as long as it lives.
pub struct Flushing<'a>(&'a AtomicUsize);

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Cache {
    /// An empty cache of at most so many entries.
    pub fn new(capacity: usize, ttls: Ttls, random: Random) -> Self {
        // Each lock's share is a whole number, and rounded up.
        let capacity = match capacity % SHARDS {
            odd if capacity >= 8 * SHARDS => capacity - odd,
            _ => capacity.max(1),
        };
        let most = u64::try_from(capacity).unwrap_or(u64::MAX);
        let population = Population::default();
        let first = FIRST_ENTRIES.min(capacity);
        let with = |options| {
            Entries::with_options(
                options,
                UnitWeighter,
                std::hash::RandomState::new(),
                population.clone(),
            )
        };
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(first)
            .weight_capacity(most)
            .build();
        // Only what is lacking is refused.
        let entries = options.map_or_else(
            |_lacking| {
                Entries::with(
                    first,
                    most,
                    UnitWeighter,
                    std::hash::RandomState::new(),
                    population.clone(),
                )
            },
            with,
        );
        Self {
            entries,
            population,
            ttls: InForce::new(ttls),
            random,
            epoch: Epoch(Instant::now()),
            flushed_at: AtomicI64::new(i64::MIN),
            flushing: AtomicUsize::new(0),
            writing: Mutex::new(()),
            room_for_many: Once::new(),
        }
    }

    /// What is known under this key, old or new.
    #[inline]
    pub fn recall(&self, key: CacheKey<'_>, now: Instant) -> Option<Known> {
        Some(Known {
            entry: self.entries.get(&key)?,
            epoch: self.epoch,
            now: self.epoch.nanos(now),
            found_ms: self.ttls.found_ms(),
            serve_stale: self.ttls.serve_stale(),
        })
    }

    /// Keeps an answer to a call that left at `departed`, unless a newer one is here, or it left
    /// before the last flush. Says whether it is kept.
    pub fn insert(&self, key: CacheKey<'_>, kind: UserIdType, fact: &Fact, asked: Asked) -> bool {
        self.insert_and(key, kind, fact, asked, None)
    }

    /// The same; then `keep` is told what is known now, before anybody can flush it: it must be short.
    pub fn insert_and(
        &self,
        key: CacheKey<'_>,
        kind: UserIdType,
        fact: &Fact,
        asked: Asked,
        keep: Option<&dyn Fn(&Snapshot)>,
    ) -> bool {
        let departed = self.epoch.nanos(asked.departed);
        let lock = self.lock();
        let inserted = self.change_locked(&lock, key, |answers| {
            let known = answers.of(kind).map(|piece| (piece.times, piece.fact()));
            let is_newer = known.as_ref().is_some_and(|(t, _)| t.departed > departed);
            if is_newer || departed < self.flushed_at.load(Ordering::Relaxed) {
                return None;
            }
            let ttl = self.ttl(fact, known.as_ref(), departed);
            let times = Times::new(self.epoch, asked, ttl, (self.random)());
            let mut packer = Packer::default();
            let others = answers.iter().filter(|piece| piece.kind != kind);
            others.for_each(|piece| packer.piece(piece));
            packer.fact(kind, times, fact);
            Some(packer.finish())
        });
        if inserted
            && let Some(keep) = keep
            && let Some(snapshot) = self.snapshot(key)
        {
            keep(&snapshot);
        }
        inserted
    }

    /// Puts off the refresh of an answer for which nobody could be asked; of one that is past its TTL
    /// only if said so.
    pub fn postpone(&self, key: CacheKey<'_>, kind: UserIdType, now: Instant, also_if_stale: bool) {
        let now = self.epoch.nanos(now);
        self.change(key, |answers| {
            let mut packer = Packer::default();
            for mut piece in answers.iter() {
                self.bind(&mut piece);
                let is_meant = also_if_stale || now < piece.times.expires_at();
                if piece.kind == kind && is_meant {
                    piece.times.postpone(now);
                }
                packer.piece(piece);
            }
            answers.iter().next().map(|_| packer.finish())
        });
    }

    /// Forgets what is known under this key, or only that somebody is not there.
    pub fn forget(&self, key: CacheKey<'_>, negative_only: bool, now: Instant) -> bool {
        let _one = self.begin_flush(now);
        let removed = self.entries.remove_if(&key, |answers| {
            !negative_only || answers.answers().iter().any(|piece| !piece.is_found())
        });
        if let Some((key, _)) = &removed {
            self.population.left(key);
        }
        removed.is_some()
    }

    /// Forgets everybody of a directory that nobody asks for any more, nor ever will. Unlike
    /// [`Self::forget_all`] it is no flush: what is being asked of others is kept.
    pub fn forget_directory(&self, directory: u32) {
        let _one = self.lock();
        self.entries.retain(|key, _| {
            let is_meant = key.directory() == Some(directory);
            if is_meant {
                self.population.left(key);
            }
            !is_meant
        });
    }

    /// Forgets everybody of one directory, or of all. Says how many entries that were.
    pub fn forget_all(&self, directory: Option<u32>, negative_only: bool, now: Instant) -> usize {
        let _one = self.begin_flush(now);
        let before = self.entries.len();
        self.entries.retain(|key, answers| {
            let is_meant = directory.is_none() || key.directory() == directory;
            let is_meant = is_meant
                && (!negative_only || answers.answers().iter().any(|piece| !piece.is_found()));
            if is_meant {
                self.population.left(key);
            }
            !is_meant
        });
        before.saturating_sub(self.entries.len())
    }

    /// When somebody last flushed: calls that had left before then are not worth waiting for. None if
    /// nobody has.
    pub fn flushed_at(&self) -> Option<Instant> {
        let nanos = self.flushed_at.load(Ordering::Relaxed);
        let since = Duration::from_nanos(u64::try_from(nanos).ok()?);
        Some(self.epoch.0 + since)
    }

    /// How many entries there may be.
    pub fn capacity(&self) -> u64 {
        self.entries.capacity()
    }

    /// How long answers live.
    pub fn ttls(&self) -> Ttls {
        self.ttls.get()
    }

    /// Has answers live so long from now on.
    pub fn set_ttls(&self, ttls: Ttls) {
        self.ttls.set(ttls);
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many there are of one directory.
    pub fn len_of(&self, directory: u32) -> usize {
        self.population.of(directory)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn change(&self, key: CacheKey<'_>, change: impl FnOnce(Pieces<'_>) -> Option<Packed>) -> bool {
        self.change_locked(&self.lock(), key, change)
    }

    fn change_locked(
        &self,
        _one: &MutexGuard<'_, ()>,
        key: CacheKey<'_>,
        change: impl FnOnce(Pieces<'_>) -> Option<Packed>,
    ) -> bool {
        let known = self.entries.peek(&key);
        let answers = known.as_ref().map_or(Pieces::One(None), Packed::answers);
        let Some(entry) = change(answers) else {
            return false;
        };
        let key = key.to_stored();
        // Also where it takes the place of one that is here: that one is said to have left.
        let count = self.population.came(&key);
        self.entries.insert(key, entry);
        if count >= MANY_ENTRIES {
            self.room_for_many.call_once(|| self.make_room(count));
        }
        true
    }

    fn make_room(&self, count: usize) {
        let most = usize::try_from(self.entries.capacity()).unwrap_or(ROOM);
        // And an eighth, since its parts fill unevenly.
        let more = most.min(ROOM).saturating_sub(count);
        self.entries.reserve(more + more / 8);
    }

    /// While somebody flushes what is stored, nothing is taken over from there.
    pub fn flushing(&self) -> Flushing<'_> {
        self.flushing.fetch_add(1, Ordering::SeqCst);
        Flushing(&self.flushing)
    }

    fn begin_flush(&self, now: Instant) -> MutexGuard<'_, ()> {
        let lock = self.lock();
        let now = self.epoch.nanos(now);
        self.flushed_at.fetch_max(now, Ordering::Relaxed);
        lock
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        // Nothing is held by the lock itself: a panic under it leaves nothing half-done.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody may have shortened the TTL since this was found.
    fn bind(&self, piece: &mut Piece<'_>) {
        if piece.is_found() {
            piece.times.shorten(self.ttls.found_ms());
        }
    }

    fn ttl(&self, fact: &Fact, known: Option<&(Times, Option<Fact>)>, departed: i64) -> Duration {
        if fact.is_found() {
            return Duration::from_millis(self.ttls.found_ms().into());
        }
        let first = self.ttls.get().negative;
        let longest = LONGEST_NEGATIVE.max(first);
        match known {
            // Whoever asks again and again before its time does not make it live longer.
            Some((times, Some(known))) if known.is_same_negative(fact) => {
                if times.is_due(departed) {
                    (times.ttl() * 2).min(longest)
                } else {
                    times.ttl()
                }
            }
            _ => first,
        }
    }
}

#[cfg(test)]
mod tests;
