//! Answers as the fuzz targets give them: built only for them.

use std::collections::HashMap;

use http::StatusCode;
use secrecy::ExposeSecret as _;

use crate::{
    directory::{DirectoryError, LookupBatch},
    identity::{Identifier, Person},
};

use super::{answer::Head, api, wire};

fn head(status: u16) -> Head {
    Head {
        status: StatusCode::from_u16(status).unwrap_or_default(),
        log_id: None,
        retry_after: None,
    }
}

/// What becomes of that answer to a lookup.
///
/// # Errors
/// As the lookup's.
pub fn lookup(
    status: u16,
    body: &[u8],
    batch: &LookupBatch,
) -> Result<HashMap<Identifier, Vec<Person>>, DirectoryError> {
    let reply: wire::LookupReply = head(status).read(body, Some(batch))?;
    let people = reply.data.map(|data| data.into_people(batch));
    Ok(people.unwrap_or_default())
}

/// The token and its life in seconds that an answer to a request for one gives.
///
/// # Errors
/// As the request's.
pub fn token(status: u16, body: &[u8]) -> Result<(String, u64), DirectoryError> {
    let answer: wire::TokenAnswer = head(status).read(body, None)?;
    let fetched = api::usable(answer)?;
    let token = fetched.value.expose_secret().to_owned();
    Ok((token, fetched.expires_in.as_secs()))
}
