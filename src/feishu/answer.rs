//! What an answer says, from its status, headers and bytes. Feishu's code is taken from the body
//! whatever the HTTP status. Pure.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use crate::directory::{DirectoryError, LookupBatch};

use super::{
    error::{self, Context},
    wire,
};

/// The head of an answer, as far as it matters.
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) log_id: Option<String>,
    pub(super) retry_after: Option<Duration>,
}

impl Head {
    pub(super) fn of(response: &reqwest::Response) -> Self {
        Self {
            status: response.status(),
            log_id: log_id(response.headers()),
            retry_after: retry_after(response.headers()),
        }
    }

    /// What the body says; the batch is whom it is about.
    pub(super) fn read<T: DeserializeOwned>(
        self,
        body: &[u8],
        batch: Option<&LookupBatch>,
    ) -> Result<T, DirectoryError> {
        let Self {
            status,
            log_id,
            retry_after,
        } = self;
        let mut envelope: wire::Envelope = serde_json::from_slice(body)
            .map_err(|why| error::not_json(status, log_id.clone(), describe(&why)))?;
        let body = envelope.error();
        let log_id = log_id.or_else(|| body.log_id.clone().filter(|id| wire::is_log_id(id)));
        if envelope.code != 0 {
            let context = Context {
                batch,
                body,
                log_id,
                retry_after,
                is_server_error: status.is_server_error(),
            };
            return Err(error::from_code(envelope.code, context));
        }
        if !status.is_success() {
            return Err(error::not_json(status, log_id, "contradicts its own body"));
        }
        serde_json::from_value(envelope.rest)
            .map_err(|_| error::not_json(status, log_id, "has another shape than documented"))
    }
}

/// Feishu's log ID, wherever it stands.
fn log_id(headers: &HeaderMap) -> Option<String> {
    ["x-tt-logid", "x-request-id"]
        .iter()
        .filter_map(|name| headers.get(*name)?.to_str().ok())
        .find(|id| wire::is_log_id(id))
        .map(str::to_owned)
}

/// How long Feishu's gateway asks to wait: whole seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("x-ogw-ratelimit-reset")?.to_str().ok()?;
    let seconds: u64 = value.trim().parse().ok()?;
    // It is a count of seconds within the window; anything else is not to be believed.
    Some(Duration::from_secs(seconds.clamp(1, 60)))
}

fn describe(why: &serde_json::Error) -> &'static str {
    if why.is_eof() {
        "is cut off"
    } else if why.is_syntax() {
        "is not JSON"
    } else {
        "has another shape than documented"
    }
}
