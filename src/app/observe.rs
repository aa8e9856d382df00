//! What is shown of the running parts, and the listener that shows it.

use std::sync::Arc;

use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    audit::Audit,
    backoff::random,
    batch::Gauge,
    cache::Cache,
    clock,
    config::{HttpConfig, TelemetryConfig},
    grpc::health::HealthService,
    http::{self, Pages},
    memory::Memory,
    metrics::{self, MonthOfCalls, Registry, about},
    quota::Meter,
    server::Tls,
    store::{Store, StoreStats},
    telemetry::otlp::{self, Exporting, TraceSettings},
    trace::Tracing,
};

use super::AppError;

/// The listener for metrics and probes. If nobody asked for its address, that address being taken is
/// no reason not to serve.
pub(super) fn listen(config: &HttpConfig) -> Result<Option<TcpListener>, AppError> {
    let Some(address) = config.listen else {
        return Ok(None);
    };
    match super::listen("http.listen", address) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if config.is_asked_for => Err(error),
        Err(AppError::Listen { source, .. }) => {
            tracing::warn!(
                "no metrics and no probes over HTTP: cannot listen on {address}: {source}; \
                 give http.listen another address, or \"off\""
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The pages while they are served; gone when dropped.
pub(super) struct Serving(Option<(oneshot::Sender<()>, AbortOnDropHandle<()>)>);

impl Serving {
    pub(super) fn start(
        listener: Option<TcpListener>,
        registry: Registry,
        health: &HealthService,
    ) -> Self {
        Self(listener.map(|listener| {
            let health = health.clone();
            let pages = Pages {
                registry,
                is_ready: Arc::new(move || health.is_serving()),
            };
            let (end, ended) = oneshot::channel();
            let served = http::serve(listener, pages, async { drop(ended.await) });
            (end, AbortOnDropHandle::new(tokio::spawn(served)))
        }))
    }

    /// Finishes what is under way, within a bound of the pages' own.
    pub(super) async fn end(self) {
        if let Some((end, served)) = self.0 {
            drop(end);
            // A fault of theirs is in the log already.
            drop(served.await);
        }
    }
}

/// The traces of requests, on their way to a collector if there is one.
#[derive(Default)]
pub(super) struct Traces {
    pub(super) tracing: Tracing,
    exporting: Option<Exporting>,
}

impl Traces {
    pub(super) fn start(config: &TelemetryConfig, registry: &Registry) -> Result<Self, AppError> {
        let Some(endpoint) = &config.otlp_endpoint else {
            return Ok(Self::default());
        };
        let settings = TraceSettings {
            endpoint: endpoint.clone(),
            service_name: config.service_name.clone(),
            ratio: config.trace_sample_ratio,
            random,
        };
        let (tracing, exporting) = otlp::start(&settings).map_err(AppError::Traces)?;
        for (result, read) in [
            ("sent", otlp::Counts::sent as fn(&otlp::Counts) -> u64),
            ("failed", otlp::Counts::failed),
            ("dropped", otlp::Counts::dropped),
        ] {
            let counts = exporting.counts();
            let labels = [("result", result)];
            registry.counter(&about::TRACE_SPANS, &labels, move || read(&counts));
        }
        Ok(Self {
            tracing,
            exporting: Some(exporting),
        })
    }

    /// Sends what is still on its way, within a bound.
    pub(super) async fn close(self) {
        // Nobody begins another one.
        drop(self.tracing);
        if let Some(exporting) = self.exporting {
            exporting.close().await;
        }
    }
}

/// Shows the process itself.
pub(super) fn process(registry: &Registry) {
    metrics::watch_process(registry, clock::wall_now());
}

/// Shows the cache.
pub(super) fn cache(registry: &Registry, cache: &Arc<Cache>) {
    let cache = Arc::downgrade(cache);
    registry.gauge(&about::CACHE_ENTRIES, &[], move || {
        count(cache.upgrade().map_or(0, |cache| cache.len()))
    });
}

/// Shows until when the certificate is good, if there is one.
pub(super) fn certificate(registry: &Registry, tls: Option<&Tls>) {
    if let Some(tls) = tls.cloned() {
        registry.gauge(&about::TLS_CERTIFICATE_EXPIRY, &[], move || {
            size(tls.expires())
        });
    }
}

/// Shows who asks, and who was refused.
pub(super) fn audit(registry: &Registry, audit: &Audit) {
    let (callers, refused) = (audit.clone(), audit.clone());
    metrics::watch(registry, &about::CALLER_IDENTIFIERS, move |show| {
        callers.each_caller(|caller, outcome, count| {
            show(&[("caller", caller), ("outcome", outcome)], count);
        });
    });
    metrics::watch(registry, &about::REFUSED_CALLERS, move |show| {
        refused.each_refusal(|reason, count| show(&[("reason", reason)], count));
    });
}

/// Shows what requests hold, of how much.
pub(super) fn memory(registry: &Registry, memory: &Memory, limit: usize) {
    let memory = memory.clone();
    registry.gauge(&about::REQUEST_MEMORY, &[], move || count(memory.held()));
    registry.gauge(&about::REQUEST_MEMORY_LIMIT, &[], move || count(limit));
}

/// Shows a tenant's queue.
pub(super) fn queue(registry: &Registry, tenant: &str, queue: Gauge) {
    let labels = [("tenant", tenant)];
    let breaker = queue.clone();
    registry.gauge(&about::QUEUE_DEPTH, &labels, move || count(queue.waiting()));
    registry.gauge(&about::BREAKER_OPEN, &labels, move || {
        f64::from(u8::from(breaker.is_left_alone()))
    });
}

/// Shows the store.
pub(super) fn store(registry: &Registry, store: &Arc<dyn Store>) {
    let read = |store: &Arc<dyn Store>, value: fn(StoreStats) -> u64| {
        let store = Arc::downgrade(store);
        move || store.upgrade().map_or(0, |store| value(store.stats()))
    };
    let gauge = |about, value| {
        let read = read(store, value);
        registry.gauge(about, &[], move || size(read()));
    };
    gauge(&about::STORE_RECORDS, |stats| stats.records);
    gauge(&about::STORE_SIZE, |stats| stats.bytes);
    let dropped = read(store, |stats| stats.dropped);
    registry.counter(&about::STORE_DROPPED, &[], dropped);
    let failures = read(store, |stats| stats.failed_reads + stats.failed_writes);
    registry.counter(&about::STORE_FAILURES, &[], failures);
}

/// Shows a tenant's month.
pub(super) fn month(registry: &Registry, tenant: &str, meter: Arc<Meter>) {
    metrics::watch_month(registry, tenant, move || {
        let usage = meter.usage();
        MonthOfCalls {
            made: usage.calls,
            limit: usage.limit,
            is_nearly_spent: usage.is_nearly_spent(),
        }
    });
}

#[expect(
    clippy::cast_precision_loss,
    reason = "what fits into memory is far below 2^53"
)]
fn count(things: usize) -> f64 {
    things as f64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "what fits onto a disk is far below 2^53, and so are seconds until a certificate ends"
)]
fn size(things: u64) -> f64 {
    things as f64
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn only_an_address_that_was_asked_for_must_be_free() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = |is_asked_for| HttpConfig {
            listen: taken.local_addr().ok(),
            is_asked_for,
        };
        assert!(listen(&config(false)).unwrap().is_none());
        assert!(listen(&config(true)).is_err());
    }
}
