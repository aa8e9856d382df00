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

use super::{
    turns::{TURN, Turns},
    waiting::{self, Waiting},
};

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
struct Mine {
    /// Those that have not been polled yet.
    begun: Mutex<Vec<Handler>>,
    open: Arc<Count>,
    turns: Arc<Turns>,
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
        Self::of(TaskTracker::new(), patience)
    }

    /// Those of a further connection.
    pub(super) fn of_connection(&self) -> Self {
        Self::of(self.tasks.clone(), self.patience)
    }

    fn of(tasks: TaskTracker, patience: Duration) -> Self {
        let mine = Arc::new(Mine {
            begun: Mutex::default(),
            open: Arc::default(),
            turns: Arc::new(Turns::new(&tasks)),
        });
        Self {
            tasks,
            patience,
            mine,
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
                    let turns = Arc::clone(&self.mine.turns);
                    let waiting = Waiting::new(handler, said, self.patience, open, turns);
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
mod tests;
