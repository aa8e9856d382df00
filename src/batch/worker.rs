//! The task that lets calls leave: a slot, a permit, then whatever is most urgent. It owns the tasks
//! of the calls.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    directory::{DirectoryError, DirectoryErrorKind as Kind},
    quota::{Covers, Demand, Ended, Permit},
};

use super::{CallResult, LookupError, Shared, key::Departure, traced::CallSpan};

/// After a crash of its own, so that a fault that comes at once again does not spin.
const AFTER_A_CRASH: Duration = Duration::from_millis(100);

/// Runs until it is dropped.
pub(super) async fn run(shared: Arc<Shared>, mut demand: Demand, max_in_flight: usize) {
    let slots = max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
    let slots = Arc::new(Semaphore::new(slots));
    let mut calls = JoinSet::new();
    loop {
        // A tenant must not stay without its queue because of one fault.
        let departures = departures(&shared, &mut demand, &slots, &mut calls);
        if AssertUnwindSafe(departures).catch_unwind().await.is_ok() {
            return;
        }
        tracing::error!("a fault in the queue: it goes on");
        sleep(AFTER_A_CRASH).await;
    }
}

async fn departures(
    shared: &Arc<Shared>,
    demand: &mut Demand,
    slots: &Arc<Semaphore>,
    calls: &mut JoinSet<()>,
) {
    loop {
        // The semaphore is never closed.
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let asked = Instant::now();
        let permit = shared.permits.acquire(demand).await;
        while calls.try_join_next().is_some() {}
        let now = Instant::now();
        let waited = waited(demand, &permit, asked, now);
        let departure = shared.lock().depart(now, permit.covers());
        match departure {
            Some(departure) => {
                shared.waited.record(waited);
                let span = CallSpan::begin(&shared.tenant, &departure, waited);
                calls.spawn(call(shared.clone(), departure, slot, permit, span));
            }
            None => permit.ended(Ended::Unused),
        }
    }
}

/// How long what was ready to leave waited for the permit: not the time in which nobody wanted one,
/// nor that in which a call gathered.
fn waited(demand: &Demand, permit: &Permit, asked: Instant, now: Instant) -> Duration {
    let load = *demand.borrow();
    let ready = match permit.covers() {
        Covers::FullCall => load.full_at,
        Covers::AnyCall => load.ready_at,
    };
    let since = ready.map_or(now, |ready| ready.max(asked));
    now.saturating_duration_since(since)
}

/// One call, and what follows from it.
async fn call(
    shared: Arc<Shared>,
    departure: Departure,
    slot: OwnedSemaphorePermit,
    permit: Permit,
    span: CallSpan,
) {
    let batch = departure.batch();
    let under_way = shared.notes.departs();
    let looked = AssertUnwindSafe(span.wrap(shared.directory.lookup(batch)));
    let result = match looked.catch_unwind().await {
        Ok(result) => result,
        Err(_panic) => Err(crashed()),
    };
    drop(under_way);
    span.end(result.as_ref().err());
    let retry_after = match &result {
        Err(error) => match error.kind {
            Kind::Throttled { retry_after } => Some(retry_after),
            _ => None,
        },
        Ok(_) => None,
    };
    permit.ended(match retry_after {
        Some(retry_after) => Ended::Throttled { retry_after },
        None => Ended::Answered,
    });
    drop(slot);
    let result: CallResult = result.map_err(|error| {
        // One that many calls hear of is logged where it happens.
        if error.shared.is_none() {
            shared.tell(&error, batch.len());
        }
        LookupError::Directory(Arc::new(error))
    });
    match departure {
        Departure::Packed(cargo) => {
            shared.note(&cargo, &result);
            shared.settle(cargo, result).await;
        }
        Departure::Part(part) => {
            shared.note(&part.cargo, &result);
            let _gone = part.reply.send((part.cargo, result));
        }
    }
}

fn crashed() -> DirectoryError {
    DirectoryError::new(
        Kind::InvalidResponse,
        "the lookup crashed: a fault of this server's",
    )
}
