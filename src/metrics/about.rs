//! Every metric: its name, what it tells, and its unit. `feishu_id_` goes before each name, the unit
//! after it, and `_total` after a counter's.

use prometheus_client::{metrics::MetricType, registry::Unit};

/// What goes before every name.
pub(super) const PREFIX: &str = "feishu_id";

/// One metric.
#[derive(Debug)]
pub struct About {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) unit: Option<Unit>,
    pub(super) kind: MetricType,
}

macro_rules! metrics {
    ($($(#[$exported:meta])* $id:ident: $kind:ident $name:literal $(in $unit:ident)?, $help:literal;)*) => {$(
        $(#[$exported])*
        pub static $id: About = About {
            name: $name,
            help: $help,
            unit: metrics!(@unit $($unit)?),
            kind: MetricType::$kind,
        };
    )*};
    (@unit) => { None };
    (@unit $unit:ident) => { Some(Unit::$unit) };
}

metrics! {
    /// `feishu_id_build_info`
    BUILD: Gauge "build_info", "The version that runs; always 1.";

    // The rim.
    /// `feishu_id_requests_total`
    REQUESTS: Counter "requests", "Requests that have ended, by RPC and gRPC status code.";
    /// `feishu_id_request_duration_seconds`
    REQUEST_DURATION: Histogram "request_duration" in Seconds,
        "From a request's headers to the end of its answer, by RPC and gRPC status code.";
    /// `feishu_id_requests_in_flight`
    REQUESTS_IN_FLIGHT: Gauge "requests_in_flight", "Requests being answered now, by RPC.";
    /// `feishu_id_connections`
    CONNECTIONS: Gauge "connections", "Open connections of gRPC clients.";

    // Answers.
    /// `feishu_id_identifiers_total`
    IDENTIFIERS: Counter "identifiers",
        "Identifiers answered, by outcome and by where the answer came from.";
    /// `feishu_id_cache_entries`
    CACHE_ENTRIES: Gauge "cache_entries", "Identifiers whose answers are in memory.";

    // The way to Feishu.
    /// `feishu_id_queue_depth`
    QUEUE_DEPTH: Gauge "queue_depth", "Identifiers that wait for a call to Feishu.";
    /// `feishu_id_breaker_open`
    BREAKER_OPEN: Gauge "breaker_open",
        "1 while Feishu is left alone after repeated failures, but for a probe now and then.";
    /// `feishu_id_quota_wait_seconds`
    QUOTA_WAIT: Histogram "quota_wait" in Seconds,
        "How long what was ready to leave waited for the rate limit, for each call.";
    /// `feishu_id_quota_month_calls`
    QUOTA_MONTH_CALLS: Gauge "quota_month_calls", "Calls to Feishu counted in this month.";
    /// `feishu_id_quota_month_limit`
    QUOTA_MONTH_LIMIT: Gauge "quota_month_limit", "Calls to Feishu allowed in a month.";
    /// `feishu_id_quota_month_warning`
    QUOTA_MONTH_WARNING: Gauge "quota_month_warning",
        "1 once 80 % of the month's calls to Feishu are spent.";
    /// `feishu_id_upstream_calls_total`
    UPSTREAM_CALLS: Counter "upstream_calls", "Calls to Feishu, by endpoint and result.";
    /// `feishu_id_upstream_call_duration_seconds`
    UPSTREAM_CALL_DURATION: Histogram "upstream_call_duration" in Seconds,
        "From a call's departure to the end of Feishu's answer, by endpoint and result.";
    /// `feishu_id_upstream_call_identifiers`
    UPSTREAM_CALL_IDENTIFIERS: Histogram "upstream_call_identifiers",
        "Identifiers in each lookup call to Feishu.";
    /// `feishu_id_token_refreshes_total`
    TOKEN_REFRESHES: Counter "token_refreshes",
        "Access tokens asked of Feishu, by what came of it.";

    // The store.
    /// `feishu_id_store_records`
    STORE_RECORDS: Gauge "store_records", "Answers in the store.";
    /// `feishu_id_store_bytes`
    STORE_SIZE: Gauge "store" in Bytes, "Size of the store.";
    /// `feishu_id_store_dropped_total`
    STORE_DROPPED: Counter "store_dropped",
        "Answers that were not stored, because more came than could be written.";
    /// `feishu_id_store_failures_total`
    STORE_FAILURES: Counter "store_failures", "Reads and writes of the store that failed.";

    // The configuration.
    /// `feishu_id_config_reloads_total`
    CONFIG_RELOADS: Counter "config_reloads",
        "Times that the configuration was read anew, by whether it was applied or refused.";
    /// `feishu_id_config_last_reload_successful`
    CONFIG_LAST_RELOAD_SUCCESSFUL: Gauge "config_last_reload_successful",
        "0 while the configuration last read is refused and the one before stays in force, else 1.";
    /// `feishu_id_config_last_reload_success_timestamp_seconds`
    CONFIG_LAST_RELOAD_AT: Gauge "config_last_reload_success_timestamp" in Seconds,
        "When the configuration in force was applied, in seconds since 1970.";
}
