//! The handlers of requests. Most have their answer at hand, so each is first polled where its
//! request was read, by the task of its connection: no task is made for it, no other thread woken, and
//! the answers of everything read at once leave in one write. Whatever has to wait becomes a task of
//! its own. Called by `connection`.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use hyper::rt::Executor;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// How long a connection's task works on handlers at a time: what is left after that becomes tasks,
/// for other threads to take. A handler that asks the cache for one identifier takes some
/// microseconds.
const TURN: Duration = Duration::from_micros(200);

/// The handlers of a server, or of one connection of it. Knows when the last one is gone; a handler is
/// dropped soon after its connection.
#[derive(Clone, Default)]
pub(super) struct Handlers {
    tasks: TaskTracker,
    /// Those of this connection that have not been polled yet.
    begun: Arc<Mutex<Vec<Handler>>>,
}

type Handler = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Handlers {
    /// Those of a further connection.
    pub(super) fn of_connection(&self) -> Self {
        Self {
            tasks: self.tasks.clone(),
            begun: Arc::default(),
        }
    }

    /// Completes when no handler runs any more.
    pub(super) async fn gone(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Polls the connection, and the handlers that it begins.
    pub(super) fn poll<C: Future>(
        &self,
        mut connection: Pin<&mut C>,
        cx: &mut Context<'_>,
    ) -> Poll<C::Output> {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                // They hold their connection, which would never be dropped.
                self.take();
                return Poll::Ready(ended);
            }
            let begun = self.take();
            if begun.is_empty() {
                return Poll::Pending;
            }
            self.run(begun);
            // Their answers are to be written.
        }
    }

    fn run(&self, begun: Vec<Handler>) {
        // Who must be woken is a task by then, which is polled at once.
        let mut cx = Context::from_waker(Waker::noop());
        let end = Instant::now() + TURN;
        let mut has_time = true;
        for mut handler in begun {
            let polled = AssertUnwindSafe(|| has_time && handler.as_mut().poll(&mut cx).is_ready());
            match catch_unwind(polled) {
                Ok(true) => {}
                Ok(false) => drop(self.tasks.spawn(handler)),
                // The panic hook has told the rest; the stream is reset.
                Err(_panic) => tracing::error!("a request's handler panicked"),
            }
            has_time = has_time && Instant::now() < end;
        }
    }

    fn take(&self) -> Vec<Handler> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *begun)
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Handlers {
    fn execute(&self, handler: F) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.push(Box::pin(handler));
    }
}

/// A connection with its handlers, to be polled by one task.
pub(super) struct Driven<C> {
    pub(super) connection: Pin<Box<C>>,
    pub(super) handlers: Handlers,
}

impl<C: Future> Future for Driven<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let Self {
            connection,
            handlers,
        } = &mut *self;
        Poll::Ready(ready!(handlers.poll(connection.as_mut(), cx)))
    }
}

impl<C> Drop for Driven<C> {
    fn drop(&mut self) {
        // They hold their connection, which would never be dropped.
        self.handlers.take();
    }
}
