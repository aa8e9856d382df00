//! One request being answered: the service's own answer, or what there is in its place when the
//! deadline passes or the handler panics. A future by hand, because it is made for every request:
//! a timer is made only for who has to wait, an id only where it is read. Called by `request`.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{Code, Status, body::Body};

use super::{place::Place, refusal, request::X_REQUEST_ID, services::Answer, timeout::TimedBody};
use crate::{deadline::Deadline, metrics::Rpcs, trace::Scope};

/// The answer to one request.
pub(super) struct Answering {
    state: State,
    heard: Heard,
}

enum State {
    Handled(Handled),
    /// There is nothing to wait for.
    Refused(Status, Option<Place>),
    Done,
}

/// A handler at work.
pub(super) struct Handled {
    pub(super) answer: Answer,
    pub(super) place: Place,
    /// The caller's, if there is one.
    pub(super) deadline: Option<Deadline>,
    /// When the answer must have begun.
    pub(super) until: Deadline,
    /// Made when the handler first has to wait.
    pub(super) timer: Option<Pin<Box<Sleep>>>,
}

/// What is known of a request from the start, for what is told of it.
pub(super) struct Heard {
    /// In which its handler works.
    pub(super) scope: Scope,
    /// For the log line of the answer, if it is wanted.
    path: Option<Box<str>>,
    began: Instant,
}

impl Heard {
    pub(super) fn new<B>(scope: Scope, request: &Request<B>, began: Instant, rpcs: &Rpcs) -> Self {
        let path = tracing::enabled!(tracing::Level::DEBUG).then(|| {
            let path = request.uri().path();
            // What is no RPC may be anything, somebody's address too.
            let known = rpcs.name(rpcs.find(path)).is_some();
            if known { path.into() } else { "other".into() }
        });
        Self { scope, path, began }
    }
}

impl Answering {
    pub(super) fn handled(handled: Handled, heard: Heard) -> Self {
        Self {
            state: State::Handled(handled),
            heard,
        }
    }

    /// An answer without a handler. Whoever has no place is not counted in flight.
    pub(super) fn refused(status: Status, place: Option<Place>, heard: Heard) -> Self {
        Self {
            state: State::Refused(status, place),
            heard,
        }
    }

    /// The answer as it leaves.
    fn finish(&mut self, mut response: Response<TimedBody>) -> Response<TimedBody> {
        // A stream's status comes later, in its trailers.
        let status = response.headers().get(Status::GRPC_STATUS);
        let failed = status.is_some_and(|status| status != "0");
        if let Some(path) = self.heard.path.take() {
            let status = status.and_then(|code| code.to_str().ok());
            let duration_ms = self.heard.began.elapsed().as_millis();
            let _entered = self.heard.scope.enter();
            tracing::debug!(path, status, duration_ms, "answered");
        }
        let Some(id) = self.heard.scope.request_id() else {
            return response;
        };
        // Who has not given one hears of ours if there is a reason to ask about it.
        if (failed || id.is_given())
            && let Some(value) = id.value()
        {
            response.headers_mut().insert(X_REQUEST_ID, value);
        }
        if !failed && !id.is_given() {
            response.body_mut().fails_with(id);
        }
        response
    }
}

impl Future for Answering {
    type Output = Result<Response<TimedBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let entered = this.heard.scope.enter();
        let answered = match &mut this.state {
            State::Handled(handled) => ready!(handled.poll(cx)),
            State::Refused(..) | State::Done => Err(Status::unknown("answered already")),
        };
        drop(entered);
        let response = match (std::mem::replace(&mut this.state, State::Done), answered) {
            (
                State::Handled(Handled {
                    place, deadline, ..
                }),
                Ok(response),
            ) => complete(response, place, deadline),
            (State::Handled(Handled { place, .. }), Err(status)) => refuse(&status, Some(place)),
            (State::Refused(status, place), _) => refuse(&status, place),
            // Nobody polls a future again that has given its answer.
            (State::Done, _) => refuse(&Status::unknown("answered already"), None),
        };
        Poll::Ready(Ok(this.finish(response)))
    }
}

impl Handled {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<Body>, Status>> {
        let answer = self.answer.as_mut();
        match catch_unwind(AssertUnwindSafe(|| answer.poll(cx))) {
            Ok(Poll::Ready(Ok(response))) => return Poll::Ready(Ok(response)),
            Ok(Poll::Ready(Err(never))) => match never {},
            Err(_panic) => return Poll::Ready(Err(refusal::panicked())),
            Ok(Poll::Pending) => {}
        }
        let until = self.until.instant();
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(match self.deadline {
            Some(_) => refusal::deadline_exceeded(),
            None => refusal::answer_overdue(),
        }))
    }
}

/// The service's answer; its body keeps the place.
fn complete(
    mut response: Response<Body>,
    place: Place,
    deadline: Option<Deadline>,
) -> Response<TimedBody> {
    let code = response.headers().get(Status::GRPC_STATUS);
    let code = code.map(|code| Code::from_bytes(code.as_bytes()));
    if code.is_some() {
        refusal::explain(response.headers_mut());
    }
    response.map(|body| TimedBody::new(body, deadline, place, code))
}

fn refuse(status: &Status, place: Option<Place>) -> Response<TimedBody> {
    if let Some(mut place) = place {
        place.ends_with(status.code());
    }
    refusal::response(status)
}
