//! One load per key at a time, however many ask for it. Knows no domain: `feishu` uses it so that a
//! thousand first calls fetch one token.
//!
//! The load runs in a task of its own: a caller that leaves cancels nobody. A result, good or bad,
//! reaches everybody who waits for it once, and is then forgotten: this is not a cache.

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// The loads under way, by key.
pub struct Flights<K, V> {
    inner: Arc<Inner<K, V>>,
}

struct Inner<K, V> {
    // A std mutex: it is never held across an await.
    flights: Mutex<HashMap<K, Flight<V>>>,
}

struct Flight<V> {
    landed: watch::Receiver<Option<V>>,
    /// Owns the task: when the last [`Flights`] goes, so does the load.
    _task: AbortOnDropHandle<()>,
}

/// The load ended without a result: it panicked, or the program is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the load ended without a result")]
pub struct Crashed;

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// No loads.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                flights: Mutex::new(HashMap::new()),
            }),
        }
    }

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
        let mut landed = {
            let mut flights = self.inner.lock();
            if let Some(flight) = flights.get(&key) {
                flight.landed.clone()
            } else {
                let (tx, rx) = watch::channel(None);
                let task = tokio::spawn(fly(Arc::downgrade(&self.inner), key.clone(), load(), tx));
                // The task cannot forget the flight before it is known: it needs this lock.
                flights.insert(
                    key,
                    Flight {
                        landed: rx.clone(),
                        _task: AbortOnDropHandle::new(task),
                    },
                );
                rx
            }
        };
        async move {
            let result = landed
                .wait_for(Option::is_some)
                .await
                .map_err(|_| Crashed)?;
            result.clone().ok_or(Crashed)
        }
    }
}

impl<K, V> Default for Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Eq + Hash, V> Inner<K, V> {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, Flight<V>>> {
        // A panic under this lock cannot leave the map half-changed.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn fly<K: Eq + Hash, V>(
    inner: std::sync::Weak<Inner<K, V>>,
    key: K,
    load: impl Future<Output = V>,
    landed: watch::Sender<Option<V>>,
) {
    let result = AssertUnwindSafe(load).catch_unwind().await;
    // Forgotten before it is told, so that whoever asks after hearing the result starts a new load.
    // The handle is dropped here, which aborts this very task; no await follows, so it still ends.
    let flight = inner.upgrade().and_then(|inner| inner.lock().remove(&key));
    if let Ok(value) = result {
        landed.send_replace(Some(value));
    }
    drop(flight);
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
}
