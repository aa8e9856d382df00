//! The keys of one scope that wait, in the order in which calls take them: interactive before bulk,
//! with a share kept for bulk; round robin over callers; refreshes where room is left. Pure. Knows
//! keys by their numbers only.

use std::collections::{BTreeSet, HashMap, VecDeque};

use tokio::time::Instant;

use crate::{caller::CallerId, directory::MAX_OF_A_KIND, identity::Identifier};

use super::interest::Class;

/// Of the 50 keys of a kind in a call, how many bulk keys travel even if interactive ones wait:
/// one in five.
const BULK_SHARE: usize = 10;

/// A key's number in the queue.
pub(super) type KeyId = u64;

/// The two kinds of identifier, of which a call takes 50 each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Email,
    Mobile,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Email, Self::Mobile];

    pub(super) fn of(key: &Identifier) -> Self {
        match key {
            Identifier::Email(_) => Self::Email,
            Identifier::Mobile(_) => Self::Mobile,
        }
    }
}

/// Where a key stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) id: KeyId,
    pub(super) kind: Kind,
    pub(super) class: Class,
    pub(super) caller: CallerId,
    pub(super) since: Instant,
}

/// The keys of one scope.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    emails: KindLanes,
    mobiles: KindLanes,
}

#[derive(Debug, Default)]
struct KindLanes {
    interactive: Lane,
    bulk: Lane,
    /// By the moment from which they are worth a call of their own.
    refreshes: BTreeSet<(Instant, KeyId)>,
}

/// Keys of one class: whose turn it is, and which has waited longest.
#[derive(Debug, Default)]
struct Lane {
    turns: VecDeque<CallerId>,
    callers: HashMap<CallerId, VecDeque<KeyId>>,
    /// The keys that are really here: numbers elsewhere may be of keys that have left.
    order: BTreeSet<(Instant, KeyId)>,
    by_id: HashMap<KeyId, Instant>,
}

impl Lanes {
    pub(super) fn push(&mut self, place: Place) {
        let lanes = self.of_mut(place.kind);
        match place.class {
            Class::Interactive => lanes.interactive.push(place),
            Class::Bulk => lanes.bulk.push(place),
            Class::Refresh { urgent_at } => {
                lanes.refreshes.insert((urgent_at, place.id));
            }
        }
    }

    pub(super) fn remove(&mut self, place: Place) {
        let lanes = self.of_mut(place.kind);
        match place.class {
            Class::Interactive => lanes.interactive.remove(place.id),
            Class::Bulk => lanes.bulk.remove(place.id),
            Class::Refresh { urgent_at } => {
                lanes.refreshes.remove(&(urgent_at, place.id));
            }
        }
    }

    /// Takes up to 50 of a kind, those whose turn it is first.
    pub(super) fn take(&mut self, kind: Kind) -> Vec<KeyId> {
        let lanes = self.of_mut(kind);
        let mut taken = Vec::new();
        let share = lanes.bulk.order.len().min(BULK_SHARE);
        lanes.interactive.take(MAX_OF_A_KIND - share, &mut taken);
        lanes.bulk.take(MAX_OF_A_KIND, &mut taken);
        lanes.interactive.take(MAX_OF_A_KIND, &mut taken);
        while taken.len() < MAX_OF_A_KIND
            && let Some((_, id)) = lanes.refreshes.pop_first()
        {
            taken.push(id);
        }
        taken
    }

    /// Since when the longest waiting interactive key waits.
    pub(super) fn oldest_interactive(&self) -> Option<Instant> {
        self.min(|lanes| lanes.interactive.oldest())
    }

    /// Since when the longest waiting key that somebody waits for waits.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let bulk = self.min(|lanes| lanes.bulk.oldest());
        self.oldest_interactive().into_iter().chain(bulk).min()
    }

    /// From when on a refresh is worth a call of its own.
    pub(super) fn urgent_at(&self) -> Option<Instant> {
        self.min(|lanes| lanes.refreshes.first().map(|(at, _)| *at))
    }

    /// Whether a call can be filled with one kind.
    pub(super) fn is_full(&self) -> bool {
        Kind::ALL.into_iter().any(|kind| self.has_fifty(kind))
    }

    /// Whether a call can be filled with both.
    pub(super) fn is_full_of_both(&self) -> bool {
        Kind::ALL.into_iter().all(|kind| self.has_fifty(kind))
    }

    fn has_fifty(&self, kind: Kind) -> bool {
        self.of(kind).len() >= MAX_OF_A_KIND
    }

    /// How many calls the keys in front of a new one of this class and caller take.
    pub(super) fn calls_ahead(&self, class: Class, caller: CallerId) -> usize {
        let calls = |kind| {
            let lanes = self.of(kind);
            let bulk = lanes.bulk.order.len();
            if class == Class::Interactive {
                let ahead = lanes.interactive.ahead_of(caller);
                return ahead.div_ceil(MAX_OF_A_KIND - bulk.min(BULK_SHARE));
            }
            let interactive = lanes.interactive.order.len();
            // Interactive keys leave bulk its share of each call.
            let with_all = (interactive + lanes.bulk.ahead_of(caller)).div_ceil(MAX_OF_A_KIND);
            with_all.min(lanes.bulk.ahead_of(caller).div_ceil(BULK_SHARE))
        };
        Kind::ALL.into_iter().map(calls).max().unwrap_or(0)
    }

    fn min(&self, of: impl Fn(&KindLanes) -> Option<Instant>) -> Option<Instant> {
        let each = Kind::ALL.into_iter().filter_map(|kind| of(self.of(kind)));
        each.min()
    }

    fn of(&self, kind: Kind) -> &KindLanes {
        match kind {
            Kind::Email => &self.emails,
            Kind::Mobile => &self.mobiles,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut KindLanes {
        match kind {
            Kind::Email => &mut self.emails,
            Kind::Mobile => &mut self.mobiles,
        }
    }
}

impl KindLanes {
    fn len(&self) -> usize {
        self.interactive.order.len() + self.bulk.order.len() + self.refreshes.len()
    }
}

impl Lane {
    fn push(&mut self, place: Place) {
        self.order.insert((place.since, place.id));
        self.by_id.insert(place.id, place.since);
        let waiting = self.callers.entry(place.caller).or_default();
        if waiting.is_empty() {
            self.turns.push_back(place.caller);
        }
        waiting.push_back(place.id);
    }

    fn remove(&mut self, id: KeyId) {
        if let Some(since) = self.by_id.remove(&id) {
            self.order.remove(&(since, id));
        }
        // The caller's list may keep the number; it is skipped when its turn comes. What has left must
        // not add up while nothing can be taken.
        let listed: usize = self.callers.values().map(VecDeque::len).sum();
        if listed > 2 * self.by_id.len() + 64 {
            for waiting in self.callers.values_mut() {
                waiting.retain(|id| self.by_id.contains_key(id));
            }
            self.callers.retain(|_, waiting| !waiting.is_empty());
            self.turns
                .retain(|caller| self.callers.contains_key(caller));
        }
    }

    /// How many keys leave before the next one of this caller: callers take turns.
    fn ahead_of(&self, caller: CallerId) -> usize {
        let own = self.callers.get(&caller).map_or(0, VecDeque::len);
        self.order.len().min((own + 1) * self.turns.len())
    }

    fn oldest(&self) -> Option<Instant> {
        self.order.first().map(|(since, _)| *since)
    }

    /// Takes keys, one from each caller in turn, until there are `most` in all.
    fn take(&mut self, most: usize, taken: &mut Vec<KeyId>) {
        while taken.len() < most
            && let Some(caller) = self.turns.pop_front()
        {
            let Some(waiting) = self.callers.get_mut(&caller) else {
                continue;
            };
            while let Some(id) = waiting.pop_front() {
                if let Some(since) = self.by_id.remove(&id) {
                    self.order.remove(&(since, id));
                    taken.push(id);
                    break;
                }
            }
            if waiting.is_empty() {
                self.callers.remove(&caller);
            } else {
                self.turns.push_back(caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn place(id: KeyId, class: Class, caller: u64) -> Place {
        Place {
            id,
            kind: Kind::Email,
            class,
            caller: CallerId(caller),
            since: Instant::now(),
        }
    }

    fn lanes(places: impl IntoIterator<Item = Place>) -> Lanes {
        let mut lanes = Lanes::default();
        places.into_iter().for_each(|place| lanes.push(place));
        lanes
    }

    #[tokio::test(start_paused = true)]
    async fn callers_take_turns_whoever_came_first() {
        let greedy = (0..200).map(|id| place(id, Class::Bulk, 1));
        let modest = (200..205).map(|id| place(id, Class::Bulk, 2));
        let mut lanes = lanes(greedy.chain(modest));
        let first = lanes.take(Kind::Email);
        assert_eq!(first.len(), 50);
        assert_eq!(first.iter().filter(|id| **id >= 200).count(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn interactive_goes_first_and_bulk_keeps_its_share() {
        let bulk = (0..100).map(|id| place(id, Class::Bulk, 1));
        let interactive = (100..300).map(|id| place(id, Class::Interactive, 2));
        let mut lanes = lanes(bulk.chain(interactive));
        let taken = lanes.take(Kind::Email);
        assert_eq!(taken.iter().filter(|id| **id < 100).count(), BULK_SHARE);
        assert!(taken.first().is_some_and(|id| *id == 100));
    }

    #[tokio::test(start_paused = true)]
    async fn refreshes_take_what_room_is_left_the_most_urgent_first() {
        let now = Instant::now();
        let refresh = |id: u64| {
            let urgent_at = now + Duration::from_secs(1000 - id);
            place(id, Class::Refresh { urgent_at }, 1)
        };
        let mut lanes = lanes((0..60).map(refresh));
        assert!(lanes.is_full(), "50 refreshes make a call");
        assert_eq!(lanes.oldest(), None, "nobody waits for them");
        lanes.push(place(100, Class::Interactive, 2));
        let taken = lanes.take(Kind::Email);
        assert_eq!(taken.get(..3), Some(&[100, 59, 58][..]));
        assert_eq!(taken.len(), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_left_is_not_taken_and_does_not_add_up() {
        let mut lanes = Lanes::default();
        for id in 0..10_000 {
            let place = place(id, Class::Interactive, id % 7);
            lanes.push(place);
            if id != 4711 {
                lanes.remove(place);
            }
        }
        let listed: usize = lanes
            .emails
            .interactive
            .callers
            .values()
            .map(VecDeque::len)
            .sum();
        assert!(listed < 100, "{listed}");
        assert_eq!(lanes.take(Kind::Email), [4711]);
        assert_eq!(lanes.oldest(), None);
    }
}
