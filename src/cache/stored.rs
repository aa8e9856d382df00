//! Entries as a store keeps them, for another run of the program.

use std::{
    sync::{MutexGuard, atomic::Ordering},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    CLOCK_SKEW, Cache, CacheKey, LONGEST_NEGATIVE, answer,
    packed::{self, Packer, Piece, Pieces},
};

/// An entry as a store keeps it.
pub struct Snapshot {
    /// For [`Cache::restore`], of this version or a later one: personal data.
    pub bytes: Vec<u8>,
    /// When nothing in it may be given any more.
    pub useless_at: SystemTime,
    /// Whether somebody was found.
    pub has_found: bool,
    /// Whether somebody was not.
    pub has_negative: bool,
}

impl Cache {
    /// What is known under this key, to be kept for another run of the program.
    pub fn snapshot(&self, key: CacheKey<'_>) -> Option<Snapshot> {
        let entry = self.entries.peek(&key)?;
        let answers = entry.answers();
        let mut bytes = vec![packed::VERSION];
        answers.write(&mut bytes);
        let useless_at = answers.iter().map(|piece| {
            let stale = if piece.is_found() {
                self.ttls.serve_stale()
            } else {
                Duration::ZERO
            };
            let asked_at = Duration::from_nanos(piece.times.asked_at);
            asked_at + piece.times.ttl() + stale
        });
        Some(Snapshot {
            useless_at: SystemTime::UNIX_EPOCH + useless_at.max()?,
            has_found: answers.iter().any(Piece::is_found),
            has_negative: answers.iter().any(|piece| !piece.is_found()),
            bytes,
        })
    }

    /// Takes over what an earlier run of the program knew, as far as nothing newer is known here. Its
    /// age counts by the wall clock, the only one that the two have in common. `read_at` is when it
    /// began to be read: if there has been a flush since, it may be of what was flushed.
    pub fn restore(&self, key: CacheKey<'_>, bytes: &[u8], read_at: Instant, wall: SystemTime) {
        self.restore_locked(&self.lock(), key, bytes, read_at, wall);
    }

    /// The same, of what there is; then `keep` is told what is known now, as by [`Cache::insert_and`].
    pub fn restore_and(
        &self,
        key: CacheKey<'_>,
        bytes: Option<&[u8]>,
        read_at: Instant,
        wall: SystemTime,
        keep: &dyn Fn(&Snapshot),
    ) {
        let lock = self.lock();
        if let Some(bytes) = bytes {
            self.restore_locked(&lock, key, bytes, read_at, wall);
        }
        if let Some(snapshot) = self.snapshot(key) {
            keep(&snapshot);
        }
    }

    fn restore_locked(
        &self,
        lock: &MutexGuard<'_, ()>,
        key: CacheKey<'_>,
        bytes: &[u8],
        read_at: Instant,
        wall: SystemTime,
    ) {
        let Some((&packed::VERSION, bytes)) = bytes.split_first() else {
            return;
        };
        let stored = Pieces::Many(bytes);
        let latest = answer::since_1970(wall + CLOCK_SKEW);
        let now = self.epoch.nanos(read_at);
        let wall = answer::since_1970(wall);
        self.change_locked(lock, key, |answers| {
            let is_flushing = self.flushing.load(Ordering::SeqCst) > 0;
            if is_flushing || now <= self.flushed_at.load(Ordering::Relaxed) {
                return None;
            }
            let mut packer = Packer::default();
            answers.iter().for_each(|piece| packer.piece(piece));
            let mut has_new = false;
            let new = stored.iter().filter(|piece| {
                // A clock that was that wrong says nothing about ages.
                piece.times.asked_at <= latest && answers.of(piece.kind).is_none()
            });
            for mut piece in new {
                let age = match wall.checked_sub(piece.times.asked_at) {
                    Some(age) => i64::try_from(age),
                    // By a clock that was put back a little: older than it seems.
                    None => Ok(answer::nanos(CLOCK_SKEW)),
                };
                piece.times.departed = now.saturating_sub(age.unwrap_or(i64::MAX));
                self.bind(&mut piece);
                if !piece.is_found() {
                    let longest = LONGEST_NEGATIVE.max(self.ttls.get().negative);
                    piece.times.shorten(answer::millis(longest));
                }
                packer.piece(piece);
                has_new = true;
            }
            has_new.then(|| packer.finish())
        });
    }
}
