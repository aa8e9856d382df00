//! The keys of one tenant that wait for a call, and which of them leave next. Pure: time is an
//! argument, and a lock is around it. Knows neither quota nor directory.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use crate::{
    directory::{DirectoryError, LookupBatch, LookupScope},
    identity::Identifier,
    quota::{Covers, Load},
};

use super::{
    CallResult, LookupError, LookupResult,
    breaker::Breaker,
    interest::{Class, Interest},
    lanes::{KeyId, Kind, Lanes, Place},
};

/// How long the first key of a call waits for others, so that a burst shares a call. The timer counts
/// whole milliseconds, so this is one at most.
const GATHER: Duration = Duration::from_micros(500);
/// Every so many calls the key that has waited longest decides which scope's turn it is, also if
/// only bulk waits there: bulk's share when scopes differ.
const BULK_TURN: u64 = 5;

/// One key that waits.
pub(super) struct Key {
    /// Its number, once it has one; it keeps it when it comes back.
    id: Option<KeyId>,
    pub(super) scope: LookupScope,
    pub(super) key: Identifier,
    pub(super) interest: Arc<Interest>,
    /// Failed calls that it was in, other than for reasons that have nothing to do with it.
    pub(super) attempts: u32,
    /// Calls that it was in whose token was rejected.
    pub(super) rejections: u32,
    pub(super) reply: oneshot::Sender<LookupResult>,
    since: Instant,
    class: Class,
    /// Does not count before this moment.
    not_before: Option<Instant>,
}

/// What travels in one call, as it was packed.
pub(super) struct Cargo {
    pub(super) batch: LookupBatch,
    pub(super) keys: Vec<Key>,
    /// When it left, or last left.
    pub(super) departed: Instant,
}

/// A call whose content was decided beforehand: a part of one that failed.
pub(super) struct Part {
    pub(super) cargo: Cargo,
    /// Gets the part back, with what became of it.
    pub(super) reply: oneshot::Sender<(Cargo, CallResult)>,
}

/// What became of a key since it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visit {
    /// Nobody wanted it any more.
    Left,
    Waits,
    /// In a call.
    UnderWay,
}

pub(super) enum Departure {
    Packed(Cargo),
    Part(Part),
}

pub(super) struct Waiting {
    breaker: Breaker,
    keys: HashMap<KeyId, Key>,
    /// At most one for each of three kinds of ID, with and without the resigned.
    scopes: Vec<Scope>,
    delayed: BTreeSet<(Instant, KeyId)>,
    parts: VecDeque<Part>,
    next_id: KeyId,
    departures: u64,
    /// Long ago: what has been worth a call since then may leave at once.
    long_ago: Instant,
    load: watch::Sender<Load>,
}

struct Scope {
    scope: LookupScope,
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

impl Key {
    pub(super) fn new(
        scope: LookupScope,
        key: Identifier,
        interest: Arc<Interest>,
        now: Instant,
    ) -> (Self, oneshot::Receiver<LookupResult>) {
        let (reply, answer) = oneshot::channel();
        let class = interest.wish().class;
        let key = Self {
            id: None,
            scope,
            key,
            interest,
            attempts: 0,
            rejections: 0,
            reply,
            since: now,
            class,
            not_before: None,
        };
        (key, answer)
    }

    /// Ends its wait. Whoever waited may have gone; then nobody is told.
    pub(super) fn answer(self, result: LookupResult) {
        let _gone = self.reply.send(result);
    }

    fn place(&self, id: KeyId) -> Place {
        Place {
            id,
            kind: Kind::of(&self.key),
            class: self.class,
            caller: self.interest.wish().caller,
            since: self.since,
        }
    }
}

impl Waiting {
    pub(super) fn new(now: Instant) -> (Self, watch::Receiver<Load>) {
        let (load, demand) = watch::channel(Load::default());
        let waiting = Self {
            breaker: Breaker::default(),
            keys: HashMap::new(),
            scopes: Vec::new(),
            delayed: BTreeSet::new(),
            parts: VecDeque::new(),
            next_id: 0,
            departures: 0,
            long_ago: now,
            load,
        };
        (waiting, demand)
    }

    /// Whether a lookup may come to wait.
    pub(super) fn admit(&self, now: Instant) -> Result<(), LookupError> {
        self.breaker.admit(now).map_err(LookupError::from)
    }

    /// The directory answered.
    pub(super) fn succeeded(&mut self, now: Instant) {
        self.breaker.succeeded();
        self.tell_load(now);
    }

    /// A call failed: if that was one too many, takes out everything that waits, and says why.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        error: &Arc<DirectoryError>,
    ) -> Option<(Vec<Key>, Vec<Part>, LookupError)> {
        if !self.breaker.failed(now, error) {
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
        match key.not_before {
            Some(at) => {
                self.delayed.insert((at, id));
            }
            None => self.line_up(id, &key),
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
            self.unline(id, &key);
        }
        if gone {
            self.tell_load(now);
            return Visit::Left;
        }
        if class != key.class {
            if matches!(key.class, Class::Refresh { .. }) {
                // Nobody has waited for it until now.
                key.since = now;
            }
            let not_before = key.not_before;
            self.push(key, not_before, now);
        } else {
            self.keys.insert(id, key);
        }
        Visit::Waits
    }

    /// Takes a key out, if it still waits.
    pub(super) fn leave(&mut self, id: KeyId, now: Instant) -> Option<Key> {
        let key = self.keys.remove(&id)?;
        self.unline(id, &key);
        self.tell_load(now);
        Some(key)
    }

    /// Decides what leaves now.
    pub(super) fn depart(&mut self, now: Instant, covers: Covers) -> Option<Departure> {
        self.admit_delayed(now);
        let departure = self.next(now, covers);
        if departure.is_some() {
            self.departures += 1;
            self.breaker.departed();
        }
        self.tell_load(now);
        departure
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

    /// How many calls leave before a new key of this class.
    pub(super) fn calls_ahead(&self, class: Class) -> usize {
        let ahead =
            |scope: &Scope| scope.clean.calls_ahead(class) + scope.suspect.calls_ahead(class);
        self.parts.len() + self.scopes.iter().map(ahead).sum::<usize>()
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

    fn next(&mut self, now: Instant, covers: Covers) -> Option<Departure> {
        if covers == Covers::AnyCall {
            while let Some(mut part) = self.parts.pop_front() {
                if part.cargo.keys.iter().any(|key| !key.interest.is_lost(now)) {
                    part.cargo.depart(now);
                    return Some(Departure::Part(part));
                }
                // Nobody wants it any more: it costs no call.
                let late = Err(LookupError::DeadlineExceeded);
                let _gone = part.reply.send((part.cargo, late));
            }
        }
        let mut tried = 0;
        // A lot whose keys have all been given up is empty afterwards; the next has its turn.
        while tried <= 2 * self.scopes.len() {
            let lot = self.choose(now, covers)?;
            if let Some(cargo) = self.pack(lot, now) {
                return Some(Departure::Packed(cargo));
            }
            tried += 1;
        }
        None
    }

    /// Whose turn it is.
    fn choose(&self, now: Instant, covers: Covers) -> Option<Lot> {
        let lots = || (0..self.scopes.len()).flat_map(|index| [(index, false), (index, true)]);
        let lanes = |lot: Lot| self.lanes(lot);
        let by = |key: fn(&Lanes) -> Option<Instant>, full_only: bool| {
            let candidates = lots().filter_map(|lot| {
                let lanes = lanes(lot)?;
                (!full_only || lanes.is_full()).then_some(())?;
                Some((key(lanes)?, lot))
            });
            // The lot breaks a tie, so that a run can be replayed.
            candidates.min()
        };
        if covers == Covers::FullCall {
            let oldest = by(Lanes::oldest, true).or_else(|| by(Lanes::urgent_at, true));
            return oldest.map(|(_, lot)| lot);
        }
        let interactive = match self.departures % BULK_TURN {
            0 => None,
            _ => by(Lanes::oldest_interactive, false),
        };
        let wanted = interactive.or_else(|| by(Lanes::oldest, false));
        let urgent = || by(Lanes::urgent_at, false).filter(|(at, _)| *at <= now);
        let full = || by(Lanes::urgent_at, true);
        wanted.or_else(urgent).or_else(full).map(|(_, lot)| lot)
    }

    fn pack(&mut self, (index, suspect): Lot, now: Instant) -> Option<Cargo> {
        let scope = self.scopes.get_mut(index)?;
        let lanes = match suspect {
            true => &mut scope.suspect,
            false => &mut scope.clean,
        };
        let mut cargo = Cargo {
            batch: LookupBatch::new(scope.scope),
            keys: Vec::new(),
            departed: now,
        };
        let witness = scope.witness.clone();
        for kind in Kind::ALL {
            for id in lanes.take(kind) {
                let Some(key) = self.keys.remove(&id) else {
                    continue;
                };
                if key.interest.is_lost(now) {
                    key.answer(Err(LookupError::DeadlineExceeded));
                    continue;
                }
                // Two waiters with interests of their own may want the same key: it is asked for once.
                let asked = cargo.keys.iter().any(|other: &Key| other.key == key.key);
                if asked || cargo.batch.push(key.key.clone()).is_ok() {
                    cargo.keys.push(key);
                }
            }
        }
        if cargo.keys.is_empty() {
            return None;
        }
        if let Some(witness) = witness
            && cargo.keys.iter().all(|key| key.key != witness)
        {
            // No room is no harm: of a full call somebody will be found.
            let _full = cargo.batch.push(witness);
        }
        cargo.depart(now);
        Some(cargo)
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

    fn unline(&mut self, id: KeyId, key: &Key) {
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
        let scope = self.scopes.get_mut(index)?;
        Some(match key.attempts {
            0 => &mut scope.clean,
            _ => &mut scope.suspect,
        })
    }

    fn lanes(&self, (index, suspect): Lot) -> Option<&Lanes> {
        let scope = self.scopes.get(index)?;
        Some(match suspect {
            true => &scope.suspect,
            false => &scope.clean,
        })
    }

    fn scope(&mut self, scope: LookupScope) -> usize {
        let known = self.scopes.iter().position(|other| other.scope == scope);
        known.unwrap_or_else(|| {
            self.scopes.push(Scope {
                scope,
                clean: Lanes::default(),
                suspect: Lanes::default(),
                witness: None,
            });
            self.scopes.len() - 1
        })
    }

    /// Tells whoever gives out permits what waits.
    fn tell_load(&self, now: Instant) {
        let load = self.current_load(now);
        self.load.send_if_modified(|known| {
            let changed = *known != load;
            *known = load;
            changed
        });
    }

    fn current_load(&self, now: Instant) -> Load {
        if !self.breaker.may_depart(now) {
            return Load::default();
        }
        let lanes = || {
            let scopes = self.scopes.iter();
            scopes.flat_map(|scope| [&scope.clean, &scope.suspect])
        };
        let full = lanes().any(Lanes::is_full);
        let wanted = lanes()
            .filter_map(Lanes::oldest)
            .map(|since| since + GATHER);
        let urgent = lanes().filter_map(Lanes::urgent_at);
        let delayed = self.delayed.first().map(|(at, _)| *at);
        let at_once = (full || !self.parts.is_empty()).then_some(self.long_ago);
        let ready_at = wanted.chain(urgent).chain(delayed).chain(at_once).min();
        Load { full, ready_at }
    }
}

impl Cargo {
    /// A call for just these keys of one scope, at most 50 of a kind.
    pub(super) fn of(scope: LookupScope, keys: Vec<Key>, now: Instant) -> Self {
        let mut batch = LookupBatch::new(scope);
        for (index, key) in keys.iter().enumerate() {
            let asked = keys.iter().take(index).any(|other| other.key == key.key);
            if !asked {
                let _full = batch.push(key.key.clone());
            }
        }
        Self {
            batch,
            keys,
            departed: now,
        }
    }

    /// Tells those who wait that their call leaves now.
    fn depart(&mut self, now: Instant) {
        self.departed = now;
        for key in &self.keys {
            key.interest.set_departed(Some(now));
        }
    }
}
