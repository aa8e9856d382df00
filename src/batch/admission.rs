//! Who may come to wait: a queue that is full, or that cannot be served in time, says so at once
//! rather than after the caller's deadline.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{Batcher, Class, LookupError, Wish};

/// What to do when too many keys wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Refuse at once.
    Shed,
    /// Wait until there is room: the caller is slowed down.
    Wait,
}

/// The queue's places, by class. Who waits for a place takes each one that gets free, so those who do
/// not wait have some that nobody else can take.
pub(super) struct Rooms {
    interactive: Room,
    bulk: Room,
    interactive_streams: Room,
    bulk_streams: Room,
    /// Beside the others: a refresh may wait for an hour, and must not shut out who needs the whole of
    /// a room.
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
        let part = |eighths: usize| Room::new((max_queue.saturating_mul(eighths) / 8).max(1));
        Self {
            interactive: part(2),
            bulk: part(1),
            interactive_streams: part(1),
            bulk_streams: part(4),
            refreshes: part(2),
        }
    }

    /// Where so many keys may have places, the first choice first; what fits nowhere goes where there is
    /// most room.
    fn of(&self, class: Class, when_full: WhenFull, keys: usize) -> Vec<&Room> {
        let mut rooms = match (class, when_full) {
            (Class::Interactive, WhenFull::Shed) => {
                vec![&self.interactive, &self.interactive_streams]
            }
            (Class::Interactive, WhenFull::Wait) => vec![&self.interactive_streams],
            (Class::Bulk, WhenFull::Shed) => vec![&self.bulk, &self.bulk_streams],
            (Class::Bulk, WhenFull::Wait) => vec![&self.bulk_streams],
            (Class::Refresh { .. }, _) => vec![&self.refreshes],
        };
        let largest = rooms.iter().map(|room| room.size).max().unwrap_or_default();
        rooms.retain(|room| room.size >= keys.min(largest));
        rooms
    }
}

impl Room {
    fn new(size: usize) -> Self {
        let size = size.min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(size));
        Self { places, size }
    }

    /// More than fits at all takes all the room there is.
    fn wanted(&self, keys: usize) -> u32 {
        u32::try_from(keys.min(self.size)).unwrap_or(u32::MAX)
    }

    fn try_take(&self, keys: usize) -> Option<OwnedSemaphorePermit> {
        let places = self.places.clone();
        places.try_acquire_many_owned(self.wanted(keys)).ok()
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
        let mut rooms = self.rooms.of(wish.class, when_full, keys).into_iter();
        if when_full == WhenFull::Shed {
            self.can_serve(wish)?;
            let places = rooms.find_map(|room| room.try_take(keys));
            return places.map(Places).ok_or(LookupError::Overloaded);
        }
        let room = rooms.next().ok_or(LookupError::Overloaded)?;
        let places = room.places.clone().acquire_many_owned(room.wanted(keys));
        timeout_at(wish.deadline, places)
            .await
            .map_err(|_| LookupError::DeadlineExceeded)?
            .map_err(|_closed| LookupError::Overloaded)
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
        let ahead = self.shared.lock().calls_ahead(wish.class, wish.caller);
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
