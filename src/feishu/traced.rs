//! The spans of calls to Feishu, for requests that are sampled, by OpenTelemetry's conventions for HTTP
//! clients. The URL is the one of the endpoint: the app's secret, the token and whom it is about travel
//! in header and body.

use http::StatusCode;

use crate::{
    directory::DirectoryError,
    metrics::CallResult,
    trace::{self, Span},
};

/// One call over HTTP.
pub(super) struct CallSpan(Span);

impl CallSpan {
    /// Begins now, if what is being worked on is sampled.
    pub(super) fn begin(base_url: &str, path: &str) -> Self {
        let Some(parent) = trace::parent() else {
            return Self(Span::default());
        };
        let mut span = parent.call("POST");
        if !span.is_on() {
            return Self(span);
        }
        span.set("http.request.method", "POST");
        span.set("url.full", format!("{base_url}{path}"));
        if let Ok(uri) = base_url.parse::<http::Uri>() {
            let default = if uri.scheme_str() == Some("http") {
                80
            } else {
                443
            };
            span.set("server.address", uri.host().unwrap_or_default().to_owned());
            let port = uri.port_u16().unwrap_or(default);
            span.set("server.port", i64::from(port));
        }
        Self(span)
    }

    pub(super) fn traceparent(&self) -> Option<String> {
        self.0.traceparent()
    }

    /// The answer has begun.
    pub(super) fn answered(&mut self, status: StatusCode) {
        let status = i64::from(status.as_u16());
        self.0.set("http.response.status_code", status);
    }

    /// It is over. Feishu's own code and log ID are what its support asks for.
    pub(super) fn end(mut self, error: Option<&DirectoryError>, result: CallResult) {
        let Some(error) = error.filter(|_| self.0.is_on()) else {
            return;
        };
        if let Some(code) = error.code {
            self.0.set("feishu.code", code);
        }
        if let Some(log_id) = &error.log_id {
            self.0.set("feishu.log_id", log_id.clone());
        }
        self.0.fail(result.name());
    }
}
