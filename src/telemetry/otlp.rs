//! Spans to an OpenTelemetry collector, over OTLP/gRPC. They leave in batches, from a thread of the
//! SDK's own: a collector that is slow or gone costs a bounded queue of spans, and nobody's time.

mod counted;

use std::{sync::Arc, time::Duration};

use opentelemetry::{InstrumentationScope, KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider},
};
use tokio::time::timeout;
use tonic::transport::ClientTlsConfig;

use crate::trace::Tracing;

use counted::{Exporter, Processor};

pub use counted::Counts;

/// Spans that wait to be sent: the SDK's default. Some 1 kB each, so 2 MB.
const MAX_WAITING: usize = 2048;
/// Spans sent at a time: the SDK's default, half a megabyte at most.
const MAX_TOGETHER: usize = 512;
/// Time for one delivery, all attempts together. A collector is near.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Time at the end for what still waits: a stop must not hang on a collector.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// The version of the semantic conventions that the names of attributes are taken from.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.45.0";

/// Where spans go, and which.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// The collector's URL.
    pub endpoint: String,
    /// The service's name in every span.
    pub service_name: String,
    /// The part of the requests that are traced though their callers do not trace them: 0 to 1.
    pub ratio: f64,
    /// Where numbers from 0 up to 1 come from.
    pub random: fn() -> f64,
}

/// Spans could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.otlp_endpoint: {0}")]
pub struct SetupError(String);

/// The way to the collector; open until [`Exporting::close`].
pub struct Exporting {
    provider: SdkTracerProvider,
    counts: Arc<Counts>,
}

/// Begins to send spans. There must be a runtime: the connection lives in it. Connects to nobody yet.
///
/// # Errors
/// If the URL is none that can be sent to.
pub fn start(settings: &TraceSettings) -> Result<(Tracing, Exporting), SetupError> {
    let mut exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&settings.endpoint)
        .with_timeout(SEND_TIMEOUT);
    if settings.endpoint.starts_with("https:") {
        exporter = exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots());
    }
    // Its text can hold the URL, in which there is no secret: the configuration has seen to that.
    let exporter = exporter
        .build()
        .map_err(|error| SetupError(error.to_string()))?;
    let counts = Arc::new(Counts::default());
    // How long a span waits for others is the SDK's default, 5 s, or what OTEL_BSP_SCHEDULE_DELAY says.
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(MAX_WAITING)
        .with_max_export_batch_size(MAX_TOGETHER)
        .build();
    let processor = BatchSpanProcessor::builder(Exporter::new(exporter, counts.clone()))
        .with_batch_config(batches)
        .build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Processor::new(processor, counts.clone(), MAX_WAITING))
        // Who is sampled is decided before there is a span.
        .with_sampler(Sampler::AlwaysOn)
        .with_resource(resource(settings))
        .build();
    let scope = InstrumentationScope::builder("feishu-id")
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(SCHEMA)
        .build();
    let tracer = provider.tracer_with_scope(scope);
    let tracing = Tracing::new(tracer, settings.ratio, settings.random);
    Ok((tracing, Exporting { provider, counts }))
}

/// Who sends: beside what is set here, what `OTEL_RESOURCE_ATTRIBUTES` says.
fn resource(settings: &TraceSettings) -> Resource {
    Resource::builder()
        .with_service_name(settings.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

impl Exporting {
    /// How many spans have gone where.
    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Sends what still waits, within a bound.
    pub async fn close(self) {
        let provider = self.provider;
        // It blocks its thread for as long as it waits.
        let closed =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT));
        let is_whole = matches!(timeout(2 * FLUSH_TIMEOUT, closed).await, Ok(Ok(Ok(()))));
        if !is_whole {
            tracing::warn!("the last spans have not all reached the collector");
        }
    }
}

impl std::fmt::Debug for Exporting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporting").finish_non_exhaustive()
    }
}
