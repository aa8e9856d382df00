//! The handlers of requests. Most have their answer at hand, so each is first polled where its
//! request was read, by the task of its connection: no task is made for it, no other thread woken, and
//! the answers of everything read at once leave in one write. Whatever has to wait becomes a task of
//! its own. Called by `connection`.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use hyper::rt::Executor;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};
use tokio_util::task::TaskTracker;

use super::waiting::{self, Waiting};

/// How long a connection's task works on handlers at a time: what is left after that becomes tasks,
/// for other threads to take. A handler that asks the cache for one identifier takes some
/// microseconds.
const TURN: Duration = Duration::from_micros(200);

/// The handlers of a server, or of one connection of it. Knows when the last one is gone; a handler is
/// dropped soon after its connection.
#[derive(Clone)]
pub(super) struct Handlers {
    tasks: TaskTracker,
    /// How long one waits for a client that takes nothing.
    patience: Duration,
    mine: Arc<Mine>,
}

/// The handlers of one connection.
#[derive(Default)]
struct Mine {
    /// Those that have not been polled yet.
    begun: Mutex<Vec<Handler>>,
    open: Arc<Count>,
}

/// How many have become tasks and are not done.
#[derive(Debug, Default)]
struct Count {
    open: AtomicUsize,
    changed: Notify,
}

/// Counts until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Open(Arc<Count>);

/// How often a connection is polled before other tasks have their turn. Mostly it is twice: to read
/// requests, and to write their answers.
const ROUNDS: usize = 8;

pub(super) type Handler = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Handlers {
    /// Those of a server, who wait so long for a client that takes nothing.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            tasks: TaskTracker::new(),
            patience,
            mine: Arc::default(),
        }
    }

    /// Those of a further connection.
    pub(super) fn of_connection(&self) -> Self {
        Self {
            tasks: self.tasks.clone(),
            patience: self.patience,
            mine: Arc::default(),
        }
    }

    /// Completes when nothing of this connection has been worked on for so long.
    pub(super) async fn idle_for(&self, time: Duration) {
        let count = &self.mine.open;
        loop {
            let changed = count.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            if count.open.load(Ordering::SeqCst) > 0 {
                changed.await;
            } else if timeout(time, changed).await.is_err() {
                return;
            }
        }
    }

    /// Completes when no handler runs any more.
    pub(super) async fn gone(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Polls each of those that have begun; says whether there was any. `begun` is empty before and
    /// after: room that is used again.
    fn run(&self, begun: &mut Vec<Handler>) -> bool {
        std::mem::swap(&mut *self.lock(), begun);
        if begun.is_empty() {
            return false;
        }
        // Who must be woken is a task by then, which is polled at once.
        let mut cx = Context::from_waker(Waker::noop());
        let mut has_time = true;
        let end = (begun.len() > 1).then(|| Instant::now() + TURN);
        for mut handler in begun.drain(..) {
            let polled = AssertUnwindSafe(|| {
                if has_time {
                    waiting::poll(&mut handler, &mut cx)
                } else {
                    (Poll::Pending, None)
                }
            });
            match catch_unwind(polled) {
                Ok((Poll::Ready(()), _)) => {}
                Ok((Poll::Pending, said)) => {
                    let open = Open::new(&self.mine.open);
                    let waiting = Waiting::new(handler, said, self.patience, open);
                    drop(self.tasks.spawn(waiting));
                }
                // The panic hook has told the rest; the stream is reset.
                Err(_panic) => tracing::error!("a request's handler panicked"),
            }
            has_time = has_time && end.is_some_and(|end| Instant::now() < end);
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Handler>> {
        // Nothing that can panic happens under it.
        self.mine
            .begun
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn new(count: &Arc<Count>) -> Self {
        count.open.fetch_add(1, Ordering::SeqCst);
        count.changed.notify_waiters();
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Handlers {
    fn execute(&self, handler: F) {
        self.lock().push(Box::pin(handler));
    }
}

/// A connection with its handlers, polled by one task.
pub(super) struct Driven<C> {
    pub(super) connection: Pin<Box<C>>,
    handlers: Handlers,
    /// Room for those that have begun.
    begun: Vec<Handler>,
    bell: Arc<Bell>,
    waker: Waker,
}

impl<C> Driven<C> {
    /// The connection must have been given these handlers.
    pub(super) fn new(connection: C, handlers: Handlers) -> Self {
        let bell = Arc::new(Bell::default());
        Self {
            connection: Box::pin(connection),
            handlers,
            begun: Vec::new(),
            waker: Waker::from(Arc::clone(&bell)),
            bell,
        }
    }
}

impl<C: Future> Future for Driven<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let this = &mut *self;
        let mut inside = Context::from_waker(&this.waker);
        this.bell.task.register(cx.waker());
        for _ in 0..ROUNDS {
            this.bell.is_heard.store(true, Ordering::SeqCst);
            this.bell.has_rung.store(false, Ordering::SeqCst);
            if let Poll::Ready(ended) = this.connection.as_mut().poll(&mut inside) {
                return Poll::Ready(ended);
            }
            // Their answers are to be written.
            if this.handlers.run(&mut this.begun) {
                continue;
            }
            this.bell.is_heard.store(false, Ordering::SeqCst);
            if !this.bell.has_rung.load(Ordering::SeqCst) {
                return Poll::Pending;
            }
        }
        // Others have work, too.
        this.bell.is_heard.store(false, Ordering::SeqCst);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<C> Drop for Driven<C> {
    fn drop(&mut self) {
        // They hold their connection, which would never be dropped.
        self.handlers.lock().clear();
    }
}

/// Wakes a connection. Its own handlers do so all the time while it is polled; were its task woken
/// then, the runtime would queue it once more and wake another thread for it.
#[derive(Default)]
struct Bell {
    has_rung: AtomicBool,
    /// The connection is being polled, and will look.
    is_heard: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // In this order here, and in the other one there: one of the two sees the other.
        self.has_rung.store(true, Ordering::SeqCst);
        if !self.is_heard.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, reason = "tests")]

    use futures_util::{FutureExt as _, poll};
    use tokio::task::yield_now;

    use super::*;

    fn handlers() -> Handlers {
        Handlers::new(Duration::from_secs(100))
    }

    /// How often a handler has been polled, and what it waits for. The clock stands still, so that no
    /// turn ends.
    #[derive(Default)]
    struct Polls {
        all: AtomicUsize,
        noticed: Notify,
    }

    async fn pass_once(polls: Arc<Polls>) {
        polls.all.fetch_add(1, Ordering::Relaxed);
        polls.noticed.notified().await;
        polls.all.fetch_add(1, Ordering::Relaxed);
    }

    /// Begins these handlers when first polled, and never ends.
    fn connection(handlers: &Handlers, begin: Vec<Handler>) -> Driven<impl Future<Output = ()>> {
        let executor = handlers.clone();
        let connection = async move {
            for handler in begin {
                executor.execute(handler);
            }
            std::future::pending::<()>().await;
        };
        Driven::new(connection, handlers.clone())
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_its_answer_ends_in_place_and_what_waits_becomes_a_task() {
        let handlers = handlers();
        let polls = Arc::new(Polls::default());
        let begin = vec![async {}.boxed(), pass_once(polls.clone()).boxed()];
        let mut driven = connection(&handlers, begin);
        assert!(poll!(&mut driven).is_pending());
        assert_eq!(polls.all.load(Ordering::Relaxed), 1);
        assert_eq!(handlers.tasks.len(), 1);
        // It has been polled by nobody who is woken; the task polls it again.
        yield_now().await;
        polls.noticed.notify_one();
        handlers.gone().await;
        assert_eq!(polls.all.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_its_own_handlers_alone() {
        let handlers = handlers();
        let polls = Arc::new(Polls::default());
        let panics = async { panic!("told to") }.boxed();
        let begin = vec![panics, pass_once(polls.clone()).boxed()];
        let mut driven = connection(&handlers, begin);
        assert!(poll!(&mut driven).is_pending());
        assert_eq!(polls.all.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_connection_that_goes_takes_those_along_that_it_has_not_polled() {
        let handlers = handlers();
        let driven = connection(&handlers, Vec::new());
        let held = Arc::new(());
        let holds = held.clone();
        driven.handlers.execute(async move { drop(holds) });
        drop(driven);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_once_its_last_task_has_been_done_for_a_while() {
        let handlers = handlers();
        let start = Instant::now();
        let begin = vec![tokio::time::sleep(Duration::from_secs(5)).boxed()];
        let mut driven = connection(&handlers, begin);
        assert!(poll!(&mut driven).is_pending());
        handlers
            .of_connection()
            .idle_for(Duration::from_secs(2))
            .await;
        assert_eq!(start.elapsed().as_secs(), 2, "another connection");
        handlers.idle_for(Duration::from_secs(2)).await;
        assert_eq!(start.elapsed().as_secs(), 7);
    }

    #[tokio::test]
    async fn a_connection_that_always_wakes_itself_lets_others_run() {
        let restless = std::future::poll_fn(|cx: &mut Context<'_>| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        let mut driven = Driven::new(restless, handlers());
        assert!(poll!(&mut driven).is_pending());
    }

    #[tokio::test]
    async fn a_wake_from_elsewhere_reaches_the_task() {
        let elsewhere = Arc::new(Notify::new());
        let notified = elsewhere.clone();
        let connection = async move { notified.notified().await };
        let task = tokio::spawn(Driven::new(connection, handlers()));
        yield_now().await;
        elsewhere.notify_one();
        let woken = tokio::time::timeout(Duration::from_secs(10), task).await;
        assert!(woken.is_ok_and(|ended| ended.is_ok()));
    }
}
