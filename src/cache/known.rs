//! What is known under one key: the way of almost every answer.

use std::time::Duration;

use tokio::time::Instant;

use crate::identity::{PersonStatus, UserIdType};

use super::{
    answer::{Answer, Epoch},
    packed::Packed,
};

/// What is known under one key, at one moment.
pub struct Known {
    pub(super) entry: Packed,
    pub(super) epoch: Epoch,
    pub(super) now: i64,
    /// The longest that somebody who was found lives, in milliseconds.
    pub(super) found_ms: u32,
    pub(super) serve_stale: Duration,
}

impl Known {
    /// Somebody who was found by this kind of ID, if the answer is fresh and its call left since then:
    /// the usual case by itself, since it is almost all that a busy service does. As
    /// [`Answer::found`] has it.
    #[inline]
    pub fn fresh(
        &self,
        kind: UserIdType,
        not_before: Option<Instant>,
    ) -> Option<(&str, Option<PersonStatus>, Duration)> {
        let piece = self.entry.answers().of(kind)?;
        let mut times = piece.times;
        times.shorten(self.found_ms);
        let is_fresh = !times.is_due(self.now) && self.now < times.expires_at();
        let is_new = not_before.is_none_or(|oldest| self.epoch.nanos(oldest) <= times.departed);
        let (id, status) = piece.found().filter(|_| is_fresh && is_new)?;
        Some((id, status, Duration::from_nanos(times.asked_at)))
    }

    /// The answer of this kind, if there is one that may be given.
    #[inline]
    pub fn answer(&self, kind: UserIdType) -> Option<Answer<'_>> {
        let mut piece = self.entry.answers().of(kind)?;
        if piece.is_found() {
            piece.times.shorten(self.found_ms);
        }
        Answer::of(piece, self.epoch, self.now, self.serve_stale)
    }
}
