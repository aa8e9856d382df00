//! Turns that connections take. A client that sends two hundred large batches at once makes as many tasks
//! ready to run, and whoever asks for one person would stand behind all of them, for the runtime runs tasks
//! in the order in which they became ready. So once the handlers of a connection have worked for a turn,
//! the others of that connection stand in a line of their own, and move on when everybody else who was
//! ready has run. Called by `waiting` before it polls a handler.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use tokio::{runtime::Handle, task::yield_now};
use tokio_util::task::TaskTracker;

/// How long a connection works on handlers at a time. A handler that asks the cache for one identifier
/// takes some microseconds, one that asks for a thousand some hundred.
pub(super) const TURN: Duration = Duration::from_micros(200);
const TURN_NANOS: u64 = 200_000;

/// So many handlers pass in a turn at most, however little those before them did.
const MOST_OF_A_TURN: u64 = 64;

/// The turns of one connection.
#[derive(Debug, Default)]
pub(super) struct Turns {
    tasks: TaskTracker,
    /// Nanoseconds of this turn, and of how many handlers.
    worked: AtomicU64,
    handlers: AtomicU64,
    /// Somebody stands in the line.
    is_moving: AtomicBool,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    standing: VecDeque<Waker>,
    /// So many have had their turn.
    passed: u64,
}

/// A handler's place in the line, if it stands in it.
#[derive(Debug, Default)]
pub(super) struct Place(Option<u64>);

impl Turns {
    /// Its line is moved on by one of these tasks.
    pub(super) fn new(tasks: &TaskTracker) -> Self {
        Self {
            tasks: tasks.clone(),
            ..Self::default()
        }
    }

    /// Whether the handler may work now; if not, it is woken when it may.
    pub(super) fn may_work(self: &Arc<Self>, place: &mut Place, waker: &Waker) -> bool {
        match place.0 {
            None if !self.has_line() => true,
            None => {
                let mut line = self.lock();
                place.0 = Some(line.end());
                line.standing.push_back(waker.clone());
                if !self.is_moving.swap(true, Ordering::Relaxed) {
                    drop(self.tasks.spawn(Self::move_on(Arc::clone(self))));
                }
                false
            }
            Some(number) => {
                let is_next = number < self.lock().passed;
                if is_next {
                    place.0 = None;
                }
                is_next
            }
        }
    }

    fn has_line(&self) -> bool {
        self.is_moving.load(Ordering::Relaxed) || self.worked.load(Ordering::Relaxed) >= TURN_NANOS
    }

    /// A handler has worked for so long.
    pub(super) fn worked(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.worked.fetch_add(nanos, Ordering::Relaxed);
        self.handlers.fetch_add(1, Ordering::Relaxed);
    }

    /// Until nobody stands there, lets as many pass at a time as make a turn for each thread. It ends by
    /// itself, for whoever stands in the line is polled or gone.
    async fn move_on(self: Arc<Self>) {
        let threads = u64::try_from(Handle::current().metrics().num_workers()).unwrap_or(1);
        loop {
            yield_now().await;
            let worked = self.worked.swap(0, Ordering::Relaxed).max(1);
            let handlers = self.handlers.swap(0, Ordering::Relaxed);
            // As long as those before them took.
            let of_a_turn = (handlers.saturating_mul(TURN_NANOS) / worked).clamp(1, MOST_OF_A_TURN);
            let next = self.pass(threads.saturating_mul(of_a_turn));
            if next.is_empty() {
                return;
            }
            next.into_iter().for_each(Waker::wake);
        }
    }

    fn pass(&self, most: u64) -> Vec<Waker> {
        let mut line = self.lock();
        let next = line.pass(most);
        // Under the lock, so that whoever comes after sees it.
        self.is_moving.store(!next.is_empty(), Ordering::Relaxed);
        next
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        // Nothing that can panic happens under it.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// The number of whoever comes next.
    fn end(&self) -> u64 {
        let standing = u64::try_from(self.standing.len()).unwrap_or(u64::MAX);
        self.passed.saturating_add(standing)
    }

    fn pass(&mut self, most: u64) -> Vec<Waker> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let count = most.min(self.standing.len());
        let next: Vec<_> = self.standing.drain(..count).collect();
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.passed = self.passed.saturating_add(count);
        next
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Works through that many turns, each longer than one.
    async fn work(turns: Arc<Turns>, times: usize, done: Arc<AtomicUsize>) {
        let mut place = Place::default();
        for _ in 0..times {
            std::future::poll_fn(|cx| {
                if turns.may_work(&mut place, cx.waker()) {
                    std::task::Poll::Ready(())
                } else {
                    std::task::Poll::Pending
                }
            })
            .await;
            turns.worked(TURN);
            done.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn who_has_had_a_turn_lets_others_pass_and_all_get_done() {
        let turns = Arc::new(Turns::new(&TaskTracker::new()));
        let done = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..100)
            .map(|_| tokio::spawn(work(turns.clone(), 3, done.clone())))
            .collect();
        let seen = done.clone();
        let other = tokio::spawn(async move { seen.load(Ordering::Relaxed) });
        assert!(other.await.is_ok_and(|before| before == 1));
        for task in tasks {
            assert!(task.await.is_ok());
        }
        assert_eq!(done.load(Ordering::Relaxed), 300);
        yield_now().await;
        assert!(turns.lock().standing.is_empty());
        assert!(!turns.is_moving.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn who_is_woken_by_something_else_keeps_his_place() {
        let turns = Arc::new(Turns::new(&TaskTracker::new()));
        turns.worked(TURN);
        let mut place = Place::default();
        for _ in 0..3 {
            assert!(!turns.may_work(&mut place, Waker::noop()));
        }
        assert_eq!(turns.lock().standing.len(), 1);
        yield_now().await;
        yield_now().await;
        assert!(turns.may_work(&mut place, Waker::noop()));
    }
}
