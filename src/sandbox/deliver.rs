//! How an answer travels: whole, cut, padded, or not at all. Knows nothing of what it says.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, HeaderValue};
use axum::http::{Response, StatusCode};
use futures_util::stream;
use serde_json::json;

use super::clock::http_date;
use super::faults::{BodyForm, Coded, Faults, Injected};
use super::gateway::{Endpoint, RATE_LIMITED};
use super::listener::HangUp;
use super::reply::{Refused, Reply};

const BAD_GATEWAY: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
    <center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";
const PORTAL: &str = "<!DOCTYPE html><html><body>Please sign in to this network.</body></html>";

/// One piece of an oversized body.
const FILLER: Bytes = Bytes::from_static(&[b'x'; 64 << 10]);
/// How long the first half of a broken body has to leave before the connection closes: closing at
/// once would drop what is still in the buffer.
const HALF_SENT: Duration = Duration::from_millis(20);

/// An answer and its manner of travel.
pub(super) struct Delivery {
    reply: Reply,
    manner: Manner,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Whole,
    Half,
    BreakOff,
    Padded(u64),
    HangUpAfter(Duration),
}

impl Delivery {
    pub(super) fn new(
        reply: Reply,
        injected: Option<&Injected>,
        faults: &Faults,
        endpoint: Endpoint,
        log_id: &str,
    ) -> Self {
        let (reply, manner) = match injected {
            None => (reply, Manner::Whole),
            Some(Injected::Code(coded)) => (code(coded, faults, endpoint, log_id), Manner::Whole),
            Some(Injected::Status(number, form)) => (status(*number, *form), Manner::Whole),
            Some(Injected::NotJson) => (Reply::html(StatusCode::OK, PORTAL), Manner::Whole),
            Some(Injected::TruncatedJson) => (reply, Manner::Half),
            Some(Injected::DropMidBody) => (reply, Manner::BreakOff),
            Some(Injected::OversizedBody) => (reply, Manner::Padded(faults.fault_oversized_bytes)),
            Some(Injected::Drop) => (reply, Manner::HangUpAfter(Duration::ZERO)),
            Some(Injected::Hang) => {
                let wait = Duration::from_secs(faults.fault_hang_seconds);
                (reply, Manner::HangUpAfter(wait))
            }
        };
        Self { reply, manner }
    }

    /// None if the connection closes without an answer.
    pub(super) fn status(&self) -> Option<StatusCode> {
        let closes = matches!(self.manner, Manner::HangUpAfter(_));
        (!closes).then_some(self.reply.status)
    }

    /// The code that the client can read.
    pub(super) fn code(&self) -> Option<i64> {
        let whole = self.manner == Manner::Whole;
        self.reply.code.filter(|_| whole)
    }

    /// Cancel-safe: whoever hangs up first ends it.
    pub(super) async fn send(mut self, log_id: &str, shown_ms: u64) -> Response<Body> {
        let date = http_date(shown_ms);
        let content = std::mem::take(&mut self.reply.body);
        let whole_length = content.len();
        let half = content.slice(..whole_length / 2);
        let body = match self.manner {
            Manner::Whole => Body::from(content),
            Manner::Half => Body::from(half),
            Manner::BreakOff => break_off(half),
            Manner::Padded(bytes) => padded(bytes),
            Manner::HangUpAfter(wait) => {
                tokio::time::sleep(wait).await;
                let mut response = Response::new(Body::empty());
                response.extensions_mut().insert(HangUp);
                return response;
            }
        };
        let mut response = self.reply.into_response(log_id, &date, body);
        if self.manner == Manner::BreakOff {
            let length = HeaderValue::from(whole_length);
            response.headers_mut().insert(CONTENT_LENGTH, length);
        }
        response
    }
}

/// An error code in the form in which the endpoint words errors.
fn code(coded: &Coded, faults: &Faults, endpoint: Endpoint, log_id: &str) -> Reply {
    let Coded { code, msg, status } = coded;
    if endpoint.is_token() {
        let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::OK);
        return Reply::json(status, *code, &json!({"code": code, "msg": msg}));
    }
    let mut refused = Refused::new(*status, *code, msg.as_str());
    if *code == RATE_LIMITED {
        refused = refused.rate(faults.quota_per_second, 1);
    }
    refused.reply(log_id)
}

fn status(status: u16, form: BodyForm) -> Reply {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    match form {
        BodyForm::Html => Reply::html(status, BAD_GATEWAY),
        BodyForm::Text => Reply::text(status, "upstream connect error or disconnect/reset"),
        BodyForm::Empty => Reply::text(status, ""),
    }
}

fn break_off(half: Bytes) -> Body {
    Body::from_stream(stream::unfold(Some(half), |half| async {
        if let Some(half) = half {
            return Some((Ok(half), None));
        }
        tokio::time::sleep(HALF_SENT).await;
        Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), None))
    }))
}

/// Valid JSON of about so many bytes, made as it is sent.
fn padded(bytes: u64) -> Body {
    const HEAD: &[u8] = br#"{"code":0,"msg":"success","data":{"user_list":[],"padding":""#;
    const TAIL: &[u8] = br#""}}"#;
    let piece = u64::try_from(FILLER.len()).unwrap_or(u64::MAX);
    let pieces = usize::try_from(bytes.div_ceil(piece)).unwrap_or(1);
    let all = std::iter::once(Bytes::from_static(HEAD))
        .chain(std::iter::repeat_n(FILLER, pieces))
        .chain(std::iter::once(Bytes::from_static(TAIL)));
    Body::from_stream(stream::iter(all.map(Ok::<Bytes, io::Error>)))
}
