//! The bidirectional stream of batches: bounded work in flight, and back-pressure instead of
//! buffering. A batch is read only when there is room to work on it, and answers are handed over
//! only as fast as the caller takes them; what waits, waits in HTTP/2's flow control.

use std::{
    collections::HashMap,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
    time::Duration,
};

use futures_util::{
    FutureExt as _, Stream, StreamExt as _,
    future::BoxFuture,
    stream::{FuturesUnordered, unfold},
};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    audit::Rpc,
    batch::WhenFull,
    caller::CallerId,
    callers::Entered,
    deadline::Deadline,
    memory,
    pb::identity::{
        ResolveUserIdsResponse, ResolveUserIdsStreamRequest, ResolveUserIdsStreamResponse,
        resolve_user_ids_stream_response::Result as Answer,
    },
    resolver::{Failure, Reason},
    trace::Scope,
};

use super::{
    Identity, access, convert, draining,
    status::{DOMAIN, Rejection},
    work::{Arrival, Batch, Recalled, no_memory},
};

/// What a batch without a timeout gets: longer than a unary call, because bulk may wait its turn.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);

/// Most identifiers of a stream's batches that are worked on at a time: more than can be under way to
/// Feishu at all (16 calls of 100), and about a megabyte with their answers. A batch is read while there
/// are fewer.
const MAX_IDENTIFIERS: usize = 2000;

/// The answers to the batches, each as soon as it is complete. Ends with the caller's side, once
/// what is in flight is answered; with the caller's error; or when the server drains.
pub(super) fn answers(
    identity: Identity,
    batches: Streaming<ResolveUserIdsStreamRequest>,
    source: Source,
) -> impl Stream<Item = Result<ResolveUserIdsStreamResponse, Status>> + Send {
    let state = Batches {
        draining: identity.shutdown.draining().boxed(),
        most: identity.limits.max_in_flight_batches.max(1),
        identity,
        source,
        scope: Scope::current(),
        incoming: Incoming::Open(Box::new(batches)),
        held: None,
        in_flight: FuturesUnordered::new(),
        identifiers: 0,
        is_short: false,
    };
    // In a box, or all of it would be moved for each batch.
    unfold(Box::new(state), |mut state| async {
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
    /// Made once: to wait for it anew with each batch would take locks that all streams share.
    draining: BoxFuture<'static, ()>,
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
    in_flight: FuturesUnordered<BoxFuture<'static, Done>>,
    /// How many identifiers are in them.
    identifiers: usize,
    /// One of them has had to wait for memory: no further one is read until it is done.
    is_short: bool,
}

/// A batch that has its answer.
struct Done {
    answer: ResolveUserIdsStreamResponse,
    identifiers: usize,
    was_short: bool,
    /// Until the answer is handed over.
    _held: Option<memory::Held>,
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
            let has_room = self.has_room();
            match &mut self.incoming {
                Incoming::Open(_) if self.identity.shutdown.is_draining() => {
                    self.incoming = Incoming::Ended(Err(draining()));
                }
                Incoming::Open(batches) => {
                    let (is_idle, memory) =
                        (self.in_flight.is_empty(), &self.identity.limits.memory);
                    let until = self.held.as_ref().map(|held| held.until);
                    tokio::select! {
                        // A finished answer first: it makes room.
                        biased;
                        Some(done) = self.in_flight.next() => return Some(Ok(self.hand_over(done))),
                        () = turn(until), if until.is_some() => {
                            if let Some(Held { batch, .. }) = self.held.take()
                                && let Some(done) = self.take_up(batch)
                            {
                                return Some(Ok(done));
                            }
                        }
                        // Many streams do not take the memory that calls by themselves need: one batch at a
                        // time then, which is as fast, since far more waits than can be under way.
                        batch = while_so(|| is_idle || !memory.is_scarce(), batches.message()), if has_room => match batch {
                            Ok(Some(batch)) => {
                                if let Some(done) = self.take_up(batch) {
                                    return Some(Ok(done));
                                }
                            }
                            Ok(None) => self.incoming = Incoming::Ended(Ok(())),
                            Err(status) => {
                                self.incoming = Incoming::Ended(Err(unreadable(status)));
                            }
                        },
                        // Last, since it has just been looked at: who has something to read does not wait.
                        () = &mut self.draining => {}
                    }
                }
                Incoming::Ended(end) => {
                    if let Some(done) = self.in_flight.next().await {
                        return Some(Ok(self.hand_over(done)));
                    }
                    return std::mem::replace(end, Ok(())).err().map(Err);
                }
            }
        }
    }

    /// Whether a further batch is read.
    fn has_room(&self) -> bool {
        self.in_flight.len() < self.most
            && self.identifiers < MAX_IDENTIFIERS
            && self.held.is_none()
            && !self.is_short
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

    fn hand_over(&mut self, done: Done) -> ResolveUserIdsStreamResponse {
        self.identifiers = self.identifiers.saturating_sub(done.identifiers);
        if done.was_short {
            self.is_short = false;
        }
        done.answer
    }

    /// The answer, if it needs no wait; else the work on it has begun.
    fn start(
        &mut self,
        batch: ResolveUserIdsStreamRequest,
    ) -> Option<ResolveUserIdsStreamResponse> {
        let batch_id = batch.batch_id;
        let arrival = match arrival(&batch, &self.source) {
            Ok(arrival) => arrival,
            Err(rejection) => return Some(answer(batch_id, Err(rejection))),
        };
        let request = batch.request.unwrap_or_default();
        let entered = self.scope.enter();
        let recall = || self.identity.recall(request, &self.source.entered, arrival);
        // A crash in one batch is that batch's failure.
        let recalled = catch_unwind(AssertUnwindSafe(recall)).unwrap_or_else(|_| Err(crashed()));
        drop(entered);
        match recalled {
            Ok(Recalled::All(response)) => Some(answer(batch_id, Ok(response))),
            Err(rejection) => Some(answer(batch_id, Err(rejection))),
            Ok(Recalled::Some(batch)) => {
                self.find_out(batch_id, *batch, arrival.deadline);
                None
            }
        }
    }

    /// Begins the work on a batch: at once, or when there is memory for it.
    fn find_out(&mut self, batch_id: u64, batch: Batch, deadline: Deadline) {
        let identifiers = batch.len();
        let budget = &self.identity.limits.memory;
        let held = budget.try_take(batch.bytes());
        let was_short = held.is_none();
        self.identifiers += identifiers;
        self.is_short |= was_short;
        let (identity, budget) = (self.identity.clone(), budget.clone());
        let entered = self.source.entered.clone();
        let work = async move {
            let held = match held {
                Some(held) => held,
                None => timeout_at(deadline.instant(), budget.take(batch.bytes()))
                    .await
                    .map_err(|_elapsed| Box::new(no_memory()))?,
            };
            Ok((identity.find_out(batch, &entered).await?, held))
        };
        let task = AbortOnDropHandle::new(tokio::spawn(self.scope.clone().wrap(work)));
        let done = task.map(move |done| {
            let (result, held) = match done.unwrap_or_else(|_| Err(crashed())) {
                Ok((response, held)) => (Ok(response), Some(held)),
                Err(rejection) => (Err(rejection), None),
            };
            Done {
                answer: answer(batch_id, result),
                identifiers,
                was_short,
                _held: held,
            }
        });
        self.in_flight.push(done.boxed());
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

/// The future, as far as it comes while this is so; looked at each time there is something new. Whoever
/// waits for it must have something else to be woken by.
async fn while_so<F: Future>(is_so: impl Fn() -> bool, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if is_so() {
            future.as_mut().poll(cx)
        } else {
            Poll::Pending
        }
    })
    .await
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

/// A message that cannot be read ends the stream, since nobody knows which batch it was. What the server
/// itself says of it stands.
fn unreadable(status: Status) -> Status {
    if !status.details().is_empty() {
        return status;
    }
    let details = ErrorDetails::with_error_info("INVALID_REQUEST", DOMAIN, HashMap::new());
    Status::with_error_details(status.code(), status.message(), details)
}

/// A crash in one batch is that batch's failure.
fn crashed() -> Box<Rejection> {
    let message = "this batch could not be worked on: a fault of this server's";
    Box::new(Failure::new(Reason::UpstreamInvalidResponse, message).into())
}
