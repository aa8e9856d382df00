//! One answer and its times. Pure.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::identity::{Person, PersonStatus, UserIdType};

use super::packed::Piece;

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
/// The same for an answer that has expired: nobody who is given it waits for another one meanwhile.
/// RFC 8767 §5, "failure recheck timer".
const RECHECK: Duration = Duration::from_secs(30);

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

/// How old an answer is that may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// To be given.
    Fresh,
    /// To be given, and to be asked for again behind it.
    RefreshDue {
        /// When the refresh is worth a call of its own.
        urgent_at: Instant,
        /// When it expires.
        expires_at: Instant,
    },
    /// Past its TTL: to be given only if the directory cannot be asked in time.
    Stale {
        /// Whether it is worth asking: not just after that has failed.
        may_ask: bool,
    },
}

/// When a call left: by the clock that measures, and by the one that people read.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Never later than it really did.
    pub departed: Instant,
    /// For people.
    pub at: SystemTime,
}

/// The clock of all answers: nanoseconds since the memory was made, negative before that.
#[derive(Clone, Copy)]
pub(super) struct Epoch(pub(super) Instant);

/// An answer's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// When its call left, by [`Epoch`].
    pub(super) departed: i64,
    /// The same for people: nanoseconds since 1970.
    pub(super) asked_at: u64,
    pub(super) ttl_ms: u32,
    /// When a refresh is due, counted from when the call left.
    pub(super) due_ms: u32,
}

/// An answer that may be given, as it lies in memory.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    pub(super) piece: Piece<'a>,
    pub(super) epoch: Epoch,
    /// How old it is.
    pub freshness: Freshness,
}

impl Fact {
    /// Whether somebody was found.
    #[inline]
    pub fn is_found(&self) -> bool {
        matches!(self, Self::Found(_))
    }

    pub(super) fn is_same_negative(&self, other: &Self) -> bool {
        !self.is_found() && std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Epoch {
    #[inline]
    pub(super) fn nanos(self, at: Instant) -> i64 {
        let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        match at.checked_duration_since(self.0) {
            Some(after) => nanos(after),
            None => -nanos(self.0.saturating_duration_since(at)),
        }
    }

    #[inline]
    pub(super) fn instant(self, nanos: i64) -> Instant {
        let distance = Duration::from_nanos(nanos.unsigned_abs());
        let at = if nanos < 0 {
            self.0.checked_sub(distance)
        } else {
            self.0.checked_add(distance)
        };
        // Not on any clock that there is: hundreds of years away.
        at.unwrap_or(self.0)
    }
}

impl Times {
    pub(super) fn new(epoch: Epoch, asked: Asked, ttl: Duration, random: f64) -> Self {
        let due = DUE.0 + (DUE.1 - DUE.0) * random.clamp(0.0, 1.0);
        Self {
            departed: epoch.nanos(asked.departed),
            asked_at: since_1970(asked.at),
            ttl_ms: millis(ttl),
            due_ms: millis(ttl.mul_f64(due)),
        }
    }

    pub(super) fn ttl(self) -> Duration {
        Duration::from_millis(self.ttl_ms.into())
    }

    #[inline]
    pub(super) fn is_due(self, now: i64) -> bool {
        self.after(self.due_ms) <= now
    }

    #[inline]
    pub(super) fn expires_at(self) -> i64 {
        self.after(self.ttl_ms)
    }

    /// Sees to it that it lives no longer than this, in milliseconds.
    #[inline]
    pub(super) fn shorten(&mut self, ttl_ms: u32) {
        if ttl_ms < self.ttl_ms {
            // What was put off past its end, after a failure, stays so.
            if self.due_ms <= self.ttl_ms {
                let part = f64::from(self.due_ms) / f64::from(self.ttl_ms);
                let ttl = Duration::from_millis(ttl_ms.into());
                self.due_ms = millis(ttl.mul_f64(part));
            }
            self.ttl_ms = ttl_ms;
        }
    }

    /// Puts off the next refresh, since one has failed: not past its end, and from there on by the
    /// pause between attempts in an outage.
    pub(super) fn postpone(&mut self, now: i64) {
        let left = self.expires_at().saturating_sub(now);
        let pause = if left <= 0 {
            nanos(RECHECK)
        } else {
            nanos(self.ttl().mul_f64(POSTPONED)).min(left)
        };
        let since = now.saturating_add(pause).saturating_sub(self.departed);
        let due_ms = u32::try_from(since / 1_000_000).unwrap_or(u32::MAX);
        self.due_ms = self.due_ms.max(due_ms);
    }

    fn urgent_at(self) -> i64 {
        let before = self.ttl().mul_f64(URGENT).max(LEAST_URGENT);
        let urgent_at = self.expires_at().saturating_sub(nanos(before));
        urgent_at.max(self.after(self.due_ms))
    }

    #[inline]
    fn after(self, millis: u32) -> i64 {
        self.departed
            .saturating_add(i64::from(millis).saturating_mul(1_000_000))
    }
}

impl<'a> Answer<'a> {
    /// The answer in this piece, unless it is too old to be given at all.
    #[inline]
    pub(super) fn of(
        piece: Piece<'a>,
        epoch: Epoch,
        now: i64,
        serve_stale: Duration,
    ) -> Option<Self> {
        let times = piece.times;
        let expires_at = times.expires_at();
        let freshness = if now < expires_at {
            if times.is_due(now) {
                Freshness::RefreshDue {
                    urgent_at: epoch.instant(times.urgent_at()),
                    expires_at: epoch.instant(expires_at),
                }
            } else {
                Freshness::Fresh
            }
        } else if piece.is_found() && now < expires_at.saturating_add(nanos(serve_stale)) {
            Freshness::Stale {
                may_ask: times.is_due(now),
            }
        } else {
            return None;
        };
        Some(Self {
            piece,
            epoch,
            freshness,
        })
    }

    /// The kind of ID that it is about.
    pub fn kind(&self) -> UserIdType {
        self.piece.kind
    }

    /// Whether it is past its TTL.
    #[inline]
    pub fn is_stale(&self) -> bool {
        matches!(self.freshness, Freshness::Stale { .. })
    }

    /// The ID, what is said of the account, and when the call left, counted from 1970; if somebody was
    /// found.
    #[inline]
    pub fn found(&self) -> Option<(&'a str, Option<PersonStatus>, Duration)> {
        let (id, status) = self.piece.found()?;
        Some((id, status, Duration::from_nanos(self.piece.times.asked_at)))
    }

    /// What it says.
    pub fn fact(&self) -> Option<Fact> {
        self.piece.fact()
    }

    /// When its call left, for measuring its age.
    #[inline]
    pub fn departed(&self) -> Instant {
        self.epoch.instant(self.piece.times.departed)
    }

    /// When its call left.
    pub fn asked(&self) -> Asked {
        Asked {
            departed: self.departed(),
            at: self.asked_at(),
        }
    }

    /// When its call left, for people.
    pub fn asked_at(&self) -> SystemTime {
        let since = Duration::from_nanos(self.piece.times.asked_at);
        SystemTime::UNIX_EPOCH
            .checked_add(since)
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

pub(super) fn since_1970(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

pub(super) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
