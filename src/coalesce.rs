//! One load per key at a time, however many ask for it. Knows no domain: `feishu` uses it so that a
//! thousand first calls fetch one token, `resolver` so that a thousand callers who ask for the same
//! person make one call.
//!
//! The load runs in a task of its own: a caller that leaves cancels nobody. A result, good or bad,
//! reaches everybody who waits for it once, and is then forgotten: this is not a cache.
//!
//! Who asks may find the load under way not good enough (too old, or given up); then a new one takes
//! its place for all who come later, and the old one still lands for those who wait for it.

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{FutureExt as _, future::Shared};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

/// The loads under way, by key. `M` is what is known of a load while it is under way.
pub struct Flights<K, V, M = ()> {
    inner: Arc<Inner<K, V, M>>,
}

struct Inner<K, V, M> {
    // A std mutex: it is never held across an await.
    board: Mutex<Board<K, V, M>>,
}

struct Board<K, V, M> {
    /// The newest load of each key: the one to join.
    newest: HashMap<K, Flight<V, M>>,
    /// Owns the tasks, also of loads that have been replaced: when the last [`Flights`] goes, so do
    /// they.
    tasks: HashMap<u64, AbortOnDropHandle<()>>,
    next: u64,
}

struct Flight<V, M> {
    number: u64,
    about: M,
    landed: Landed<V>,
}

/// Unlike a watch channel it wakes those who wait in the same order each time, so that a run can be
/// replayed.
type Landed<V> = Shared<oneshot::Receiver<V>>;

/// A load that was joined; it goes on without those who drop this.
pub struct Landing<V>(Landed<V>);

/// The load ended without a result: it panicked, or the program is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the load ended without a result")]
pub struct Crashed;

impl<V: Clone> Landing<V> {
    /// Waits for the result. Cancel-safe.
    ///
    /// # Errors
    /// [`Crashed`], to everybody who waits; the next to ask starts afresh.
    pub async fn wait(&mut self) -> Result<V, Crashed> {
        let landed = self.0.clone().await;
        landed.map_err(|_| Crashed)
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Joins the load of this key, starting it if none is under way. The load starts now; the
    /// future given back only waits for it and may be dropped at any time.
    ///
    /// # Errors
    /// [`Crashed`], to everybody who waits; the next to ask starts afresh.
    pub fn join<F, L>(
        &self,
        key: K,
        load: L,
    ) -> impl Future<Output = Result<V, Crashed>> + Send + use<K, V, F, L>
    where
        L: FnOnce() -> F,
        F: Future<Output = V> + Send + 'static,
    {
        let ((), mut landing) = self.join_or_replace(key, |()| Some(()), || ((), (), load()));
        async move { landing.wait().await }
    }
}

impl<K, V, M> Flights<K, V, M>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
    M: Send + 'static,
{
    /// No loads.
    pub fn new() -> Self {
        let board = Board {
            newest: HashMap::new(),
            tasks: HashMap::new(),
            next: 0,
        };
        Self {
            inner: Arc::new(Inner {
                board: Mutex::new(board),
            }),
        }
    }

    /// Joins the load of this key if there is one and `enter` accepts what is known about it, which it
    /// is asked under a lock: it must be short.
    pub fn join_if<T>(
        &self,
        key: &K,
        enter: impl FnOnce(&M) -> Option<T>,
    ) -> Option<(T, Landing<V>)> {
        self.inner.lock().enter(key, enter)
    }

    /// Joins the load of this key if there is one and `enter` accepts what is known about it; else
    /// starts the one that `start` makes. Both run under a lock: they must be short.
    pub fn join_or_replace<T, F>(
        &self,
        key: K,
        enter: impl FnOnce(&M) -> Option<T>,
        start: impl FnOnce() -> (M, T, F),
    ) -> (T, Landing<V>)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut board = self.inner.lock();
        if let Some(joined) = board.enter(&key, enter) {
            return joined;
        }
        let (about, entered, load) = start();
        let number = board.next;
        board.next += 1;
        let (tx, landed) = oneshot::channel();
        let landed = landed.shared();
        let fly = fly(Arc::downgrade(&self.inner), key.clone(), number, load, tx);
        // The task cannot forget the flight before it is known: it needs this lock.
        let task = AbortOnDropHandle::new(tokio::spawn(fly));
        board.tasks.insert(number, task);
        let flight = Flight {
            number,
            about,
            landed: landed.clone(),
        };
        // Whoever waits for the one that is replaced has a receiver of its own.
        board.newest.insert(key, flight);
        (entered, Landing(landed))
    }

    /// How many loads are under way.
    pub fn len(&self) -> usize {
        self.inner.lock().tasks.len()
    }

    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K, V, M> Default for Flights<K, V, M>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
    M: Send + 'static,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V, M> Inner<K, V, M> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Board<K, V, M>> {
        // A panic under this lock cannot leave the maps half-changed.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V: Clone, M> Board<K, V, M> {
    fn enter<T>(&self, key: &K, enter: impl FnOnce(&M) -> Option<T>) -> Option<(T, Landing<V>)> {
        let flight = self.newest.get(key)?;
        Some((enter(&flight.about)?, Landing(flight.landed.clone())))
    }

    /// Takes the flight off the board, with the task that owns it.
    fn forget(&mut self, key: &K, number: u64) -> Option<AbortOnDropHandle<()>> {
        if self.newest.get(key).is_some_and(|f| f.number == number) {
            self.newest.remove(key);
        }
        self.tasks.remove(&number)
    }
}

/// A block and not an `async fn`, which would keep room for its arguments twice.
fn fly<K: Eq + Hash, V: Clone, M>(
    inner: std::sync::Weak<Inner<K, V, M>>,
    key: K,
    number: u64,
    load: impl Future<Output = V>,
    landed: oneshot::Sender<V>,
) -> impl Future<Output = ()> {
    let load = AssertUnwindSafe(load).catch_unwind();
    async move {
        let result = load.await;
        // Forgotten before it is told, so that whoever asks after hearing the result starts a new load.
        // The handle is dropped here, which aborts this very task; no await follows, so it still ends.
        let task = inner.upgrade().and_then(|inner| {
            let mut board = inner.lock();
            board.forget(&key, number)
        });
        if let Ok(value) = result {
            let _nobody_waits = landed.send(value);
        }
        drop(task);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn many_askers_share_one_load() {
        let flights = Flights::<&str, usize>::new();
        let loads = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Notify::new());
        let waits: Vec<_> = (0..100)
            .map(|_| {
                let (loads, gate) = (loads.clone(), gate.clone());
                flights.join("k", || async move {
                    gate.notified().await;
                    loads.fetch_add(1, Ordering::SeqCst)
                })
            })
            .collect();
        gate.notify_one();
        for wait in waits {
            assert_eq!(wait.await, Ok(0));
        }
        assert_eq!(loads.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn followers_survive_a_leader_that_hangs_up() {
        let flights = Flights::<&str, u8>::new();
        let gate = Arc::new(Notify::new());
        let opened = gate.clone();
        let leader = flights.join("k", || async move {
            opened.notified().await;
            7
        });
        let follower = flights.join("k", || async { unreachable!("a load is under way") });
        drop(leader);
        gate.notify_one();
        assert_eq!(follower.await, Ok(7));
    }

    #[tokio::test]
    async fn a_panic_reaches_every_waiter_and_does_not_poison_the_key() {
        let flights = Flights::<&str, u8>::new();
        #[expect(clippy::panic, reason = "the test's subject")]
        let first = flights.join("k", || async { panic!("on purpose") });
        let second = flights.join("k", || async { 1 });
        assert_eq!(first.await, Err(Crashed));
        assert_eq!(second.await, Err(Crashed));
        assert_eq!(flights.join("k", || async { 2 }).await, Ok(2));
    }

    #[tokio::test]
    async fn a_result_is_forgotten_once_told() {
        let flights = Flights::<&str, u8>::new();
        assert_eq!(flights.join("k", || async { 1 }).await, Ok(1));
        assert_eq!(flights.join("k", || async { 2 }).await, Ok(2));
    }

    #[tokio::test]
    async fn a_load_ends_with_its_owner() {
        let flights = Flights::<&str, u8>::new();
        let (alive, mut gone) = tokio::sync::mpsc::channel::<()>(1);
        let wait = flights.join("k", || async move {
            let _alive = alive;
            std::future::pending().await
        });
        drop(flights);
        assert!(gone.recv().await.is_none());
        assert_eq!(wait.await.unwrap_err(), Crashed);
    }

    #[tokio::test]
    async fn a_load_that_is_not_good_enough_is_replaced_and_still_lands() {
        let flights = Flights::<&str, u8, u8>::new();
        let gates = [Arc::new(Notify::new()), Arc::new(Notify::new())];
        let start = |number: u8, gate: &Arc<Notify>| {
            let gate = gate.clone();
            let load = async move {
                gate.notified().await;
                number
            };
            (number, number, load)
        };
        let (_, mut old) = flights.join_or_replace("k", |_| None, || start(1, &gates[0]));
        let (joined, mut new) = flights.join_or_replace(
            "k",
            |about| (*about > 1).then_some(0),
            || start(2, &gates[1]),
        );
        assert_eq!(joined, 2, "the first was not good enough");
        let (joined, mut newer) = flights.join_or_replace("k", |_| Some(9), || start(3, &gates[1]));
        assert_eq!(joined, 9, "the second was");
        assert_eq!(flights.len(), 2);
        gates[0].notify_one();
        assert_eq!(old.wait().await, Ok(1));
        // The end of the old one does not take the new one off the board.
        let (joined, _) = flights.join_or_replace("k", |_| Some(9), || start(3, &gates[1]));
        assert_eq!(joined, 9);
        gates[1].notify_one();
        assert_eq!(new.wait().await, Ok(2));
        assert_eq!(newer.wait().await, Ok(2));
        assert!(flights.is_empty());
    }
}
