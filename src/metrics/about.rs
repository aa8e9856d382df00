//! Every metric: its name, what it tells, and its unit. `feishu_id_` goes before each name, the unit
//! after it, and `_total` after a counter's.

use prometheus_client::{metrics::MetricType, registry::Unit};

/// What goes before every name.
pub(super) const PREFIX: &str = "feishu_id";

/// How names begin that every process' metrics have, whatever it does: Prometheus' own convention,
/// without our prefix.
pub(super) const OF_ANY_PROCESS: &str = "process_";

/// One metric.
#[derive(Debug)]
pub struct About {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) unit: Option<Unit>,
    pub(super) kind: MetricType,
    /// Its labels, if it has any: each with few values.
    pub(super) labels: &'static [&'static str],
}

impl About {
    /// As it stands in Prometheus, without what is appended to a histogram's series.
    pub fn full_name(&self) -> String {
        let prefix = if self.is_of_any_process() {
            String::new()
        } else {
            format!("{PREFIX}_")
        };
        let unit = self.unit().map(|unit| format!("_{unit}"));
        let total = match self.kind {
            MetricType::Counter => "_total",
            _ => "",
        };
        format!("{prefix}{}{}{total}", self.name, unit.unwrap_or_default())
    }

    /// What it tells.
    pub fn help(&self) -> &'static str {
        self.help
    }

    /// The unit of its values, if they have one.
    pub fn unit(&self) -> Option<&str> {
        self.unit.as_ref().map(Unit::as_str)
    }

    /// `counter`, `gauge` or `histogram`.
    pub fn kind(&self) -> &'static str {
        match self.kind {
            MetricType::Counter => "counter",
            MetricType::Histogram => "histogram",
            _ => "gauge",
        }
    }

    /// Its labels.
    pub fn labels(&self) -> &'static [&'static str] {
        self.labels
    }

    pub(super) fn is_of_any_process(&self) -> bool {
        self.name.starts_with(OF_ANY_PROCESS)
    }
}

macro_rules! metrics {
    ($($(#[$exported:meta])* $id:ident: $kind:ident $name:literal $(in $unit:ident)?
        $(by [$($label:ident),*])?, $help:literal;)*) => {
        $(
            $(#[$exported])*
            pub static $id: About = About {
                name: $name,
                help: $help,
                unit: metrics!(@unit $($unit)?),
                kind: MetricType::$kind,
                labels: &[$($(stringify!($label)),*)?],
            };
        )*

        /// Every metric there is.
        pub static ALL: &[&About] = &[$(&$id),*];
    };
    (@unit) => { None };
    (@unit $unit:ident) => { Some(Unit::$unit) };
}

metrics! {
    /// `feishu_id_build_info`
    BUILD: Gauge "build_info" by [version], "The version that runs; always 1.";

    // The rim.
    /// `feishu_id_requests_total`
    REQUESTS: Counter "requests" by [rpc, code], "Requests that have ended, by RPC and gRPC status code.";
    /// `feishu_id_request_duration_seconds`
    REQUEST_DURATION: Histogram "request_duration" in Seconds by [rpc, code],
        "From a request's headers to the end of its answer, by RPC and gRPC status code.";
    /// `feishu_id_requests_in_flight`
    REQUESTS_IN_FLIGHT: Gauge "requests_in_flight" by [rpc], "Requests being answered now, by RPC.";
    /// `feishu_id_connections`
    CONNECTIONS: Gauge "connections", "Open connections of gRPC clients.";
    /// `feishu_id_connections_refused_total`
    CONNECTIONS_REFUSED: Counter "connections_refused" by [reason],
        "Connections closed as soon as they came, by reason.";
    /// `feishu_id_tls_handshakes_failed_total`
    TLS_HANDSHAKES_FAILED: Counter "tls_handshakes_failed" by [reason],
        "TLS handshakes that came to nothing, by reason.";
    /// `feishu_id_tls_certificate_expiry_seconds`
    TLS_CERTIFICATE_EXPIRY: Gauge "tls_certificate_expiry" in Seconds,
        "The moment at which the certificate in use expires, in seconds since 1970. With tls.certificate.";
    /// `feishu_id_connection_floods_total`
    CONNECTION_FLOODS: Counter "connection_floods",
        "Connections ended because their clients flooded them: frames that carry no request, streams, resets. Further ones of that peer wait half a second.";
    /// `feishu_id_request_memory_bytes`
    REQUEST_MEMORY: Gauge "request_memory" in Bytes,
        "Memory counted against grpc.max_bytes_in_flight: large messages, people being looked up, large answers.";
    /// `feishu_id_request_memory_limit_bytes`
    REQUEST_MEMORY_LIMIT: Gauge "request_memory_limit" in Bytes, "The value of grpc.max_bytes_in_flight.";

    // Callers.
    /// `feishu_id_caller_identifiers_total`
    CALLER_IDENTIFIERS: Counter "caller_identifiers" by [caller, outcome],
        "Identifiers answered, by caller and outcome.";
    /// `feishu_id_refused_callers_total`
    REFUSED_CALLERS: Counter "refused_callers" by [reason],
        "Requests refused because of who calls: no valid credential, not allowed, or too many in flight.";

    // Answers.
    /// `feishu_id_identifiers_total`
    IDENTIFIERS: Counter "identifiers" by [tenant, outcome, source],
        "Identifiers answered, by outcome and by where the answer came from.";
    /// `feishu_id_cache_entries`
    CACHE_ENTRIES: Gauge "cache_entries", "Identifiers whose answers are in memory.";

    // The way to Feishu.
    /// `feishu_id_queue_depth`
    QUEUE_DEPTH: Gauge "queue_depth" by [tenant], "Identifiers that wait for a call to Feishu.";
    /// `feishu_id_breaker_open`
    BREAKER_OPEN: Gauge "breaker_open" by [tenant],
        "1 while Feishu is left alone after repeated failures, but for a probe now and then.";
    /// `feishu_id_quota_wait_seconds`
    QUOTA_WAIT: Histogram "quota_wait" in Seconds by [tenant],
        "How long what was ready to leave waited for the rate limit, for each call.";
    /// `feishu_id_quota_month_calls`
    QUOTA_MONTH_CALLS: Gauge "quota_month_calls" by [tenant], "Calls to Feishu counted in this month.";
    /// `feishu_id_quota_month_limit`
    QUOTA_MONTH_LIMIT: Gauge "quota_month_limit" by [tenant], "Calls to Feishu allowed in a month. With quota.per_month.";
    /// `feishu_id_quota_month_warning`
    QUOTA_MONTH_WARNING: Gauge "quota_month_warning" by [tenant],
        "1 once 80 % of the month's calls to Feishu are spent. With quota.per_month.";
    /// `feishu_id_upstream_calls_total`
    UPSTREAM_CALLS: Counter "upstream_calls" by [tenant, endpoint, result], "Calls to Feishu, by endpoint and result.";
    /// `feishu_id_upstream_call_duration_seconds`
    UPSTREAM_CALL_DURATION: Histogram "upstream_call_duration" in Seconds by [tenant, endpoint, result],
        "From a call's departure to the end of Feishu's answer, by endpoint and result.";
    /// `feishu_id_upstream_call_identifiers`
    UPSTREAM_CALL_IDENTIFIERS: Histogram "upstream_call_identifiers" by [tenant],
        "Identifiers in each lookup call to Feishu.";
    /// `feishu_id_token_refreshes_total`
    TOKEN_REFRESHES: Counter "token_refreshes" by [tenant, result],
        "Access tokens asked of Feishu, by what came of it.";

    // The store.
    /// `feishu_id_store_records`
    STORE_RECORDS: Gauge "store_records", "Answers in the store. With data.dir.";
    /// `feishu_id_store_bytes`
    STORE_SIZE: Gauge "store" in Bytes, "Size of the store. With data.dir.";
    /// `feishu_id_store_dropped_total`
    STORE_DROPPED: Counter "store_dropped",
        "Answers that were not stored, because more came than could be written. With data.dir.";
    /// `feishu_id_store_failures_total`
    STORE_FAILURES: Counter "store_failures", "Reads and writes of the store that failed. With data.dir.";

    // The configuration.
    /// `feishu_id_config_reloads_total`
    CONFIG_RELOADS: Counter "config_reloads" by [result],
        "Times that the configuration was read anew, by whether it was applied or refused.";
    /// `feishu_id_config_last_reload_successful`
    CONFIG_LAST_RELOAD_SUCCESSFUL: Gauge "config_last_reload_successful",
        "0 while the configuration last read is refused and the one before stays in force, else 1.";
    /// `feishu_id_config_last_reload_success_timestamp_seconds`
    CONFIG_LAST_RELOAD_AT: Gauge "config_last_reload_success_timestamp" in Seconds,
        "When the configuration in force was applied, in seconds since 1970.";

    // Traces.
    /// `feishu_id_trace_spans_total`
    TRACE_SPANS: Counter "trace_spans" by [result],
        "Spans of traced requests: sent to the collector, not taken by it, or dropped because too many waited. With telemetry.otlp_endpoint.";

    // The process, by the names that every process' metrics have.
    /// `process_cpu_seconds_total`
    PROCESS_CPU: Counter "process_cpu" in Seconds, "Processor time spent.";
    /// `process_resident_memory_bytes`
    PROCESS_MEMORY: Gauge "process_resident_memory" in Bytes, "Memory in use.";
    /// `process_open_fds`
    PROCESS_FDS: Gauge "process_open_fds", "Open file descriptors.";
    /// `process_max_fds`
    PROCESS_MAX_FDS: Gauge "process_max_fds", "Most file descriptors that may be open.";
    /// `process_start_time_seconds`
    PROCESS_START: Gauge "process_start_time" in Seconds,
        "When the process started, since 1970 (UTC).";
}
