//! The bidirectional stream of batches: bounded work in flight, and back-pressure instead of
//! buffering. A batch is read only when there is room to work on it, and answers are handed over
//! only as fast as the caller takes them; what waits, waits in HTTP/2's flow control.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use futures_util::{
    FutureExt as _, Stream, StreamExt as _,
    future::BoxFuture,
    stream::{FuturesUnordered, unfold},
};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    audit::Rpc,
    batch::WhenFull,
    caller::CallerId,
    callers::Entered,
    deadline::Deadline,
    pb::identity::{
        ResolveUserIdsResponse, ResolveUserIdsStreamRequest, ResolveUserIdsStreamResponse,
        resolve_user_ids_stream_response::Result as Answer,
    },
    resolver::{Failure, Reason},
    trace::Scope,
};

use super::{
    Arrival, Identity, Recalled, access, convert, draining,
    status::{DOMAIN, Rejection},
};

/// What a batch without a timeout gets: longer than a unary call, because bulk may wait its turn.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);

/// The answers to the batches, each as soon as it is complete. Ends with the caller's side, once
/// what is in flight is answered; with the caller's error; or when the server drains.
pub(super) fn answers(
    identity: Identity,
    batches: Streaming<ResolveUserIdsStreamRequest>,
    source: Source,
) -> impl Stream<Item = Result<ResolveUserIdsStreamResponse, Status>> + Send {
    let state = Batches {
        most: identity.limits.max_in_flight_batches.max(1),
        identity,
        source,
        scope: Scope::current(),
        incoming: Incoming::Open(Box::new(batches)),
        held: None,
        in_flight: FuturesUnordered::new(),
    };
    unfold(state, |mut state| async {
        let next = state.next().await?;
        Some((next, state))
    })
}

/// Where a stream comes from.
pub(super) struct Source {
    pub(super) entered: Entered,
    pub(super) caller: CallerId,
    /// Of the whole stream.
    pub(super) deadline: Option<Deadline>,
}

struct Batches {
    identity: Identity,
    source: Source,
    most: usize,
    incoming: Incoming,
    /// A batch that has been read, and whose caller asks for too much: nothing more is read before its
    /// turn has come.
    held: Option<Held>,
    /// The stream's: its batches are parts of it.
    scope: Scope,
    /// Each in a task of its own, so that calls go on while the caller is slow to take answers;
    /// dropped with the stream.
    in_flight: FuturesUnordered<BoxFuture<'static, ResolveUserIdsStreamResponse>>,
}

struct Held {
    batch: ResolveUserIdsStreamRequest,
    until: Instant,
}

enum Incoming {
    Open(Box<Streaming<ResolveUserIdsStreamRequest>>),
    /// No more batches are read; the stream ends so, once what is in flight is answered.
    Ended(Result<(), Status>),
}

impl Batches {
    async fn next(&mut self) -> Option<Result<ResolveUserIdsStreamResponse, Status>> {
        loop {
            match &mut self.incoming {
                Incoming::Open(batches) => {
                    let has_room = self.in_flight.len() < self.most && self.held.is_none();
                    let until = self.held.as_ref().map(|held| held.until);
                    tokio::select! {
                        // A finished answer first: it makes room. Draining before reading on.
                        biased;
                        Some(done) = self.in_flight.next() => return Some(Ok(done)),
                        () = self.identity.shutdown.draining() => {
                            self.incoming = Incoming::Ended(Err(draining()));
                        }
                        () = turn(until), if until.is_some() => {
                            if let Some(Held { batch, .. }) = self.held.take()
                                && let Some(done) = self.take_up(batch)
                            {
                                return Some(Ok(done));
                            }
                        }
                        batch = batches.message(), if has_room => match batch {
                            Ok(Some(batch)) => {
                                if let Some(done) = self.take_up(batch) {
                                    return Some(Ok(done));
                                }
                            }
                            Ok(None) => self.incoming = Incoming::Ended(Ok(())),
                            Err(status) => {
                                self.incoming = Incoming::Ended(Err(unreadable(&status)));
                            }
                        },
                    }
                }
                Incoming::Ended(end) => {
                    if let Some(done) = self.in_flight.next().await {
                        return Some(Ok(done));
                    }
                    return std::mem::replace(end, Ok(())).err().map(Err);
                }
            }
        }
    }

    /// Starts it, if the caller may still call, and may ask for so much; else its turn comes later. Its
    /// time begins when it is started.
    fn take_up(
        &mut self,
        batch: ResolveUserIdsStreamRequest,
    ) -> Option<ResolveUserIdsStreamResponse> {
        match self.identity.callers.still(&self.source.entered) {
            Ok(None) => {}
            Ok(Some(entered)) => self.source.entered = entered,
            Err(why) => {
                self.incoming = Incoming::Ended(Err(access::unauthenticated(why)));
                return None;
            }
        }
        let request = batch.request.as_ref();
        let weight = request.map_or(0, |request| self.identity.weight(request));
        match self.source.entered.caller().take(weight) {
            Ok(()) => self.start(batch),
            Err(until) => {
                self.held = Some(Held { batch, until });
                None
            }
        }
    }

    /// The answer, if it needs no wait; else the work on it has begun.
    fn start(
        &mut self,
        batch: ResolveUserIdsStreamRequest,
    ) -> Option<ResolveUserIdsStreamResponse> {
        let batch_id = batch.batch_id;
        let entered = &self.source.entered;
        let recalled = arrival(&batch, &self.source).and_then(|arrival| {
            let request = batch.request.unwrap_or_default();
            let _entered = self.scope.enter();
            let recall = || self.identity.recall(request, entered, arrival);
            // A crash in one batch is that batch's failure.
            catch_unwind(AssertUnwindSafe(recall)).unwrap_or_else(|_panic| Err(crashed()))
        });
        let batch = match recalled {
            Ok(Recalled::All(response)) => return Some(answer(batch_id, Ok(response))),
            Err(rejection) => return Some(answer(batch_id, Err(rejection))),
            Ok(Recalled::Some(batch)) => batch,
        };
        let (identity, entered) = (self.identity.clone(), entered.clone());
        let work = async move { identity.find_out(*batch, &entered).await };
        let task = AbortOnDropHandle::new(tokio::spawn(self.scope.clone().wrap(work)));
        let answer =
            task.map(move |done| answer(batch_id, done.unwrap_or_else(|_| Err(crashed()))));
        self.in_flight.push(answer.boxed());
        None
    }
}

fn answer(
    batch_id: u64,
    result: Result<ResolveUserIdsResponse, Box<Rejection>>,
) -> ResolveUserIdsStreamResponse {
    ResolveUserIdsStreamResponse {
        batch_id,
        result: Some(match result {
            Ok(response) => Answer::Response(response),
            Err(rejection) => Answer::Error(convert::error(rejection.into_failure())),
        }),
    }
}

/// Ready when a held batch is to be taken up.
async fn turn(until: Option<Instant>) {
    if let Some(until) = until {
        sleep_until(until).await;
    }
}

fn arrival(
    batch: &ResolveUserIdsStreamRequest,
    source: &Source,
) -> Result<Arrival, Box<Rejection>> {
    let timeout = match batch.timeout {
        None => DEFAULT_TIMEOUT,
        Some(timeout) => Duration::try_from(timeout)
            .ok()
            .filter(|timeout| !timeout.is_zero())
            .ok_or_else(|| Box::new(Rejection::invalid("timeout", "must be longer than zero")))?,
    };
    let mut deadline = Deadline::after(timeout);
    if let Some(stream_deadline) = source.deadline {
        deadline = deadline.earlier(stream_deadline);
    }
    Ok(Arrival {
        caller: source.caller,
        deadline,
        when_full: WhenFull::Wait,
        rpc: Rpc::ResolveUserIdsStream,
    })
}

/// A message that cannot be read ends the stream, since nobody knows which batch it was.
fn unreadable(status: &Status) -> Status {
    let details = ErrorDetails::with_error_info("INVALID_REQUEST", DOMAIN, HashMap::new());
    Status::with_error_details(status.code(), status.message(), details)
}

/// A crash in one batch is that batch's failure.
fn crashed() -> Box<Rejection> {
    let message = "this batch could not be worked on: a fault of this server's";
    Box::new(Failure::new(Reason::UpstreamInvalidResponse, message).into())
}
