//! One answer and its times. Pure.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::identity::{Person, UserIdType};

/// Where in its TTL an answer becomes due for refresh: drawn between the two, so that what was asked
/// together is not refreshed together, and early enough in the last tenth that somebody who reads it
/// now and then comes by before it expires.
const DUE: (f64, f64) = (0.90, 0.97);
/// How much before its end a refresh makes a call of its own, if none came by to ride on.
const URGENT: f64 = 0.02;
/// The same at least, for short TTLs: a call takes its time.
const LEAST_URGENT: Duration = Duration::from_millis(200);
/// After a refresh that failed, the part of the TTL before the next.
const POSTPONED: f64 = 0.01;

/// What the directory says of somebody, for one kind of ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// One person.
    Found(Person),
    /// Nobody.
    NotFound,
    /// Several people.
    Ambiguous(Vec<Person>),
    /// The directory refuses the identifier itself.
    Refused(Refusal),
}

/// How the directory refused an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The directory's error code.
    pub code: Option<i64>,
    /// The directory's log ID of the refused call.
    pub log_id: Option<String>,
}

/// How old an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// To be given.
    Fresh,
    /// To be given, and to be asked for again behind it.
    RefreshDue {
        /// When the refresh is worth a call of its own.
        urgent_at: Instant,
    },
    /// Not to be given.
    Expired,
}

/// When a call left: by the clock that measures, and by the one that people read.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Never later than it really did.
    pub departed: Instant,
    /// For people.
    pub at: SystemTime,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The kind of ID that it is about.
    pub kind: UserIdType,
    /// What it says.
    pub fact: Fact,
    /// When its call left, for people.
    pub asked_at: SystemTime,
    /// When its call left, for measuring its age.
    pub departed: Instant,
    /// When it expires.
    pub expires_at: Instant,
    pub(super) ttl: Duration,
    due_at: Instant,
}

impl Fact {
    /// Whether somebody was found.
    pub fn is_found(&self) -> bool {
        matches!(self, Self::Found(_))
    }

    pub(super) fn is_same_negative(&self, other: &Self) -> bool {
        !self.is_found() && std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Answer {
    pub(super) fn new(
        kind: UserIdType,
        fact: Fact,
        asked: Asked,
        ttl: Duration,
        random: f64,
    ) -> Self {
        let due = DUE.0 + (DUE.1 - DUE.0) * random.clamp(0.0, 1.0);
        Self {
            kind,
            fact,
            asked_at: asked.at,
            departed: asked.departed,
            expires_at: asked.departed + ttl,
            ttl,
            due_at: asked.departed + ttl.mul_f64(due),
        }
    }

    /// Whether it may be given now.
    pub fn freshness(&self, now: Instant) -> Freshness {
        if self.expires_at <= now {
            Freshness::Expired
        } else if self.is_due(now) {
            Freshness::RefreshDue {
                urgent_at: self.urgent_at(),
            }
        } else {
            Freshness::Fresh
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due_at <= now
    }

    pub(super) fn postpone(&mut self, now: Instant) {
        self.due_at = self.due_at.max(now + self.ttl.mul_f64(POSTPONED));
    }

    fn urgent_at(&self) -> Instant {
        let before = self.ttl.mul_f64(URGENT).max(LEAST_URGENT);
        let urgent_at = self.expires_at.checked_sub(before);
        urgent_at.map_or(self.due_at, |at| at.max(self.due_at))
    }
}
