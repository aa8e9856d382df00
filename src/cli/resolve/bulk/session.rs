//! One stream, from its opening to its end. What it leaves without an answer, the next one asks
//! again.

use std::{collections::btree_map::Entry, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

use crate::{
    cli::Failure,
    pb::identity::{
        self as pb, ErrorReason, Outcome, ResolveUserIdsRequest, ResolveUserIdsStreamRequest,
        ResolveUserIdsStreamResponse, resolve_user_ids_stream_response::Result as Answer,
    },
};

use super::{Batch, Bulk, IN_FLIGHT, Pending};

/// Up to this many identifiers somebody is waiting at a terminal.
const FEW: usize = 10;

/// How long a batch of few may take: Feishu answers in 0.1 s, or is out.
const TIMEOUT_OF_FEW: Duration = Duration::from_secs(30);

/// How long any other may take. 4 batches of 1000 of one kind with three kinds of ID are 240 calls:
/// 2.4 minutes on a tenth of the quota.
const TIMEOUT: Duration = Duration::from_mins(10);

/// How long after a batch's own timeout the server may still be silent.
const SILENCE: Duration = Duration::from_secs(15);

/// How long the server may take to end a stream that has nothing more to say.
const GOODBYE: Duration = Duration::from_secs(1);

/// How a stream ended.
pub(super) enum End {
    /// Everything is written.
    Done,
    /// It broke off.
    Broken(Status),
}

type Sender = mpsc::Sender<ResolveUserIdsStreamRequest>;
type Answers = Streaming<ResolveUserIdsStreamResponse>;

impl<W> Bulk<W>
where
    W: FnMut(&Batch, &[pb::Resolution]) -> Result<(), Failure>,
{
    /// Asks what has no answer yet, then the rest of the input.
    pub(super) async fn session(&mut self) -> Result<End, Failure> {
        let (sender, receiver) = mpsc::channel(IN_FLIGHT);
        for (id, pending) in &self.pending {
            if pending.answer.is_none() {
                send(&sender, self.request(*id, &pending.batch));
            }
        }
        // Dropped with the end of the input: that is how the server learns of it.
        let mut sender = (!self.input_ended).then_some(sender);
        let mut client = self.client.clone();
        let requests = ReceiverStream::new(receiver);
        // Some servers answer with headers only once there is an answer, so batches are sent
        // while the call is still opening.
        let mut opening = Box::pin(client.resolve_user_ids_stream(requests));
        let mut answers: Option<Answers> = None;
        let waits = self
            .pending
            .iter()
            .map(|(id, pending)| timeout_of(*id, &pending.batch));
        let mut silent_until = Instant::now() + waits.max().unwrap_or(TIMEOUT_OF_FEW) + SILENCE;
        while !(self.input_ended && self.pending.is_empty()) {
            tokio::select! {
                opened = &mut opening, if answers.is_none() => match opened {
                    Ok(response) => answers = Some(Response::into_inner(response)),
                    Err(status) => return Ok(End::Broken(status)),
                },
                read = self.input.recv(), if !self.input_ended && self.pending.len() < IN_FLIGHT => {
                    if let Some(Ok(batch)) = read {
                        let wait = timeout_of(self.next_id, &batch) + SILENCE;
                        silent_until = silent_until.max(Instant::now() + wait);
                        self.add(sender.as_ref(), batch);
                    } else {
                        // Bad input ends the reading; what was good before it is still answered.
                        self.input_error = read.and_then(Result::err);
                        self.input_ended = true;
                        sender = None;
                    }
                },
                answer = next(&mut answers) => match answer {
                    Ok(answer) => {
                        silent_until = silent_until.max(Instant::now() + SILENCE);
                        self.accept(answer)?;
                    }
                    Err(status) => return Ok(End::Broken(status)),
                },
                () = sleep_until(silent_until), if !self.pending.is_empty() => {
                    return Err(Failure::Unreachable("the server does not answer".to_owned()));
                }
            }
        }
        // Only good manners: a stream cut off would count as the caller's failure over there.
        if answers.is_some() {
            let _ = timeout(GOODBYE, next(&mut answers)).await;
        }
        Ok(End::Done)
    }

    fn add(&mut self, sender: Option<&Sender>, batch: Batch) {
        let id = self.next_id;
        self.next_id += 1;
        if let Some(sender) = sender {
            send(sender, self.request(id, &batch));
        }
        let answer = None;
        self.pending.insert(id, Pending { batch, answer });
    }

    fn request(&self, batch_id: u64, batch: &Batch) -> ResolveUserIdsStreamRequest {
        let timeout = timeout_of(batch_id, batch);
        ResolveUserIdsStreamRequest {
            batch_id,
            request: Some(ResolveUserIdsRequest {
                tenant: self.question.tenant.clone(),
                user_id_types: self.question.user_id_types.clone(),
                identifiers: batch
                    .rows
                    .iter()
                    .map(|row| row.identifier.clone())
                    .collect(),
                include_resigned: self.question.include_resigned,
                max_age: None,
            }),
            timeout: prost_types::Duration::try_from(timeout).ok(),
        }
    }

    fn accept(&mut self, answer: ResolveUserIdsStreamResponse) -> Result<(), Failure> {
        // An ID that is not pending was answered before: an earlier stream's, or a server's slip.
        if let Entry::Occupied(mut entry) = self.pending.entry(answer.batch_id) {
            let resolutions = resolutions(&entry.get().batch, answer.result)?;
            entry.get_mut().answer = Some(resolutions);
        }
        while let Some(first) = self.pending.first_entry() {
            let Some(answer) = &first.get().answer else {
                break;
            };
            (self.write)(&first.get().batch, answer)?;
            first.remove();
        }
        Ok(())
    }
}

/// At most [`IN_FLIGHT`] wait, which is what the channel holds; if it is closed, the answers say
/// why.
fn send(sender: &Sender, request: ResolveUserIdsStreamRequest) {
    let _ = sender.try_send(request);
}

/// Only a run's first batch can be all of it; a short one later is the rest of many.
fn timeout_of(id: u64, batch: &Batch) -> Duration {
    if id == 0 && batch.rows.len() <= FEW {
        TIMEOUT_OF_FEW
    } else {
        TIMEOUT
    }
}

async fn next(answers: &mut Option<Answers>) -> Result<ResolveUserIdsStreamResponse, Status> {
    match answers {
        None => std::future::pending().await,
        Some(answers) => match answers.message().await? {
            Some(answer) => Ok(answer),
            None => Err(Status::unavailable("the server ended the stream early")),
        },
    }
}

/// One resolution for each row. A batch that failed as a whole is that failure for each, unless it
/// is the command's own mistake.
fn resolutions(batch: &Batch, answer: Option<Answer>) -> Result<Vec<pb::Resolution>, Failure> {
    let error = match answer {
        Some(Answer::Response(response)) if response.resolutions.len() == batch.rows.len() => {
            return Ok(response.resolutions);
        }
        Some(Answer::Error(error)) => error,
        _ => {
            let message = "the server's answer does not match the question";
            return Err(Failure::Unreachable(message.to_owned()));
        }
    };
    match error.reason() {
        ErrorReason::TenantNotFound
        | ErrorReason::InvalidRequest
        | ErrorReason::PermissionDenied => Err(Failure::Usage(error.message)),
        _ => Ok(batch
            .rows
            .iter()
            .map(|row| pb::Resolution {
                identifier: Some(row.identifier.clone()),
                outcome: Outcome::Failed.into(),
                error: Some(Box::new(error.clone())),
                ..pb::Resolution::default()
            })
            .collect()),
    }
}
