//! What a reload can change, and what takes effect at the next start alone.

/// What a reload changes: keys, and whole sections, which end with a dot.
const CHANGEABLE: [&str; 15] = [
    "cache.negative_ttl",
    "cache.serve_stale",
    "cache.ttl",
    "callers.",
    "log.level",
    "quota.per_minute",
    "quota.per_month",
    "quota.per_second",
    "quota.time_zone",
    "telemetry.traceparent_to_feishu",
    "tenants.",
    "tls.",
    "upstream.connect_timeout",
    "upstream.max_response_bytes",
    "upstream.timeout",
];

/// Whether a change of this key takes effect without a restart.
pub(super) fn is_changeable(key: &str) -> bool {
    CHANGEABLE.into_iter().any(|changeable| {
        let is_section = changeable.ends_with('.');
        key == changeable || (is_section && key.starts_with(changeable))
    })
}
