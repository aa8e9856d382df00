//! A handler that has to wait, as a task of its own. hyper asks an answer's body for more only while the
//! client takes data, so a body cannot end by itself what a client does not take: this does, at the
//! deadline or when patience ends, by dropping the handler, which resets the stream. Called by
//! `handlers`.

use std::{
    cell::Cell,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    handlers::{Handler, Open},
    turns::{Place, Turns},
};

/// How long after its deadline a stream may still take its trailers: whoever takes anything has them in a
/// round trip.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What a handler waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum WaitsFor {
    /// Its service, which looks after the deadline itself.
    Service,
    /// Its client, who has to take what is there; until the deadline, if there is one.
    Client { deadline: Option<Instant> },
}

thread_local! {
    /// What the handler that is being polled on this thread has said: hyper's stream is between it and
    /// the body inside.
    static SAID: Cell<Option<WaitsFor>> = const { Cell::new(None) };
}

/// Said by the body of an answer whenever it hands over something, or has nothing.
pub(super) fn say(waits_for: WaitsFor) {
    SAID.set(Some(waits_for));
}

/// Polls the handler, and tells what it has said.
pub(super) fn poll(handler: &mut Handler, cx: &mut Context<'_>) -> (Poll<()>, Option<WaitsFor>) {
    SAID.set(None);
    let polled = handler.as_mut().poll(cx);
    (polled, SAID.take())
}

/// A handler at work, with an end to its wait for the client.
pub(super) struct Waiting {
    handler: Handler,
    /// How long it waits for a client that takes nothing.
    patience: Duration,
    /// When the wait for the client ends, if that is what it waits for.
    until: Option<Instant>,
    /// Made for the first such wait.
    timer: Option<Pin<Box<Sleep>>>,
    turns: Arc<Turns>,
    place: Place,
    _open: Open,
}

impl Waiting {
    /// One that has been polled once already.
    pub(super) fn new(
        handler: Handler,
        said: Option<WaitsFor>,
        patience: Duration,
        open: Open,
        turns: Arc<Turns>,
    ) -> Self {
        let mut waiting = Self {
            handler,
            patience,
            until: None,
            timer: None,
            turns,
            place: Place::default(),
            _open: open,
        };
        waiting.hear(said);
        waiting
    }

    fn hear(&mut self, said: Option<WaitsFor>) {
        match said {
            // Not asked: it waits for what it waited for.
            None => {}
            Some(WaitsFor::Service) => self.until = None,
            Some(WaitsFor::Client { deadline }) => {
                let patience = Instant::now() + self.patience;
                let deadline = deadline.map(|deadline| deadline + LAST_WORD);
                self.until = Some(deadline.map_or(patience, |end| end.min(patience)));
            }
        }
    }
}

impl Future for Waiting {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if !this.turns.may_work(&mut this.place, cx.waker()) {
            return Poll::Pending;
        }
        let began = Instant::now();
        let (polled, said) = poll(&mut this.handler, cx);
        this.turns.worked(began.elapsed());
        if polled.is_ready() {
            return Poll::Ready(());
        }
        this.hear(said);
        let Some(until) = this.until else {
            return Poll::Pending;
        };
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        // Moved only when it must be: a stream that is read comes by here with each answer.
        if timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        ready!(timer.as_mut().poll(cx));
        if timer.deadline() < until {
            timer.as_mut().reset(until);
            ready!(timer.as_mut().poll(cx));
        }
        tracing::debug!("stream reset: its client took nothing of the answer in time");
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::{spawn, time::sleep};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(100);

    /// What it says at each poll; it is polled by the clock, every so often.
    fn handler(says: &'static [Option<u64>], every: Duration) -> Waiting {
        let began = Instant::now();
        let handler = async move {
            for deadline in says {
                let deadline = deadline.map(|s| began + Duration::from_secs(s));
                let mut polled = false;
                let mut pause = Box::pin(sleep(every));
                std::future::poll_fn(|cx| {
                    if !std::mem::replace(&mut polled, true) {
                        say(WaitsFor::Client { deadline });
                    }
                    pause.as_mut().poll(cx)
                })
                .await;
            }
            say(WaitsFor::Service);
            sleep(Duration::from_secs(1000)).await;
        };
        Waiting::new(
            handler.boxed(),
            None,
            PATIENCE,
            Open::default(),
            Arc::default(),
        )
    }

    async fn lasts(waiting: Waiting) -> u64 {
        let began = Instant::now();
        assert!(spawn(waiting).await.is_ok());
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_its_client_until_the_deadline_or_as_long_as_patience_lasts() {
        let never = Duration::from_secs(10_000);
        assert_eq!(lasts(handler(&[Some(30)], never)).await, 31);
        assert_eq!(lasts(handler(&[Some(300)], never)).await, 100);
        assert_eq!(lasts(handler(&[None], never)).await, 100);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_begins_anew_whenever_something_is_taken_and_the_service_has_its_own_time() {
        let now_and_then = Duration::from_secs(90);
        assert_eq!(lasts(handler(&[None; 5], now_and_then)).await, 450 + 1000);
        assert_eq!(
            lasts(handler(&[None, Some(120)], now_and_then)).await,
            121,
            "the deadline stays"
        );
    }
}
