//! Any number of identifiers over one stream: batches out, answers back in the input's order, with
//! a bounded number of rows in memory. Knows no format and no source.

mod batches;
mod session;

use std::{collections::BTreeMap, time::Duration};

use tokio::sync::mpsc;
use tonic::Code;

use crate::{
    cli::{
        Failure,
        client::{Line, failure_of},
    },
    pb::identity::{self as pb, identity_service_client::IdentityServiceClient},
};

use super::input::{Input, InputError};
pub(super) use batches::Batch;

/// Most batches that are read and not yet written. The server works on 16 of a stream at a time;
/// 4 of 1000 keep its quota busy and hold a few megabytes.
const IN_FLIGHT: usize = 4;

/// Attempts in a row without a single answer before giving up on a server that says it will be back
/// (it restarts, or a balancer moves us).
const ATTEMPTS: u32 = 4;

/// The pause after the first of these; it doubles: 0.5, 1 and 2 s.
const PAUSE: Duration = Duration::from_millis(500);

/// Largest answer, in bytes: 1000 resolutions with all IDs and long messages have about 1 MB.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// What is asked of every batch.
#[derive(Clone)]
pub(super) struct Question {
    pub(super) tenant: String,
    pub(super) user_id_types: Vec<i32>,
    pub(super) include_resigned: bool,
}

/// A batch on its way, and its answer while it waits for its turn.
struct Pending {
    batch: Batch,
    answer: Option<Vec<pb::Resolution>>,
}

struct Bulk<W> {
    client: IdentityServiceClient<Line>,
    question: Question,
    input: mpsc::Receiver<Result<Batch, InputError>>,
    input_ended: bool,
    input_error: Option<InputError>,
    next_id: u64,
    pending: BTreeMap<u64, Pending>,
    write: W,
}

/// Resolves all of the input; `write` gets each batch with its answer, in order.
pub(super) async fn resolve<W>(
    line: Line,
    question: Question,
    input: Input,
    write: W,
) -> Result<(), Failure>
where
    W: FnMut(&Batch, &[pb::Resolution]) -> Result<(), Failure>,
{
    let mut bulk = Bulk {
        client: IdentityServiceClient::new(line).max_decoding_message_size(MAX_ANSWER),
        question,
        input: batches::read(input),
        input_ended: false,
        input_error: None,
        next_id: 0,
        pending: BTreeMap::new(),
        write,
    };
    let mut failed = 0;
    loop {
        let answered_before = bulk.answered();
        let status = match bulk.session().await? {
            session::End::Done => {
                let error = bulk.input_error.take();
                return error.map_or(Ok(()), |error| Err(Failure::Usage(error.to_string())));
            }
            session::End::Broken(status) => status,
        };
        if bulk.answered() > answered_before {
            failed = 0;
        }
        failed += 1;
        if status.code() != Code::Unavailable || failed >= ATTEMPTS {
            return Err(failure_of(&status));
        }
        tracing::warn!("the stream broke off, trying again: {}", status.message());
        tokio::time::sleep(PAUSE * 2_u32.pow(failed - 1)).await;
    }
}

impl<W> Bulk<W> {
    /// How many batches have been answered so far.
    fn answered(&self) -> u64 {
        let open = self.pending.values().filter(|p| p.answer.is_none()).count();
        self.next_id - u64::try_from(open).unwrap_or(0)
    }
}
