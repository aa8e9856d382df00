//! A running server, as the commands that ask one reach it.

mod access;

use std::{net::IpAddr, time::Duration};

use tonic::{
    Code, Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use crate::pb::identity::{Identifier, identifier::Kind};

use super::Failure;
pub(super) use access::{AccessArgs, ApiKey};

/// How long a server may take to accept the connection. A round trip around the world takes 0.3 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A way to a server, with what lets the command in.
pub(super) type Line = InterceptedService<Channel, ApiKey>;

/// Connects to a server that somebody has named.
pub(super) async fn connect(url: &str, access: &AccessArgs) -> Result<Line, Failure> {
    let url = normalise(url)?;
    let key = access.api_key()?;
    let mut endpoint = Endpoint::from_shared(url.clone())
        .map_err(|_| Failure::Usage(format!("--server: {EXPECTED}")))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    if url.starts_with("https://") {
        let made = endpoint.tls_config(access.tls()?);
        endpoint = made.map_err(|error| {
            Failure::Usage(format!(
                "cannot speak TLS with {url}: {}",
                root_cause(&error)
            ))
        })?;
    } else if let Some(flag) = access.given_for_https() {
        let message = format!("{flag} is for a server behind https://, not {url}");
        return Err(Failure::Usage(message));
    } else if key.is_given() && !is_here(&url) {
        tracing::warn!("the API key can be read on its way to {url}: use https");
    }
    // The timeout above covers the TCP connection alone, neither a name that is slow to resolve nor
    // TLS.
    let connected = tokio::time::timeout(2 * CONNECT_TIMEOUT, endpoint.connect()).await;
    let cause = match connected {
        Ok(Ok(channel)) => return Ok(InterceptedService::new(channel, key)),
        Ok(Err(error)) => root_cause(&error),
        Err(_) => "no answer in time".to_owned(),
    };
    let advice = advice(&cause).unwrap_or("is `feishu-id serve` running there?");
    Err(Failure::Unreachable(format!(
        "cannot reach {url}: {cause}; {advice}"
    )))
}

/// The same inside this process, where everybody is let in.
pub(super) fn inside(channel: Channel) -> Line {
    InterceptedService::new(channel, ApiKey::default())
}

const EXPECTED: &str = "expected a URL such as http://127.0.0.1:50051 or https://ids.example:50051";
/// The reason in the error of a server whose store could not be written.
const STORE_UNAVAILABLE: &str = "STORE_UNAVAILABLE";

fn normalise(url: &str) -> Result<String, Failure> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority = rest.trim_end_matches('/');
    let is_authority = !authority.is_empty() && !authority.contains(['/', '?', '#', '@', ' ']);
    if matches!(scheme, "http" | "https") && is_authority {
        return Ok(format!("{scheme}://{authority}"));
    }
    Err(Failure::Usage(format!("--server: {EXPECTED}")))
}

/// Whether it is on this machine.
fn is_here(url: &str) -> bool {
    let url = url.parse::<http::Uri>();
    let host = url
        .as_ref()
        .ok()
        .and_then(http::Uri::host)
        .unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// What to do about a connection that did not come about, or did not last.
fn advice(cause: &str) -> Option<&'static str> {
    [
        (
            "UnknownIssuer",
            "if it is the right server, give the certificate that vouches for it by --ca-file",
        ),
        (
            "CertificateRequired",
            "the server wants a certificate: give --certificate and --key",
        ),
        (
            "received fatal alert",
            "the server refuses this certificate (--certificate)",
        ),
        // What is often seen in place of these, when the connection ends before the call has begun.
        (
            "connection closed",
            "a server with TLS wants https://, and perhaps a certificate that it trusts (--certificate and \
             --key)",
        ),
        ("InvalidContentType", "it does not speak TLS: try http://"),
        ("speaks TLS", "try https://"),
    ]
    .into_iter()
    .find_map(|(part, advice)| cause.contains(part).then_some(advice))
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
    if let Some(advice) = advice(&message) {
        return Failure::Unreachable(format!("the connection broke off: {message}; {advice}"));
    }
    match status.code() {
        Code::Unauthenticated => Failure::Usage(format!(
            "the server refuses: {message}; give an API key (FEISHU_ID_API_KEY, --api-key-file) or a \
             certificate (--certificate, --key)"
        )),
        Code::InvalidArgument
        | Code::NotFound
        | Code::PermissionDenied
        | Code::FailedPrecondition => Failure::Usage(format!("the server refuses: {message}")),
        Code::Unavailable => match status.get_details_error_info() {
            // It has answered, and what it cannot do has nothing to do with Feishu.
            Some(info) if info.reason == STORE_UNAVAILABLE => {
                Failure::NotNow(format!("the server could not do it, try again: {message}"))
            }
            Some(_) => Failure::Unreachable(format!("the server answers: {message}")),
            None => Failure::Unreachable(format!("the server has gone: {message}")),
        },
        code => Failure::Unreachable(format!(
            "the server answers {code:?}: {message}; is it a feishu-id server of this version?"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_here() {
        for url in [
            "http://127.0.0.1:1",
            "http://localhost",
            "http://localhost:1",
            "http://[::1]:1",
            "http://[::1]",
            "http://127.9.9.9",
        ] {
            assert!(is_here(url), "{url}");
        }
        for url in [
            "http://192.0.2.1:1",
            "http://localhost.example:1",
            "http://[2001:db8::1]:1",
        ] {
            assert!(!is_here(url), "{url}");
        }
    }
}
