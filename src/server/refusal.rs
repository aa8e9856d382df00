//! The statuses that the server itself gives, before or instead of a service's own. Called by
//! `request`.

use std::{collections::HashMap, time::Duration};

use http::{HeaderMap, HeaderValue, Response};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The `domain` of every `ErrorInfo` of this product.
const DOMAIN: &str = "feishu-id";

/// When to come back after having been shed: about as long as the longest answer under load.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The caller's deadline has passed without the service saying so itself.
pub(super) fn deadline_exceeded() -> Status {
    with_reason(
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
        "the deadline passed before the answer was complete",
    )
}

/// No answer began, and the caller had set no deadline.
pub(super) fn answer_overdue() -> Status {
    with_reason(
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
        "no answer began in time; set a deadline if a longer wait is meant",
    )
}

/// `grpc-timeout` is not by the protocol. INTERNAL like grpc-go, because it is the code of broken
/// framing: no client library sends such a header. Ignoring it would turn a caller's mistake into
/// a call without any deadline.
pub(super) fn malformed_timeout() -> Status {
    with_reason(
        Code::Internal,
        "INVALID_REQUEST",
        "malformed grpc-timeout: send 1 to 8 digits and one of H, M, S, m, u, n",
    )
}

/// A handler panicked; what it said is in the log of the panic hook, not here.
pub(super) fn panicked() -> Status {
    with_reason(
        Code::Internal,
        "INTERNAL",
        "the server failed on this request; see its log",
    )
}

/// Part of a request's message came, and the rest did not.
pub(super) fn message_overdue() -> Status {
    with_reason(
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
        "the rest of a message did not come in time; send each message whole",
    )
}

/// Too many requests at a time.
pub(super) fn overloaded() -> Status {
    shed("too many requests at a time; come back in a second")
}

/// Too many requests of one caller at a time.
pub(super) fn too_many_of_caller() -> Status {
    shed("too many requests of this caller at a time; come back in a second")
}

/// Requests hold as much memory as they may.
pub(super) fn no_memory() -> Status {
    shed("the requests in flight hold as much memory as they may; come back in a second")
}

fn shed(message: &str) -> Status {
    let mut details = ErrorDetails::with_error_info("OVERLOADED", DOMAIN, HashMap::new());
    details.set_retry_info(Some(RETRY_AFTER));
    let mut status = Status::with_error_details(Code::ResourceExhausted, message, details);
    // RetryInfo alone does not steer the retries of gRPC clients; this does (gRFC A6).
    let pushback = RETRY_AFTER.as_millis().to_string();
    if let Ok(pushback) = pushback.parse() {
        status
            .metadata_mut()
            .insert("grpc-retry-pushback-ms", pushback);
    }
    status
}

/// Gives an answer that is nothing but a bare refusal of the gRPC library's own (an unknown method,
/// a message that is too long or cannot be read) the `ErrorInfo` that every error here has.
pub(super) fn explain(headers: &mut HeaderMap) {
    let Some(bare) = Status::from_header_map(headers) else {
        return;
    };
    let reason = match bare.code() {
        Code::Unimplemented
        | Code::OutOfRange
        | Code::ResourceExhausted
        | Code::Internal
        | Code::InvalidArgument => "INVALID_REQUEST",
        _ => return,
    };
    if !bare.details().is_empty() {
        return;
    }
    let message = match (bare.code(), bare.message()) {
        (Code::Unimplemented, "") => {
            "there is no such method; `grpcurl ... list` tells which there are"
        }
        (_, message) => message,
    };
    let explained = with_reason(bare.code(), reason, message);
    for (name, value) in &trailers(&explained) {
        headers.insert(name, value.clone());
    }
}

/// A whole answer that is nothing but this status.
pub(super) fn response<B: Default>(status: &Status) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.headers_mut() = trailers(status);
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    response
}

/// The status as trailers.
pub(super) fn trailers(status: &Status) -> HeaderMap {
    let mut map = HeaderMap::new();
    if status.add_header(&mut map).is_err() {
        // Reached only if the details did not fit a header; the code always does.
        map.insert(Status::GRPC_STATUS, HeaderValue::from(status.code() as i32));
    }
    map
}

fn with_reason(code: Code, reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}
