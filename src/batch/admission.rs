//! Who may come to wait: a queue that is full, or that cannot be served in time, says so at once
//! rather than after the caller's deadline.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{Batcher, Class, LookupError, Wish};

/// Of the queue's places, how many interactive keys have for themselves: one in four. Bulk can fill
/// the rest without shutting them out.
const INTERACTIVE_SHARE: usize = 4;

/// What to do when too many keys wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Refuse at once.
    Shed,
    /// Wait until there is room: the caller is slowed down.
    Wait,
}

/// The queue's places.
pub(super) struct Rooms {
    interactive: Room,
    bulk: Room,
    /// Beside the others and as large as the first: a refresh may wait for an hour, and must not shut
    /// out who needs the whole of a room.
    refreshes: Room,
}

struct Room {
    places: Arc<Semaphore>,
    size: usize,
}

/// Places in the queue for keys to come. They are free again when dropped.
#[derive(Debug)]
pub struct Places(OwnedSemaphorePermit);

impl Places {
    /// A place for one key; none is left if there were too many keys to have one each.
    pub fn split(&mut self) -> Option<Self> {
        self.0.split(1).map(Self)
    }
}

impl Rooms {
    pub(super) fn new(max_queue: usize) -> Self {
        let size = max_queue.clamp(INTERACTIVE_SHARE, Semaphore::MAX_PERMITS);
        let interactive = size / INTERACTIVE_SHARE;
        Self {
            interactive: Room::new(interactive),
            bulk: Room::new(size - interactive),
            refreshes: Room::new(interactive),
        }
    }

    fn of(&self, class: Class) -> &Room {
        match class {
            Class::Interactive => &self.interactive,
            Class::Bulk => &self.bulk,
            Class::Refresh { .. } => &self.refreshes,
        }
    }
}

impl Room {
    fn new(size: usize) -> Self {
        let places = Arc::new(Semaphore::new(size));
        Self { places, size }
    }
}

impl Batcher {
    /// Places for so many keys, by the deadline.
    ///
    /// Cancel-safe: whoever leaves takes no place.
    ///
    /// # Errors
    /// If there is no room, or if the quota will not serve even the first of them in time.
    pub async fn admit(
        &self,
        keys: usize,
        wish: Wish,
        when_full: WhenFull,
    ) -> Result<Places, LookupError> {
        let room = self.rooms.of(wish.class);
        // More than fits at all takes all the room there is.
        let wanted = u32::try_from(keys.min(room.size)).unwrap_or(u32::MAX);
        let places = room.places.clone();
        match when_full {
            WhenFull::Shed => {
                self.can_serve(wish)?;
                places
                    .try_acquire_many_owned(wanted)
                    .map_err(|_| LookupError::Overloaded)
            }
            WhenFull::Wait => timeout_at(wish.deadline, places.acquire_many_owned(wanted))
                .await
                .map_err(|_| LookupError::DeadlineExceeded)?
                .map_err(|_closed| LookupError::Overloaded),
        }
        .map(Places)
    }

    /// A place for a refresh, if one is free.
    pub fn admit_refresh(&self) -> Option<Places> {
        let places = self.rooms.refreshes.places.clone();
        places.try_acquire_owned().ok().map(Places)
    }

    fn can_serve(&self, wish: Wish) -> Result<(), LookupError> {
        /// So that not everybody who was refused comes back at the same moment.
        const LEAST: Duration = Duration::from_millis(100);
        let ahead = self.shared.lock().calls_ahead(wish.class);
        let wait = self.shared.permits.outlook(ahead + 1);
        let left = wish.deadline.saturating_duration_since(Instant::now());
        match wait.checked_sub(left) {
            Some(too_much) if !too_much.is_zero() => {
                let jitter = 1.0 + (self.shared.random)() / 5.0;
                let retry_after = too_much.max(LEAST).mul_f64(jitter);
                Err(LookupError::QuotaExhausted { retry_after })
            }
            _ => Ok(()),
        }
    }
}
