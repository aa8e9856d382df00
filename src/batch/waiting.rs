//! The keys of one tenant that wait for a call. Pure: time is an argument, and a lock is around it.
//! Knows neither quota nor directory.

mod pack;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use crate::{
    caller::CallerId,
    directory::{DirectoryError, LookupBatch, LookupScope},
    identity::Identifier,
    quota::Load,
};

use super::{
    LookupError,
    breaker::Breaker,
    interest::Class,
    key::{Key, Part},
    lanes::{KeyId, Lanes},
    standing::Published,
    status::BreakerState,
};

/// How long the first key of a call waits for others, so that a burst shares a call. The timer counts
/// whole milliseconds, so this is one at most.
const GATHER: Duration = Duration::from_micros(500);

/// What became of a key since it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visit {
    /// Nobody wanted it any more.
    Left,
    Waits,
    /// In a call.
    UnderWay,
}

pub(super) struct Waiting {
    breaker: Breaker,
    standing: Arc<Published>,
    keys: HashMap<KeyId, Key>,
    /// At most one for each of three kinds of ID, with and without the resigned.
    scopes: Vec<Scope>,
    delayed: BTreeSet<(Instant, KeyId)>,
    parts: VecDeque<Part>,
    next_id: KeyId,
    departures: u64,
    /// Whether somebody has come to wait, since the last departure, after whom nobody follows.
    eager: bool,
    /// Long ago: what has been worth a call since then may leave at once.
    long_ago: Instant,
    load: watch::Sender<Load>,
}

/// The keys that can share calls.
struct Scope {
    of: LookupScope,
    /// Keys that have not failed yet.
    clean: Lanes,
    /// Keys that have been in a failed call: they travel apart, since one of them may be why.
    suspect: Lanes,
    /// Somebody whose ID was given lately. They ride along where there is room: if even they have no
    /// ID, it is the kind of ID that is not given any more.
    witness: Option<Identifier>,
}

/// Which lanes: a scope's index, and whether its suspects'.
type Lot = (usize, bool);

impl Scope {
    fn lanes_mut(&mut self, suspect: bool) -> &mut Lanes {
        if suspect {
            &mut self.suspect
        } else {
            &mut self.clean
        }
    }
}

impl Waiting {
    pub(super) fn new(standing: Arc<Published>, now: Instant) -> (Self, watch::Receiver<Load>) {
        let (load, demand) = watch::channel(Load::default());
        let waiting = Self {
            breaker: Breaker::default(),
            standing,
            keys: HashMap::new(),
            scopes: Vec::new(),
            delayed: BTreeSet::new(),
            parts: VecDeque::new(),
            next_id: 0,
            departures: 0,
            eager: false,
            long_ago: now,
            load,
        };
        (waiting, demand)
    }

    /// Whether a lookup may come to wait.
    pub(super) fn admit(&self, now: Instant) -> Result<(), LookupError> {
        self.breaker.admit(now).map_err(LookupError::from)
    }

    /// Whether the directory is left alone but for probes.
    pub(super) fn is_left_alone(&self) -> bool {
        self.breaker.is_open()
    }

    /// Somebody may have mended what was wrong.
    pub(super) fn may_be_mended(&mut self, now: Instant) {
        self.breaker.may_be_mended(now);
        self.tell_load(now);
    }

    /// The directory answered.
    pub(super) fn succeeded(&mut self, now: Instant) {
        self.breaker.succeeded();
        self.tell_load(now);
    }

    /// A call told nothing of the directory.
    pub(super) fn told_nothing(&mut self, now: Instant) {
        self.breaker.told_nothing(None);
        self.tell_load(now);
    }

    /// A call failed: if that was one too many, takes out everything that waits, and says why.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        error: &Arc<DirectoryError>,
    ) -> Option<(Vec<Key>, Vec<Part>, LookupError)> {
        if !self.breaker.failed(now, error) {
            self.tell_load(now);
            return None;
        }
        let why = self.admit(now).err()?;
        let (keys, parts) = self.drain(now);
        Some((keys, parts, why))
    }

    /// Adds a key, or one that comes back; with `not_before`, one that does not count before then.
    pub(super) fn push(
        &mut self,
        mut key: Key,
        not_before: Option<Instant>,
        now: Instant,
    ) -> KeyId {
        let id = key.id.unwrap_or(self.next_id);
        self.next_id = self.next_id.max(id + 1);
        key.id = Some(id);
        key.class = key.interest.wish().class;
        key.not_before = not_before.filter(|at| *at > now);
        if let Some(at) = key.not_before {
            self.delayed.insert((at, id));
        } else {
            self.eager |= key.interest.wish().alone;
            self.line_up(id, &key);
        }
        self.keys.insert(id, key);
        self.tell_load(now);
        id
    }

    pub(super) fn push_part(&mut self, part: Part, now: Instant) {
        self.parts.push_back(part);
        self.tell_load(now);
    }

    /// Something has changed for those who wait for this key: it leaves, or gets the place that they
    /// now want.
    pub(super) fn revisit(&mut self, id: KeyId, now: Instant) -> Visit {
        let Some(mut key) = self.keys.remove(&id) else {
            return Visit::UnderWay;
        };
        // Under the queue's lock, so that nobody joins a key that is about to leave.
        let gone = key.interest.give_up_if_lost(now);
        let class = key.interest.wish().class;
        if gone || class != key.class {
            self.take_out_of_line(id, &key);
        }
        if gone {
            self.tell_load(now);
            return Visit::Left;
        }
        if class == key.class {
            self.keys.insert(id, key);
        } else {
            if matches!(key.class, Class::Refresh { .. }) {
                // Nobody has waited for it until now.
                key.since = now;
            }
            let not_before = key.not_before;
            self.push(key, not_before, now);
        }
        Visit::Waits
    }

    /// Takes a key out, if it still waits.
    pub(super) fn leave(&mut self, id: KeyId, now: Instant) -> Option<Key> {
        let key = self.keys.remove(&id)?;
        self.take_out_of_line(id, &key);
        self.tell_load(now);
        Some(key)
    }

    fn drain(&mut self, now: Instant) -> (Vec<Key>, Vec<Part>) {
        let mut keys: Vec<_> = self.keys.drain().collect();
        // In the order in which they came, so that a run can be replayed.
        keys.sort_unstable_by_key(|(id, _)| *id);
        self.delayed.clear();
        for scope in &mut self.scopes {
            scope.clean = Lanes::default();
            scope.suspect = Lanes::default();
        }
        let parts = self.parts.drain(..).collect();
        self.tell_load(now);
        (keys.into_iter().map(|(_, key)| key).collect(), parts)
    }

    /// Takes out the keys whose waiters will have gone by then.
    pub(super) fn drain_those_gone_by(&mut self, then: Instant, now: Instant) -> Vec<Key> {
        let gone =
            |(id, key): (&KeyId, &Key)| (key.interest.wish().deadline <= then).then_some(*id);
        let mut gone: Vec<_> = self.keys.iter().filter_map(gone).collect();
        gone.sort_unstable();
        gone.into_iter()
            .filter_map(|id| self.leave(id, now))
            .collect()
    }

    /// How many calls leave before a new key of this class and caller.
    pub(super) fn calls_ahead(&self, class: Class, caller: CallerId) -> usize {
        let ahead = |scope: &Scope| {
            [&scope.clean, &scope.suspect].map(|lanes| lanes.calls_ahead(class, caller))
        };
        let before = |part: &&Part| class != Class::Interactive || part.cargo.is_interactive();
        let parts = self.parts.iter().filter(before).count();
        parts + self.scopes.iter().flat_map(ahead).sum::<usize>()
    }

    /// Whether the directory is asked, for people.
    pub(super) fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    /// How many keys wait.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
            + self
                .parts
                .iter()
                .map(|part| part.cargo.keys.len())
                .sum::<usize>()
    }

    /// Somebody who was given an ID of this scope's kind lately.
    pub(super) fn witness(&mut self, scope: LookupScope) -> Option<Identifier> {
        let index = self.scope(scope);
        self.scopes.get(index)?.witness.clone()
    }

    /// Remembers somebody who was given an ID of this scope's kind, or that the witness was not.
    pub(super) fn note_witness(&mut self, batch: &LookupBatch, found: Option<Identifier>) {
        let index = self.scope(batch.scope());
        let Some(scope) = self.scopes.get_mut(index) else {
            return;
        };
        let was_asked = scope
            .witness
            .as_ref()
            .is_some_and(|w| batch.keys().any(|key| key == w));
        if found.is_some() || was_asked {
            scope.witness = found;
        }
    }

    fn admit_delayed(&mut self, now: Instant) {
        while let Some((at, id)) = self.delayed.first().copied()
            && at <= now
        {
            self.delayed.pop_first();
            if let Some(mut key) = self.keys.remove(&id) {
                key.not_before = None;
                self.line_up(id, &key);
                self.keys.insert(id, key);
            }
        }
    }

    fn line_up(&mut self, id: KeyId, key: &Key) {
        let place = key.place(id);
        if let Some(lanes) = self.lanes_of(key) {
            lanes.push(place);
        }
    }

    fn take_out_of_line(&mut self, id: KeyId, key: &Key) {
        if let Some(at) = key.not_before {
            self.delayed.remove(&(at, id));
            return;
        }
        let place = key.place(id);
        if let Some(lanes) = self.lanes_of(key) {
            lanes.remove(place);
        }
    }

    fn lanes_of(&mut self, key: &Key) -> Option<&mut Lanes> {
        let index = self.scope(key.scope);
        Some(self.scopes.get_mut(index)?.lanes_mut(key.attempts > 0))
    }

    fn lanes(&self, (index, suspect): Lot) -> Option<&Lanes> {
        let scope = self.scopes.get(index)?;
        Some(if suspect {
            &scope.suspect
        } else {
            &scope.clean
        })
    }

    fn scope(&mut self, scope: LookupScope) -> usize {
        let known = self.scopes.iter().position(|other| other.of == scope);
        known.unwrap_or_else(|| {
            self.scopes.push(Scope {
                of: scope,
                clean: Lanes::default(),
                suspect: Lanes::default(),
                witness: None,
            });
            self.scopes.len() - 1
        })
    }

    /// Tells whoever gives out permits what waits, and those who ask whether to.
    fn tell_load(&self, now: Instant) {
        self.breaker.publish(&self.standing);
        let load = self.current_load(now);
        self.load.send_if_modified(|known| {
            let changed = *known != load;
            *known = load;
            changed
        });
    }

    fn current_load(&self, now: Instant) -> Load {
        let Some(not_before) = self.breaker.may_depart_at() else {
            return Load::default();
        };
        let lanes = || {
            let scopes = self.scopes.iter();
            scopes.flat_map(|scope| [&scope.clean, &scope.suspect])
        };
        let wanted = lanes()
            .filter_map(Lanes::oldest)
            .map(|since| since + GATHER);
        let urgent = lanes().filter_map(Lanes::urgent_at);
        let delayed = self.delayed.first().map(|(at, _)| *at);
        let parts = (!self.parts.is_empty()).then_some(self.long_ago);
        let full_at = lanes().filter_map(|lanes| self.full_at(lanes)).min();
        let ready_at = wanted
            .chain(urgent)
            .chain(delayed)
            .chain(parts)
            .chain(full_at);
        let ready_at = ready_at
            .min()
            .map(|at| not_before.map_or(at, |open| at.max(open)));
        let full_at = full_at.filter(|_| not_before.is_none_or(|at| at <= now));
        Load {
            full_at,
            ready_at,
            eager: self.eager,
        }
    }

    /// From when on a call of these is full. One that is full of one kind gathers the other for as
    /// long as any call does.
    fn full_at(&self, lanes: &Lanes) -> Option<Instant> {
        if lanes.is_full_of_both() {
            return Some(self.long_ago);
        }
        let gathered = || lanes.oldest().map_or(self.long_ago, |since| since + GATHER);
        lanes.is_full().then(gathered)
    }
}
