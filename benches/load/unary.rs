//! Unary calls: a fixed number of callers, or calls that are due at their moments.

use std::sync::Arc;

use bytes::Bytes;
use tokio::{runtime::Handle, sync::Semaphore, task::JoinSet, time::Instant};
use tonic::Status;

use crate::{
    args::Common,
    connection::{self, Connection},
    message, pace,
    plan::Run,
    tally::Trouble,
};

const PATH: &str = "/feishu.identity.v1.IdentityService/ResolveUserIds";

pub async fn carry_out(run: &Arc<Run>, common: &Common, in_flight: u32) -> Result<(), String> {
    let deadline = Some(run.deadline);
    let connections = connection::open_all(common.connections, &run.access, PATH, deadline).await?;
    run.tally.began();
    match Run::schedule(common) {
        Some(schedule) => paced(run, schedule, connections, common.outstanding).await,
        None => closed(run, &connections, in_flight).await,
    }
    Ok(())
}

/// Each caller asks again when it has its answer.
async fn closed(run: &Arc<Run>, connections: &[Arc<Connection>], in_flight: u32) {
    let mut callers = JoinSet::new();
    let turns = connections.iter().cycle();
    for (_, connection) in (0..in_flight).zip(turns) {
        let (run, connection) = (Arc::clone(run), Arc::clone(connection));
        callers.spawn(async move {
            loop {
                let now = Instant::now();
                let Some(call) = run.take(now) else { break };
                one(&run, &connection, call, now).await;
            }
        });
    }
    while callers.join_next().await.is_some() {}
}

/// Each call is a task of its own, started at its moment by a thread that does nothing else.
async fn paced(
    run: &Arc<Run>,
    schedule: pace::Schedule,
    connections: Vec<Arc<Connection>>,
    outstanding: u32,
) {
    let places = Arc::new(Semaphore::new(outstanding.try_into().unwrap_or(usize::MAX)));
    let (run, runtime) = (Arc::clone(run), Handle::current());
    let free = Arc::clone(&places);
    let pacing = tokio::task::spawn_blocking(move || {
        let began = run.tally.began();
        let mut turns = connections.iter().cycle();
        pace::keep(
            schedule,
            began,
            || run.stopped(),
            |due| {
                let (Some(call), Some(connection)) = (run.take(due), turns.next()) else {
                    return false;
                };
                let Ok(place) = Arc::clone(&free).try_acquire_owned() else {
                    run.tally.not_sent();
                    return true;
                };
                let (run, connection) = (Arc::clone(&run), Arc::clone(connection));
                runtime.spawn(async move {
                    one(&run, &connection, call, due).await;
                    drop(place);
                });
                true
            },
        );
    });
    // It cannot panic but by a mistake of ours, which the closing count would show.
    let _ = pacing.await;
    let _ = places.acquire_many(outstanding).await;
}

/// One call, counted.
async fn one(run: &Run, connection: &Connection, call: u64, due: Instant) {
    let message = run.messages.unary(call);
    // A handle on the same bytes: who verifies needs to know who was asked for.
    let request = if run.verifier.is_some() {
        message::without_prefix(&message)
    } else {
        Bytes::new()
    };
    let answer = tokio::time::timeout(run.deadline, connection.call(message)).await;
    let status = match answer {
        Ok(Ok(response)) => match run.read(&request, &response) {
            Ok(summary) => return run.tally.answered(due, run.identifiers, &summary),
            Err(_) => Status::internal("the answer cannot be read"),
        },
        Ok(Err(status)) => status,
        // As any gRPC client does, whatever the server may be about to say.
        Err(_) => {
            let trouble = Trouble::new("DEADLINE_EXCEEDED", "(the caller's own)", false);
            return run.tally.failed(due, trouble);
        }
    };
    run.tally.failed(due, Trouble::from(&status));
}
