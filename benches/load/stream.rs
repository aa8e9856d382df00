//! Streams of batches: one stream a connection, so many batches at a time on each.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use h2::{SendStream, client::ResponseFuture};
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore, mpsc},
    task::JoinSet,
    time::Instant,
};
use tonic::{Code, Status};

use crate::{
    answer::{Batch, BatchResult},
    args::Common,
    connection::{self, Connection},
    message, pace,
    plan::Run,
    tally::Trouble,
};

const PATH: &str = "/feishu.identity.v1.IdentityService/ResolveUserIdsStream";

/// What a batch may be late by before its stream is given up.
const GRACE: Duration = Duration::from_secs(5);

/// Batches on their way: when each was due, and its request if it must be verified.
type Pending = Mutex<HashMap<u64, (Instant, Bytes)>>;

/// Where batches come from: at once, or when they are due.
enum Source {
    Closed,
    Paced(AsyncMutex<mpsc::Receiver<(u64, Instant)>>),
}

pub async fn carry_out(run: &Arc<Run>, common: &Common, in_flight: u32) -> Result<(), String> {
    let connections = connection::open_all(common.connections, &run.access, PATH, None).await?;
    let began = run.tally.began();
    let source = match Run::schedule(common) {
        None => Source::Closed,
        Some(schedule) => {
            let waiting = common.outstanding.try_into().unwrap_or(usize::MAX);
            let (due, batches) = mpsc::channel(waiting);
            let run = Arc::clone(run);
            // It ends by itself, with the run.
            drop(tokio::task::spawn_blocking(move || {
                pace::keep(
                    schedule,
                    began,
                    || run.stopped(),
                    |at| {
                        let Some(call) = run.take(at) else {
                            return false;
                        };
                        if due.try_send((call, at)).is_err() {
                            run.tally.not_sent();
                        }
                        true
                    },
                );
            }));
            Source::Paced(AsyncMutex::new(batches))
        }
    };
    let source = Arc::new(source);
    let mut streams = JoinSet::new();
    for connection in connections {
        let (run, source) = (Arc::clone(run), Arc::clone(&source));
        streams.spawn(async move {
            // A stream that breaks is followed by another while there is something to send.
            while !one(&run, &connection, &source, in_flight).await {}
        });
    }
    while streams.join_next().await.is_some() {}
    Ok(())
}

/// One stream until its end; whether everything was sent.
async fn one(run: &Run, connection: &Connection, source: &Source, in_flight: u32) -> bool {
    let opened = tokio::time::timeout(run.deadline, connection.open_stream()).await;
    let Ok(Ok((response, stream))) = opened else {
        return over(run);
    };
    let pending = Pending::default();
    let places = Semaphore::new(in_flight.try_into().unwrap_or(usize::MAX));
    let reading = read(run, response, &pending, &places);
    tokio::pin!(reading);
    let (done, status) = tokio::select! {
        biased;
        status = &mut reading => (over(run), status),
        () = write(run, source, stream, &pending, &places) => (true, reading.await),
    };
    let left = std::mem::take(&mut *lock(&pending));
    for (due, _) in left.into_values() {
        match status.code() {
            Code::Ok => run.tally.lost(due, run.identifiers),
            _ => run.tally.failed(due, Trouble::from(&status)),
        }
    }
    done
}

fn over(run: &Run) -> bool {
    run.stopped() || Instant::now() >= run.tally.began() + run.length()
}

/// Sends batches while there are some, and closes its side.
async fn write(
    run: &Run,
    source: &Source,
    mut stream: SendStream<Bytes>,
    pending: &Pending,
    places: &Semaphore,
) {
    while let Ok(place) = places.acquire().await {
        let next = match source {
            Source::Closed => {
                let now = Instant::now();
                run.take(now).map(|call| (call, now))
            }
            Source::Paced(batches) => batches.lock().await.recv().await,
        };
        let Some((call, due)) = next else { break };
        let request = run.messages.request(call);
        let batch = run.messages.batch(call, &request);
        let kept = if run.verifier.is_some() {
            request
        } else {
            Bytes::new()
        };
        lock(pending).insert(call, (due, kept));
        // Its answer gives the place back.
        place.forget();
        if stream.send_data(batch, false).is_err() {
            // The reader is told why.
            return;
        }
    }
    let _ = stream.send_data(Bytes::new(), true);
}

/// Counts answers until the stream ends; with which status.
async fn read(
    run: &Run,
    response: ResponseFuture,
    pending: &Pending,
    places: &Semaphore,
) -> Status {
    let reading = async {
        let (head, mut body) = response.await?.into_parts();
        let mut arrived = BytesMut::new();
        loop {
            let Ok(chunk) = tokio::time::timeout(run.deadline + GRACE, body.data()).await else {
                if lock(pending).is_empty() {
                    continue;
                }
                return Ok(Status::ok("given up"));
            };
            let Some(chunk) = chunk else { break };
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            arrived.extend_from_slice(&chunk);
            while let Some(message) = message::next_message(&mut arrived) {
                if count(run, &message, pending) {
                    places.add_permits(1);
                }
            }
        }
        connection::ending(&head.headers, &mut body).await
    };
    reading
        .await
        .unwrap_or_else(|error: h2::Error| connection::lost(&error))
}

/// Whether it is an answer to a batch of ours.
fn count(run: &Run, message: &Bytes, pending: &Pending) -> bool {
    let unreadable = || Trouble::from(&Status::internal("the answer cannot be read"));
    let Ok(batch) = Batch::read(message) else {
        run.tally.failed(Instant::now(), unreadable());
        return false;
    };
    let Some((due, request)) = lock(pending).remove(&batch.id) else {
        run.tally
            .failed(Instant::now(), Trouble::new("UNASKED", "", false));
        return false;
    };
    match batch.result {
        BatchResult::Response(response) => match run.read(&request, response) {
            Ok(summary) => run.tally.answered(due, run.identifiers, &summary),
            Err(_) => run.tally.failed(due, unreadable()),
        },
        BatchResult::Error(reason, retry) => {
            run.tally.failed(due, Trouble::of_batch(reason, retry));
        }
    }
    true
}

fn lock(pending: &Pending) -> std::sync::MutexGuard<'_, HashMap<u64, (Instant, Bytes)>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}
