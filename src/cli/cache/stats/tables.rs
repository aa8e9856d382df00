//! The status for people: a table for the server and one for each tenant, a name and a value a row.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use comfy_table::{Table, presets};

use crate::{
    cli::terminal::clean,
    pb::identity::{
        BreakerState, CacheStatus, ConfigurationStatus, CredentialsState, GetStatusResponse,
        MonthStatus, QuotaStatus, ResolveError, StoreStatus, TenantStatus, TokenStatus,
    },
};

/// Everything, seen at this moment.
pub(super) fn text(status: &GetStatusResponse, now: SystemTime) -> String {
    let mut text = server(status, now);
    for status in &status.tenants {
        text.push('\n');
        text.push_str(&tenant(status, now));
    }
    text
}

fn server(status: &GetStatusResponse, now: SystemTime) -> String {
    let cache = status.cache.unwrap_or_default();
    let version = clean(&status.version);
    let configuration = status.configuration.as_ref();
    rows([
        (
            "server",
            format!("feishu-id {version}, up {}", since(status.start_time, now)),
        ),
        (
            "configuration",
            configuration.map_or("not told of".into(), |one| in_force(one, now)),
        ),
        ("memory", memory(&cache)),
        ("kept for", lifetimes(&cache)),
        ("store", status.store.as_ref().map_or("none".into(), store)),
    ])
}

fn tenant(tenant: &TenantStatus, now: SystemTime) -> String {
    let default = if tenant.is_default { " (default)" } else { "" };
    let feishu = format!("{}, app {}", tenant.base_url, tenant.app_id);
    let token = tenant.token.as_ref().map_or("none".into(), token);
    let quotas: Vec<_> = tenant.quotas.iter().map(quota).collect();
    let last_error = tenant
        .last_error
        .as_ref()
        .map_or("none since the start".into(), |error| {
            let ago = since(tenant.last_error_time, now);
            format!("{ago} ago: {}", last_error(error))
        });
    rows([
        ("tenant", format!("{}{default}", clean(&tenant.name))),
        ("Feishu", clean(&feishu)),
        ("credentials", credentials(tenant.credentials()).into()),
        ("token", token),
        ("calls left", quotas.join(", ")),
        (
            "this month",
            tenant.month.as_ref().map_or(String::new(), month),
        ),
        ("asking", asking(tenant, now)),
        ("memory", format!("{} entries", tenant.entries)),
        (
            "under way",
            format!(
                "{} lookups waiting, {} calls in flight",
                tenant.waiting_lookups, tenant.calls_in_flight
            ),
        ),
        ("last error", last_error),
    ])
}

fn rows<const N: usize>(rows: [(&str, String); N]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

fn in_force(configuration: &ConfigurationStatus, now: SystemTime) -> String {
    let mut text = format!("in force for {}", since(configuration.applied_time, now));
    if configuration.refused_time.is_some() {
        let ago = since(configuration.refused_time, now);
        let _ = write!(text, "; the next one was refused {ago} ago");
        if !configuration.refused_reason.is_empty() {
            let _ = write!(text, ": {}", clean(&configuration.refused_reason));
        }
    }
    text
}

fn memory(cache: &CacheStatus) -> String {
    format!("{} of {} entries", cache.entries, cache.capacity)
}

fn lifetimes(cache: &CacheStatus) -> String {
    format!(
        "{}, in an outage {} more; who is not found: {} at first",
        long(cache.ttl),
        long(cache.serve_stale),
        long(cache.negative_ttl)
    )
}

fn store(store: &StoreStatus) -> String {
    format!(
        "{}: {} records in {} bytes; {} waiting, {} written, {} dropped; {} reads and {} writes failed",
        clean(&store.kind),
        store.records,
        store.bytes,
        store.waiting_records,
        store.written_records,
        store.dropped_records,
        store.failed_reads,
        store.failed_writes
    )
}

fn credentials(state: CredentialsState) -> &'static str {
    match state {
        CredentialsState::Accepted => "accepted",
        CredentialsState::Refused => "refused: see the last error",
        CredentialsState::Unknown | CredentialsState::Unspecified => "not known yet",
    }
}

fn token(token: &TokenStatus) -> String {
    let (age, left) = (long(token.age), long(token.expires_in));
    format!("{age} old, good for {left}")
}

fn quota(quota: &QuotaStatus) -> String {
    let window = long(quota.window);
    format!("{} of {} in {window}", quota.left, quota.limit)
}

fn month(month: &MonthStatus) -> String {
    let name = clean(&month.month);
    match month.limit {
        0 => format!("{} calls in {name}", month.calls),
        limit => format!("{} of {limit} calls in {name}", month.calls),
    }
}

fn asking(tenant: &TenantStatus, now: SystemTime) -> String {
    match tenant.breaker() {
        BreakerState::Closed | BreakerState::Unspecified => "yes".into(),
        BreakerState::Probing => "one call is out to see whether Feishu answers again".into(),
        BreakerState::Open => {
            let probe = tenant
                .next_probe_time
                .and_then(|at| SystemTime::try_from(at).ok());
            let left = probe.and_then(|at| at.duration_since(now).ok());
            match left {
                Some(left) => format!("no, calls have failed: one goes ahead in {}", words(left)),
                None => "no, calls have failed: the next one goes ahead to see".into(),
            }
        }
    }
}

fn last_error(error: &ResolveError) -> String {
    let reason = error.reason().as_str_name();
    let reason = reason.strip_prefix("ERROR_REASON_").unwrap_or(reason);
    let mut text = format!("{reason}: {}", clean(&error.message));
    if error.feishu_code != 0 {
        let _ = write!(text, " (code {})", error.feishu_code);
    }
    for (name, value) in [("log ID", &error.feishu_log_id), ("see", &error.help_url)] {
        if !value.is_empty() {
            let _ = write!(text, "; {name} {}", clean(value));
        }
    }
    text
}

/// How long ago a moment was. The two clocks may differ.
fn since(at: Option<prost_types::Timestamp>, now: SystemTime) -> String {
    let at = at.and_then(|at| SystemTime::try_from(at).ok());
    let since = at.map(|at| now.duration_since(at).unwrap_or_default());
    since.map_or("?".into(), words)
}

fn long(duration: Option<prost_types::Duration>) -> String {
    let duration = duration.and_then(|duration| Duration::try_from(duration).ok());
    duration.map_or("?".into(), words)
}

/// To the second, if it is longer than that.
fn words(duration: Duration) -> String {
    let duration = match duration.as_secs() {
        0 => Duration::from_millis(u64::from(duration.subsec_millis())),
        seconds => Duration::from_secs(seconds),
    };
    humantime::format_duration(duration).to_string()
}
