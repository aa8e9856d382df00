//! Remembers what was said of each identifier, and counts what contradicts it.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, PoisonError},
};

use crate::{
    answer::Resolution,
    wire::{Fields, Value},
};

const RESOLVED: u64 = 1;
const FAILED: u64 = 5;

/// What is known so far.
pub struct Verifier {
    /// Everybody asked for is there: any other answer is wrong.
    all_exist: bool,
    /// Different identifiers are different people: none shares an ID.
    all_differ: bool,
    known: Mutex<Known>,
}

/// An identifier or IDs, as they stand in the messages.
type Text = Box<[u8]>;

#[derive(Default)]
struct Known {
    /// Outcome and IDs first given for each identifier.
    said: HashMap<Text, (u64, Text)>,
    /// Whose IDs these are.
    owners: HashMap<Text, Text>,
    wrong: Wrong,
}

/// Wrong answers, by what is wrong with them.
#[derive(Clone, Copy, Default)]
pub struct Wrong {
    /// Not what was said of the same identifier before.
    pub changed: u64,
    /// An ID that another identifier has.
    pub shared: u64,
    /// Not the identifier that was asked for at this place.
    pub misplaced: u64,
    /// Not RESOLVED, and known to be there.
    pub denied: u64,
}

impl Wrong {
    pub fn total(&self) -> u64 {
        self.changed + self.shared + self.misplaced + self.denied
    }
}

impl Verifier {
    pub fn new(all_exist: bool, all_differ: bool) -> Self {
        Self {
            all_exist,
            all_differ,
            known: Mutex::default(),
        }
    }

    pub fn wrong(&self) -> Wrong {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .wrong
    }

    /// One resolution, and the identifier that was asked for at its place.
    pub fn check(&self, asked: Option<&[u8]>, resolution: &Resolution<'_>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if asked != Some(resolution.identifier) {
            known.wrong.misplaced += 1;
            return;
        }
        if matches!(resolution.outcome, 0 | FAILED) {
            return;
        }
        if self.all_exist && resolution.outcome != RESOLVED {
            known.wrong.denied += 1;
            return;
        }
        let ids = ids(resolution.user);
        match known.said.entry(resolution.identifier.into()) {
            Entry::Occupied(before) => {
                let (outcome, before) = before.get();
                if *outcome != resolution.outcome || before.as_ref() != ids {
                    known.wrong.changed += 1;
                    return;
                }
            }
            Entry::Vacant(first) => {
                first.insert((resolution.outcome, ids.clone().into()));
            }
        }
        if self.all_differ && !ids.is_empty() {
            let owner = known.owners.entry(ids.into());
            let owner = owner.or_insert_with(|| resolution.identifier.into());
            if owner.as_ref() != resolution.identifier {
                known.wrong.shared += 1;
            }
        }
    }
}

/// The identifiers of a `ResolveUserIdsRequest`, in order.
pub fn asked(request: &[u8]) -> impl Iterator<Item = &[u8]> {
    Fields(request).filter_map(|field| match field {
        Ok((3, Value::Bytes(identifier))) => Some(identifier),
        _ => None,
    })
}

/// The three IDs of a `User`, without its status, which comes and goes with a scope.
fn ids(user: &[u8]) -> Vec<u8> {
    let mut ids = Vec::new();
    for (number, value) in Fields(user).flatten() {
        if let (1..=3, Value::Bytes(id)) = (number, value) {
            ids.extend_from_slice(id);
            ids.push(b' ');
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `User` whose `user_id` is one letter.
    fn user(letter: u8) -> [u8; 3] {
        [0x0a, 1, letter]
    }

    #[test]
    fn contradictions_are_counted_by_kind() {
        let verifier = Verifier::new(true, true);
        let say = |who: &[u8], asked: &[u8], outcome, letter| {
            let user = user(letter);
            let resolution = Resolution {
                identifier: who,
                outcome,
                user: &user,
                ..Resolution::default()
            };
            verifier.check(Some(asked), &resolution);
            let wrong = verifier.wrong();
            [wrong.changed, wrong.shared, wrong.misplaced, wrong.denied]
        };
        assert_eq!(say(b"a", b"a", RESOLVED, b'1'), [0, 0, 0, 0]);
        assert_eq!(say(b"a", b"a", RESOLVED, b'1'), [0, 0, 0, 0]);
        assert_eq!(say(b"a", b"a", RESOLVED, b'2'), [1, 0, 0, 0]);
        assert_eq!(say(b"b", b"b", RESOLVED, b'1'), [1, 1, 0, 0]);
        assert_eq!(say(b"c", b"d", RESOLVED, b'3'), [1, 1, 1, 0]);
        assert_eq!(say(b"e", b"e", 2, b'4'), [1, 1, 1, 1]);
        assert_eq!(say(b"f", b"f", FAILED, b'5'), [1, 1, 1, 1]);
    }
}
