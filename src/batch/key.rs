//! What waits and what travels: keys, and the cargo of a call.

use std::sync::Arc;

use tokio::{sync::oneshot, time::Instant};

use crate::{
    directory::{LookupBatch, LookupScope},
    identity::Identifier,
};

use super::{
    CallResult, LookupResult,
    interest::{Class, Interest},
    lanes::{KeyId, Kind, Place},
};

/// One key that waits.
pub(super) struct Key {
    /// Its number, once it has one; it keeps it when it comes back.
    pub(super) id: Option<KeyId>,
    pub(super) scope: LookupScope,
    pub(super) who: Identifier,
    pub(super) interest: Arc<Interest>,
    /// Failed calls that it was in, other than for reasons that have nothing to do with it.
    pub(super) attempts: u32,
    /// Calls that it was in whose token was rejected.
    pub(super) rejections: u32,
    /// Failures that it shared with all calls, and whose end it waited for.
    pub(super) waits: u32,
    pub(super) reply: oneshot::Sender<LookupResult>,
    /// Since when somebody waits for it.
    pub(super) since: Instant,
    /// Where it is lined up.
    pub(super) class: Class,
    /// Does not count before this moment.
    pub(super) not_before: Option<Instant>,
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

/// What leaves with a permit.
pub(super) enum Departure {
    Packed(Cargo),
    Part(Part),
}

impl Departure {
    pub(super) fn cargo(&self) -> &Cargo {
        match self {
            Self::Packed(cargo) => cargo,
            Self::Part(part) => &part.cargo,
        }
    }

    pub(super) fn batch(&self) -> &LookupBatch {
        &self.cargo().batch
    }
}

impl Key {
    pub(super) fn new(
        scope: LookupScope,
        who: Identifier,
        interest: Arc<Interest>,
        now: Instant,
    ) -> (Self, oneshot::Receiver<LookupResult>) {
        let (reply, answer) = oneshot::channel();
        let class = interest.wish().class;
        let key = Self {
            id: None,
            scope,
            who,
            interest,
            attempts: 0,
            rejections: 0,
            waits: 0,
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

    pub(super) fn place(&self, id: KeyId) -> Place {
        Place {
            id,
            kind: Kind::of(&self.who),
            class: self.class,
            caller: self.interest.wish().caller,
            since: self.since,
        }
    }
}

impl Cargo {
    /// A call for just these keys of one scope, at most 50 of a kind.
    pub(super) fn of(scope: LookupScope, keys: Vec<Key>, now: Instant) -> Self {
        let mut batch = LookupBatch::new(scope);
        for (index, key) in keys.iter().enumerate() {
            let asked = keys.iter().take(index).any(|other| other.who == key.who);
            if !asked {
                let _full = batch.push(key.who.clone());
            }
        }
        Self {
            batch,
            keys,
            departed: now,
        }
    }

    /// Whether somebody waits for few answers, of which one is in here.
    pub(super) fn is_interactive(&self) -> bool {
        self.keys.iter().any(|key| key.class == Class::Interactive)
    }

    /// Tells those who wait that their call leaves now.
    pub(super) fn depart(&mut self, now: Instant) {
        self.departed = now;
        for key in &self.keys {
            key.interest.set_departed(Some(now));
        }
    }
}
