//! Which keys leave next, and together.

use tokio::time::Instant;

use crate::{directory::LookupBatch, quota::Covers};

use super::{Lot, Waiting};
use crate::batch::{
    LookupError,
    key::{Cargo, Departure, Key, Part},
    lanes::{Kind, Lanes},
};

/// Every so many calls the key that has waited longest decides which scope's turn it is, also if
/// only bulk waits there: bulk's share when scopes differ.
const BULK_TURN: u64 = 5;

impl Waiting {
    /// Decides what leaves now.
    pub(in crate::batch) fn depart(&mut self, now: Instant, covers: Covers) -> Option<Departure> {
        self.admit_delayed(now);
        self.eager = false;
        let departure = self.next(now, covers);
        if departure.is_some() {
            self.departures += 1;
            self.breaker.departed();
        }
        self.tell_load(now);
        departure
    }

    fn next(&mut self, now: Instant, covers: Covers) -> Option<Departure> {
        if covers == Covers::AnyCall {
            while let Some(mut part) = self.next_part() {
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

    /// The part whose turn it is: bulk's wait while interactive keys do, but for bulk's turns.
    fn next_part(&mut self) -> Option<Part> {
        let urgent = self
            .parts
            .iter()
            .position(|part| part.cargo.is_interactive());
        if let Some(index) = urgent {
            return self.parts.remove(index);
        }
        let mut lots = self.scopes.iter().flat_map(|s| [&s.clean, &s.suspect]);
        let others_wait = lots.any(|lanes| lanes.oldest_interactive().is_some());
        if others_wait && !self.departures.is_multiple_of(BULK_TURN) {
            return None;
        }
        self.parts.pop_front()
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
        let mut cargo = Cargo {
            batch: LookupBatch::new(scope.of),
            keys: Vec::new(),
            departed: now,
        };
        let witness = scope.witness.clone();
        let lanes = scope.lanes_mut(suspect);
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
                let asked = cargo.keys.iter().any(|other: &Key| other.who == key.who);
                if asked || cargo.batch.push(key.who.clone()).is_ok() {
                    cargo.keys.push(key);
                }
            }
        }
        if cargo.keys.is_empty() {
            return None;
        }
        if let Some(witness) = witness
            && cargo.keys.iter().all(|key| key.who != witness)
        {
            // No room is no harm: of a full call somebody will be found.
            let _full = cargo.batch.push(witness);
        }
        cargo.depart(now);
        Some(cargo)
    }
}
