//! `[telemetry]`: traces for an OpenTelemetry collector.

use super::{
    reader::Reader,
    value::{Raw, Value, quote},
};

/// Longest name of the service, in bytes.
const MAX_NAME: usize = 100;

/// Traces for an OpenTelemetry collector.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// Where spans are sent, by OTLP over gRPC; nowhere if there is none.
    pub otlp_endpoint: Option<String>,
    /// The part of the requests that are traced though their callers do not trace them: with 0.01 one
    /// in a hundred.
    pub trace_sample_ratio: f64,
    /// The service's name in every span.
    pub service_name: String,
    /// Whether calls to Feishu carry the `traceparent` header.
    pub traceparent_to_feishu: bool,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            // Enough to see where time goes at any load, at next to no cost.
            trace_sample_ratio: 0.01,
            service_name: "feishu-id".to_owned(),
            // It holds random numbers alone, and lets a gateway in between join the trace.
            traceparent_to_feishu: true,
        }
    }
}

impl TelemetryConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        let endpoint = reader.setting("telemetry.otlp_endpoint", Endpoint(None));
        let name = |name: &String| {
            let is_plain = name.chars().all(|c| c.is_ascii_graphic() || c == ' ');
            if is_plain && name.len() <= MAX_NAME {
                Ok(())
            } else {
                Err(format!("must be at most {MAX_NAME} plain characters"))
            }
        };
        Self {
            otlp_endpoint: endpoint.0,
            trace_sample_ratio: reader.ranged(
                "telemetry.trace_sample_ratio",
                default.trace_sample_ratio,
                0.0..=1.0,
            ),
            service_name: reader.checked("telemetry.service_name", default.service_name, name),
            traceparent_to_feishu: reader.setting(
                "telemetry.traceparent_to_feishu",
                default.traceparent_to_feishu,
            ),
        }
    }
}

/// A collector's URL, or none.
struct Endpoint(Option<String>);

impl Value for Endpoint {
    fn parse(raw: &Raw) -> Result<Self, String> {
        const EXPECTED: &str = "the collector's URL for OTLP over gRPC, such as \
                                \"http://127.0.0.1:4317\", or \"off\"";
        let text = String::parse(raw).map_err(|_| format!("expected {EXPECTED}"))?;
        if text == "off" {
            return Ok(Self(None));
        }
        let uri: http::Uri = text.parse().map_err(|_| format!("expected {EXPECTED}"))?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        if !is_http || authority.is_empty() {
            return Err(format!("expected {EXPECTED}"));
        }
        // It is shown, and stands in errors.
        if authority.contains('@') {
            let advice = "must not hold a user or password: give credentials as headers, in the \
                          variable OTEL_EXPORTER_OTLP_HEADERS";
            return Err(advice.to_owned());
        }
        if uri.query().is_some() || uri.path().len() > 1 {
            return Err("must end with the port: gRPC has paths of its own".to_owned());
        }
        Ok(Self(Some(text)))
    }

    fn show(&self) -> String {
        quote(self.0.as_deref().unwrap_or("off"))
    }
}
