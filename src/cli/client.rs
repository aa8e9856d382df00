//! A running server, as the commands that ask one reach it.

use std::time::Duration;

use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use crate::pb::identity::{Identifier, identifier::Kind};

use super::Failure;

/// How long a server may take to accept the connection. A round trip around the world takes 0.3 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to a server that somebody has named.
pub(super) async fn connect(url: &str) -> Result<Channel, Failure> {
    let url = normalise(url)?;
    let endpoint = Endpoint::from_shared(url.clone())
        .map_err(|_| Failure::Usage(format!("--server: {EXPECTED}")))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    // The timeout above covers the TCP connection alone, not a name that is slow to resolve.
    let connected = tokio::time::timeout(2 * CONNECT_TIMEOUT, endpoint.connect()).await;
    let cause = match connected {
        Ok(Ok(channel)) => return Ok(channel),
        Ok(Err(error)) => root_cause(&error),
        Err(_) => "no answer in time".to_owned(),
    };
    Err(Failure::Unreachable(format!(
        "cannot reach {url}: {cause}; is `feishu-id serve` running there?"
    )))
}

const EXPECTED: &str = "expected a URL such as http://127.0.0.1:50051";

fn normalise(url: &str) -> Result<String, Failure> {
    if url.starts_with("https://") {
        let message = "--server: https is not supported yet: use http:// on a trusted network";
        return Err(Failure::Usage(message.to_owned()));
    }
    let with_scheme = if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    };
    let authority = with_scheme
        .strip_prefix("http://")
        .map(|rest| rest.trim_end_matches('/'))
        .filter(|rest| !rest.is_empty() && !rest.contains(['/', '?', '#', '@', ' ']));
    match authority {
        Some(authority) => Ok(format!("http://{authority}")),
        None => Err(Failure::Usage(format!("--server: {EXPECTED}"))),
    }
}

/// The innermost error: the outer ones say "transport error".
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// An e-mail address if it has an @, else a mobile number.
pub(super) fn identifier(text: &str) -> Identifier {
    let text = text.trim();
    let kind = if text.contains('@') {
        Kind::Email(text.to_owned())
    } else {
        Kind::Mobile(text.to_owned())
    };
    Identifier { kind: Some(kind) }
}

/// What a call's failure means for the command.
pub(super) fn failure_of(status: &Status) -> Failure {
    let message = match std::error::Error::source(status) {
        Some(source) => root_cause(source),
        None => status.message().to_owned(),
    };
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition => Failure::Usage(format!("the server refuses: {message}")),
        Code::Unavailable => Failure::Unreachable(format!("the server has gone: {message}")),
        code => Failure::Unreachable(format!(
            "the server answers {code:?}: {message}; is it a feishu-id server of this version?"
        )),
    }
}
