//! What becomes of spans is counted, and a collector that does not take them is told of now and then:
//! the SDK itself says nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter as Otlp;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};
use tokio::time::Instant;

use crate::log_limit::LogLimit;

/// How many spans have gone where.
#[derive(Debug, Default)]
pub struct Counts {
    waiting: AtomicUsize,
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    complaints: LogLimit<()>,
}

impl Counts {
    /// Taken by the collector.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Not taken by it.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Not even sent: too many waited.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Sends, and counts.
#[derive(Debug)]
pub(super) struct Exporter {
    inner: Otlp,
    counts: Arc<Counts>,
}

impl Exporter {
    pub(super) fn new(inner: Otlp, counts: Arc<Counts>) -> Self {
        Self { inner, counts }
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.inner.export(batch).await;
        self.counts.waiting.fetch_sub(spans, Ordering::Relaxed);
        let count = u64::try_from(spans).unwrap_or_default();
        match &result {
            Ok(()) => self.counts.sent.fetch_add(count, Ordering::Relaxed),
            Err(error) => {
                if let Some(untold) = self.counts.complaints.tell((), Instant::now()) {
                    // Says the gRPC code, and nothing of what the collector wrote.
                    tracing::warn!(spans, untold, "spans are lost: {error}");
                }
                self.counts.failed.fetch_add(count, Ordering::Relaxed)
            }
        };
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Lets so many spans wait, and counts those that are too many.
#[derive(Debug)]
pub(super) struct Processor {
    inner: BatchSpanProcessor,
    counts: Arc<Counts>,
    most: usize,
}

impl Processor {
    pub(super) fn new(inner: BatchSpanProcessor, counts: Arc<Counts>, most: usize) -> Self {
        Self {
            inner,
            counts,
            most,
        }
    }
}

impl SpanProcessor for Processor {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.counts.waiting.fetch_add(1, Ordering::Relaxed) < self.most {
            self.inner.on_end(span);
        } else {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
