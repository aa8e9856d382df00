//! What an answer says, read in place: counts, and one resolution after the other.

use crate::wire::{Fields, Malformed, Value};

/// How many outcomes the API has, the unspecified one included.
pub const OUTCOMES: usize = 6;
const FAILED: u64 = 5;

/// One resolution. Numbers are those of the proto's enums.
#[derive(Clone, Copy, Default)]
pub struct Resolution<'a> {
    /// The `Identifier` message as it came back.
    pub identifier: &'a [u8],
    pub outcome: u64,
    /// The `User` message.
    pub user: &'a [u8],
    /// Why it failed or is invalid.
    pub reason: u64,
    pub stale: bool,
}

/// One answer in numbers.
#[derive(Default)]
pub struct Summary {
    pub resolutions: u64,
    pub outcomes: [u64; OUTCOMES],
    /// The reasons of FAILED items.
    pub failed: Vec<u64>,
    pub stale: u64,
}

/// An answer of a stream.
pub struct Batch<'a> {
    pub id: u64,
    pub result: BatchResult<'a>,
}

pub enum BatchResult<'a> {
    Response(&'a [u8]),
    /// The reason, and whether it says when to try again.
    Error(u64, bool),
}

/// The resolutions of a `ResolveUserIdsResponse`.
pub fn resolutions(response: &[u8]) -> impl Iterator<Item = Result<Resolution<'_>, Malformed>> {
    Fields(response).filter_map(|field| match field {
        Ok((1, Value::Bytes(bytes))) => Some(Resolution::read(bytes)),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    })
}

impl<'a> Resolution<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut resolution = Self::default();
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(bytes)) => resolution.identifier = bytes,
                (2, Value::Number(outcome)) => resolution.outcome = outcome,
                (3, Value::Bytes(bytes)) => resolution.user = bytes,
                (5, Value::Bytes(bytes)) => resolution.reason = error(bytes)?.0,
                (7, Value::Number(stale)) => resolution.stale = stale != 0,
                _ => {}
            }
        }
        Ok(resolution)
    }
}

impl Summary {
    pub fn add(&mut self, resolution: &Resolution<'_>) {
        self.resolutions += 1;
        self.stale += u64::from(resolution.stale);
        let index = usize::try_from(resolution.outcome).unwrap_or_default();
        if let Some(count) = self.outcomes.get_mut(index) {
            *count += 1;
        }
        if resolution.outcome == FAILED {
            self.failed.push(resolution.reason);
        }
    }
}

impl<'a> Batch<'a> {
    /// A `ResolveUserIdsStreamResponse`.
    pub fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let (mut id, mut result) = (0, None);
        for field in Fields(message) {
            match field? {
                (1, Value::Number(number)) => id = number,
                (2, Value::Bytes(bytes)) => result = Some(BatchResult::Response(bytes)),
                (3, Value::Bytes(bytes)) => {
                    let (reason, retry) = error(bytes)?;
                    result = Some(BatchResult::Error(reason, retry));
                }
                _ => {}
            }
        }
        result.map(|result| Self { id, result }).ok_or(Malformed)
    }
}

/// Reason and presence of `retry_delay` of a `ResolveError`.
fn error(bytes: &[u8]) -> Result<(u64, bool), Malformed> {
    let (mut reason, mut retry) = (0, false);
    for field in Fields(bytes) {
        match field? {
            (1, Value::Number(number)) => reason = number,
            (4, Value::Bytes(_)) => retry = true,
            _ => {}
        }
    }
    Ok((reason, retry))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use feishu_id::pb::identity::{
        ErrorReason, Outcome, Resolution as Full, ResolveError, ResolveUserIdsResponse,
        ResolveUserIdsStreamResponse, resolve_user_ids_stream_response::Result as Of,
    };
    use prost::Message as _;

    use super::*;

    #[test]
    fn outcomes_and_reasons_are_counted_as_the_generated_code_writes_them() {
        let failed = ResolveError {
            reason: ErrorReason::QuotaExhausted.into(),
            message: "later".to_owned(),
            retry_delay: Some(prost_types::Duration::default()),
            ..ResolveError::default()
        };
        let one = |outcome: Outcome, error| Full {
            outcome: outcome.into(),
            error,
            ..Full::default()
        };
        let response = ResolveUserIdsResponse {
            resolutions: vec![
                one(Outcome::Resolved, None),
                one(Outcome::Failed, Some(Box::new(failed.clone()))),
            ],
        };
        let mut summary = Summary::default();
        for resolution in resolutions(&response.encode_to_vec()) {
            summary.add(&resolution.unwrap());
        }
        assert_eq!(
            (summary.resolutions, summary.outcomes),
            (2, [0, 1, 0, 0, 0, 1])
        );
        assert_eq!(summary.failed, [11]);

        let batch = ResolveUserIdsStreamResponse {
            batch_id: 300,
            result: Some(Of::Error(failed)),
        };
        let bytes = batch.encode_to_vec();
        let read = Batch::read(&bytes).unwrap();
        assert!(matches!(
            (read.id, read.result),
            (300, BatchResult::Error(11, true))
        ));
    }
}
