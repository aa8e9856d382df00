//! One budget of bytes for what requests hold while they are worked on, over all connections. Knows
//! nobody: `server` charges what has arrived and what has not left, `grpc` what is being looked up.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The budget. Cloning gives another handle of the same one.
#[derive(Clone, Debug)]
pub struct Memory {
    /// A permit is a byte.
    free: Arc<Semaphore>,
    all: usize,
}

/// Bytes of the budget; free again when dropped.
#[derive(Debug)]
pub struct Held(OwnedSemaphorePermit);

impl Memory {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        let all = bytes.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(all)),
            all,
        }
    }

    /// So many bytes, if they are there.
    pub fn try_take(&self, bytes: usize) -> Option<Held> {
        let permit = Arc::clone(&self.free).try_acquire_many_owned(count(bytes));
        permit.ok().map(Held)
    }

    /// So many bytes, when they are there; all of them, for who asks for more than there are. Cancel-safe:
    /// whoever stops waiting loses their turn and nothing else.
    pub async fn take(&self, bytes: usize) -> Held {
        let permit = Arc::clone(&self.free).acquire_many_owned(count(bytes.min(self.all)));
        match permit.await {
            Ok(permit) => Held(permit),
            // Nobody closes it.
            Err(_closed) => std::future::pending().await,
        }
    }

    /// Whether more than a quarter is held: what can wait had better.
    pub fn is_scarce(&self) -> bool {
        self.held() > self.all / 4
    }

    /// Bytes that are held now.
    pub fn held(&self) -> usize {
        self.all.saturating_sub(self.free.available_permits())
    }
}

impl Held {
    /// Adds another piece of the same budget.
    pub fn add(&mut self, other: Self) {
        self.0.merge(other.0);
    }

    /// Gives back all but so many bytes.
    pub fn keep(&mut self, bytes: usize) {
        drop(self.0.split(self.bytes().saturating_sub(bytes)));
    }

    /// How many these are.
    pub fn bytes(&self) -> usize {
        self.0.num_permits()
    }
}

/// More than 4 GiB at once count as 4 GiB: no request is allowed a thousandth of that.
fn count(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use futures_util::poll;

    use super::*;

    #[test]
    fn what_is_over_is_refused_and_what_is_given_back_is_there_again() {
        let memory = Memory::new(100);
        let mut first = memory.try_take(60).unwrap();
        assert!(memory.try_take(41).is_none());
        first.add(memory.try_take(40).unwrap());
        assert_eq!((first.bytes(), memory.held()), (100, 100));
        assert!(memory.is_scarce());
        first.keep(30);
        assert_eq!((first.bytes(), memory.held()), (30, 30));
        first.keep(50);
        assert_eq!(first.bytes(), 30, "keeping is not taking");
        first.keep(25);
        assert!(!memory.is_scarce());
        drop(first);
        assert_eq!(memory.held(), 0);
    }

    #[tokio::test]
    async fn who_waits_gets_it_when_it_is_free_and_never_waits_for_more_than_there_is() {
        let memory = Memory::new(100);
        let first = memory.take(1000).await;
        assert_eq!(first.bytes(), 100);
        let mut second = Box::pin(memory.take(10));
        assert!(poll!(&mut second).is_pending());
        drop(first);
        assert_eq!(second.await.bytes(), 10);
    }
}
