//! Answers as the simulated Feishu's gateway words them. Knows codes and texts, not when they
//! apply; `gateway`, `auth` and `lookup` choose.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");
const HTML: HeaderValue = HeaderValue::from_static("text/html");

/// Feishu's log id of a call.
const LOG_ID: HeaderName = HeaderName::from_static("x-tt-logid");
const RATE_LIMIT: HeaderName = HeaderName::from_static("x-ogw-ratelimit-limit");
const RATE_RESET: HeaderName = HeaderName::from_static("x-ogw-ratelimit-reset");

/// A complete answer, before faults of transport.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// What the body says; none if it is not Feishu's JSON.
    pub(super) code: Option<i64>,
    pub(super) body: Bytes,
    content_type: HeaderValue,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A refusal with an `error` object.
pub(super) struct Refused {
    status: u16,
    code: i64,
    msg: String,
    details: Vec<(&'static str, Value)>,
    rate: Option<(u32, u64)>,
}

impl Reply {
    pub(super) fn json(status: StatusCode, code: i64, body: &impl Serialize) -> Self {
        // Serialising what this module's callers build cannot fail: text keys only.
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self {
            status,
            code: Some(code),
            body: body.into(),
            content_type: JSON,
            headers: Vec::new(),
        }
    }

    pub(super) fn text(status: StatusCode, text: &'static str) -> Self {
        Self::plain(status, TEXT, text)
    }

    pub(super) fn html(status: StatusCode, text: &'static str) -> Self {
        Self::plain(status, HTML, text)
    }

    fn plain(status: StatusCode, content_type: HeaderValue, text: &'static str) -> Self {
        Self {
            status,
            code: None,
            body: Bytes::from_static(text.as_bytes()),
            content_type,
            headers: Vec::new(),
        }
    }

    /// What the gateway of the real one says to any address it does not have.
    pub(super) fn not_found() -> Self {
        Self::text(StatusCode::NOT_FOUND, "404 page not found")
    }

    /// The response with this body in place of its own.
    pub(super) fn into_response(self, log_id: &str, date: &str, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, self.content_type);
        for (name, text) in [(LOG_ID, log_id), (DATE, date)] {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        }
        headers.extend(self.headers);
        response
    }
}

impl Refused {
    pub(super) fn new(status: u16, code: i64, msg: impl Into<String>) -> Self {
        Self {
            status,
            code,
            msg: msg.into(),
            details: Vec::new(),
            rate: None,
        }
    }

    /// Adds a member to the `error` object.
    pub(super) fn with(mut self, name: &'static str, value: Value) -> Self {
        self.details.push((name, value));
        self
    }

    /// Adds `field_violations`, one for each field and its description.
    pub(super) fn violations<'a>(
        self,
        fields: impl IntoIterator<Item = (String, &'a str, &'a str)>,
    ) -> Self {
        let fields = fields.into_iter().map(|(field, value, description)| {
            json!({"field": field, "value": value, "description": description})
        });
        let fields = Value::Array(fields.collect());
        self.with("field_violations", fields)
    }

    /// Adds the headers that say when to come again.
    pub(super) fn rate(mut self, limit: u32, reset_seconds: u64) -> Self {
        self.rate = Some((limit, reset_seconds));
        self
    }

    pub(super) fn reply(self, log_id: &str) -> Reply {
        let code = self.code;
        let mut error = json!({
            "log_id": log_id,
            "troubleshooter": format!(
                "排查建议查看(Troubleshooting suggestions): \
                 https://open.feishu.cn/search?from=openapi&log_id={log_id}&code={code}"
            ),
        });
        if let Some(error) = error.as_object_mut() {
            error.extend(
                self.details
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value)),
            );
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let body = json!({"code": code, "msg": self.msg, "error": error});
        let mut reply = Reply::json(status, code, &body);
        if let Some((limit, reset)) = self.rate {
            reply.headers.push((RATE_LIMIT, HeaderValue::from(limit)));
            reply.headers.push((RATE_RESET, HeaderValue::from(reset)));
        }
        reply
    }
}
