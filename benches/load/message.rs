//! Requests, put together from what is the same in all of them and the people of this one.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use feishu_id::pb::identity::{ResolveUserIdsRequest, ResolveUserIdsStreamRequest, UserIdType};
use prost::Message as _;

use crate::{args::Common, people::People, wire};

/// gRPC's prefix: not compressed, and the length in four bytes.
const PREFIX: usize = 5;

/// What every request of this run is made of.
pub struct Messages {
    people: People,
    identifiers: u32,
    seed: u64,
    /// A request for nobody. Fields may come in any order, so the people are just appended.
    request: Vec<u8>,
    /// A batch without request and number.
    batch: Vec<u8>,
}

impl Messages {
    pub fn new(common: &Common, people: People) -> Self {
        let types = common
            .types
            .iter()
            .map(|&kind| UserIdType::from(kind).into());
        let request = ResolveUserIdsRequest {
            tenant: common.tenant.clone(),
            user_id_types: types.collect(),
            include_resigned: common.include_resigned,
            max_age: common.max_age.map(duration),
            ..ResolveUserIdsRequest::default()
        };
        let batch = ResolveUserIdsStreamRequest {
            timeout: Some(duration(common.deadline)),
            ..ResolveUserIdsStreamRequest::default()
        };
        Self {
            people,
            identifiers: common.identifiers,
            seed: common.seed,
            request: request.encode_to_vec(),
            batch: batch.encode_to_vec(),
        }
    }

    /// The request of this call, without gRPC's prefix.
    pub fn request(&self, call: u64) -> Bytes {
        let mut to = BytesMut::with_capacity(self.size());
        self.write(call, &mut to);
        to.freeze()
    }

    /// The request with gRPC's prefix.
    pub fn unary(&self, call: u64) -> Bytes {
        let mut to = BytesMut::with_capacity(self.size());
        to.put_bytes(0, PREFIX);
        self.write(call, &mut to);
        finish(to)
    }

    /// A batch of a stream around a request, with gRPC's prefix.
    pub fn batch(&self, id: u64, request: &[u8]) -> Bytes {
        let mut to = BytesMut::with_capacity(self.batch.len() + request.len() + 32);
        to.put_bytes(0, PREFIX);
        to.put_slice(&self.batch);
        // Field 1, a number.
        to.put_u8(1 << 3);
        wire::put_varint(usize::try_from(id).unwrap_or_default(), &mut to);
        wire::put_key(2, &mut to);
        wire::put_varint(request.len(), &mut to);
        to.put_slice(request);
        finish(to)
    }

    fn write(&self, call: u64, to: &mut BytesMut) {
        to.put_slice(&self.request);
        self.people.write(call, self.identifiers, self.seed, to);
    }

    /// About what a request takes: 28 bytes are enough for most of the made-up people.
    fn size(&self) -> usize {
        let identifiers = usize::try_from(self.identifiers).unwrap_or_default();
        PREFIX + self.request.len() + 32 * identifiers
    }

    pub fn people(&self) -> &People {
        &self.people
    }
}

/// The message after gRPC's prefix.
pub fn without_prefix(message: &Bytes) -> Bytes {
    message.slice(PREFIX.min(message.len())..)
}

/// Takes the next whole message off what has arrived; none if it is not all there yet.
pub fn next_message(arrived: &mut BytesMut) -> Option<Bytes> {
    let (prefix, _) = arrived.split_first_chunk::<PREFIX>()?;
    let [_, length @ ..] = *prefix;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    if arrived.len() < PREFIX + length {
        return None;
    }
    let mut message = arrived.split_to(PREFIX + length);
    Some(message.split_off(PREFIX).freeze())
}

/// Puts the length into the prefix.
fn finish(mut message: BytesMut) -> Bytes {
    let length = message.len().saturating_sub(PREFIX);
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    if let Some(place) = message.get_mut(1..PREFIX) {
        place.copy_from_slice(&length);
    }
    message.freeze()
}

fn duration(seconds: f64) -> prost_types::Duration {
    // Both come from checked arguments, far below a Duration's limits.
    Duration::from_secs_f64(seconds)
        .try_into()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use clap::Parser as _;

    use super::*;
    use crate::args::Line;

    #[test]
    fn batches_are_read_by_the_generated_code_and_taken_apart_again() {
        let line = "load stream --identifiers 200 --type open_id --max-age 0.5 --tenant acme";
        let line = Line::try_parse_from(line.split(' ')).unwrap();
        let common = line.mode.common();
        let messages = Messages::new(common, People::new(common).ok().unwrap());
        let request = messages.request(0);
        let mut arrived = BytesMut::from(&messages.batch(300, &request)[..]);
        arrived.extend_from_slice(&messages.unary(1));
        let batch = next_message(&mut arrived).unwrap();
        let batch = ResolveUserIdsStreamRequest::decode(batch).unwrap();
        assert_eq!((batch.batch_id, batch.timeout.unwrap().seconds), (300, 10));
        let request = batch.request.unwrap();
        assert_eq!(request.identifiers.len(), 200);
        assert_eq!(request.max_age.unwrap().nanos, 500_000_000);
        assert_eq!(request.user_id_types, [2]);
        assert!(next_message(&mut arrived).is_some());
        assert!(next_message(&mut arrived).is_none());
    }
}
