//! Who may come to wait: a queue that is full, or that cannot be served in time, says so at once
//! rather than after the caller's deadline.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{Batcher, Class, LookupError, Wish};
use crate::caller::CallerId;

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
    /// Half of the room for each configured caller, so that none fills it. Connections have none: there
    /// are too many, and who makes one makes two.
    shares: Mutex<HashMap<CallerId, Arc<Semaphore>>>,
}

/// Places in the queue for keys to come. They are free again when dropped.
#[derive(Debug)]
pub struct Places {
    room: OwnedSemaphorePermit,
    /// The same places in the caller's share.
    share: Option<OwnedSemaphorePermit>,
}

impl Places {
    /// A place for one key; none is left if there were too many keys to have one each.
    pub fn split(&mut self) -> Option<Self> {
        let share = match &mut self.share {
            Some(share) => Some(share.split(1)?),
            None => None,
        };
        let room = self.room.split(1)?;
        Some(Self { room, share })
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
        Self {
            places,
            size,
            shares: Mutex::default(),
        }
    }

    fn share_size(&self) -> usize {
        self.size.div_ceil(2)
    }

    /// What this caller may have of the room, if that is not all of it.
    fn share(&self, caller: CallerId) -> Option<Arc<Semaphore>> {
        if !caller.is_configured() {
            return None;
        }
        // Nothing that can panic happens under it. As many as there are callers.
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let share = shares
            .entry(caller)
            .or_insert_with(|| Arc::new(Semaphore::new(self.share_size())));
        Some(share.clone())
    }

    /// More than fits at all takes all the room there is for this caller.
    fn wanted(&self, keys: usize, share: Option<&Arc<Semaphore>>) -> u32 {
        let most = share.map_or(self.size, |_| self.share_size());
        u32::try_from(keys.min(most)).unwrap_or(u32::MAX)
    }

    fn try_take(&self, caller: CallerId, keys: usize) -> Option<Places> {
        let share = self.share(caller);
        let wanted = self.wanted(keys, share.as_ref());
        let share = match share {
            Some(share) => Some(share.try_acquire_many_owned(wanted).ok()?),
            None => None,
        };
        let places = self.places.clone();
        let room = places.try_acquire_many_owned(wanted).ok()?;
        Some(Places { room, share })
    }

    /// Waits in the caller's own share first: those who wait for the room wait for each other.
    async fn take(&self, caller: CallerId, keys: usize) -> Result<Places, AcquireError> {
        let share = self.share(caller);
        let wanted = self.wanted(keys, share.as_ref());
        let share = match share {
            Some(share) => Some(share.acquire_many_owned(wanted).await?),
            None => None,
        };
        let room = self.places.clone().acquire_many_owned(wanted).await?;
        Ok(Places { room, share })
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
            let places = rooms.find_map(|room| room.try_take(wish.caller, keys));
            return places.ok_or(LookupError::Overloaded);
        }
        let room = rooms.next().ok_or(LookupError::Overloaded)?;
        timeout_at(wish.deadline, room.take(wish.caller, keys))
            .await
            .map_err(|_| LookupError::DeadlineExceeded)?
            .map_err(|_closed| LookupError::Overloaded)
    }

    /// A place for a refresh, if one is free.
    pub fn admit_refresh(&self) -> Option<Places> {
        let places = self.rooms.refreshes.places.clone();
        let room = places.try_acquire_owned().ok()?;
        Some(Places { room, share: None })
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use futures_util::FutureExt as _;

    use super::*;

    fn greedy() -> CallerId {
        CallerId::configured(1)
    }

    fn modest() -> CallerId {
        CallerId::configured(2)
    }

    #[test]
    fn a_caller_has_at_most_half_of_a_room_and_another_the_rest() {
        let room = Room::new(100);
        let held: Vec<_> = (0..100).map_while(|_| room.try_take(greedy(), 1)).collect();
        assert_eq!(held.len(), 50);
        let other = room.try_take(modest(), 50).unwrap();
        assert!(room.try_take(CallerId(7), 1).is_none(), "it is full");
        drop((held, other));
        // A connection has all of it, as long as nobody is configured.
        assert!(room.try_take(CallerId(7), 100).is_some());
    }

    #[test]
    fn more_than_a_share_takes_all_of_it_and_is_free_again() {
        let room = Room::new(100);
        let mut places = room.try_take(greedy(), 1000).unwrap();
        assert!(room.try_take(greedy(), 1).is_none());
        let single: Vec<_> = std::iter::from_fn(|| places.split()).collect();
        assert_eq!(single.len(), 50);
        drop((places, single));
        assert!(room.try_take(greedy(), 50).is_some());
    }

    #[tokio::test]
    async fn who_waits_for_their_share_is_in_nobodys_way() {
        let room = Room::new(10);
        let held = room.take(greedy(), 5).await.unwrap();
        let waits: Vec<_> = (0..100).map(|_| room.take(greedy(), 5)).collect();
        let mut waits: Vec<_> = waits.into_iter().map(Box::pin).collect();
        for wait in &mut waits {
            assert!(wait.now_or_never().is_none());
        }
        assert!(room.take(modest(), 5).now_or_never().is_some());
        drop(held);
        assert!(waits.swap_remove(0).now_or_never().is_some());
    }
}
