//! What the status tells.

use std::time::{Duration, SystemTime};

use feishu_id::{
    clock,
    config::TenantConfig,
    pb::identity::{BreakerState, CredentialsState, ErrorReason, GetStatusRequest, TenantStatus},
};
use serde_json::json;
use tonic::Code;

use crate::service::harness::{Service, people, reason, relaxed, request};

const TIME: Duration = Duration::from_secs(20);

/// Calls that may still leave: in a second, and in a minute.
fn left(tenant: &TenantStatus) -> Vec<i64> {
    tenant.quotas.iter().map(|quota| quota.left).collect()
}

fn seconds(duration: Option<prost_types::Duration>) -> i64 {
    duration.unwrap().seconds
}

/// How far a moment is from now, in either direction.
fn from_now(at: Option<prost_types::Timestamp>) -> Duration {
    let at = SystemTime::try_from(at.unwrap()).unwrap();
    let now = clock::wall_now();
    at.duration_since(now).or(now.duration_since(at)).unwrap()
}

#[tokio::test]
async fn an_idle_service_knows_nothing_and_asks_nobody() {
    let service = Service::start().await;
    let status = service.status().await;
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert!(from_now(status.start_time) < Duration::from_mins(1));
    let cache = status.cache.unwrap();
    assert_eq!((cache.entries, cache.capacity), (0, 1_000_000));
    assert_eq!(seconds(cache.ttl), 12 * 3600);
    assert_eq!(seconds(cache.negative_ttl), 60);
    assert_eq!(seconds(cache.serve_stale), 24 * 3600);
    assert!(status.store.is_none());
    let names: Vec<_> = status
        .tenants
        .iter()
        .map(|t| (&*t.name, t.is_default))
        .collect();
    assert_eq!(names, [("acme", true), ("globex", false)]);
    for tenant in &status.tenants {
        assert_eq!(tenant.credentials(), CredentialsState::Unknown);
        assert_eq!(tenant.breaker(), BreakerState::Closed);
        assert_eq!(tenant.base_url, service.sandbox.base_url());
        assert!(tenant.app_id.starts_with("cli_"));
        assert!(tenant.token.is_none() && tenant.last_error.is_none());
        let month = tenant.month.as_ref().unwrap();
        assert_eq!((month.calls, month.limit, month.month.len()), (0, 0, 7));
        // All but a second's worth of the minute counts as spent at the start.
        let limits: Vec<_> = tenant
            .quotas
            .iter()
            .map(|q| (q.limit, seconds(q.window)))
            .collect();
        assert_eq!(limits, [(50, 1), (1000, 60)]);
        assert_eq!(left(tenant)[0], 50);
    }
    assert_eq!(service.count("token_requests").await, 0);
}

#[tokio::test]
async fn entries_quota_month_and_token_follow_what_is_asked() {
    let service = Service::start_with(|config| {
        config.quota.per_minute = 1000;
        config.quota.per_month = Some(5000);
    })
    .await;
    let before = service.default_tenant().await;
    service.faults(json!({"latency_ms": 200})).await;
    let (_, under_way) = tokio::join!(service.call(relaxed(people(0..10)), TIME), async {
        loop {
            let status = service.default_tenant().await;
            if status.calls_in_flight > 0 {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(left(&under_way)[0] < left(&before)[0], "{under_way:?}");
    let tenant = service.default_tenant().await;
    assert_eq!(tenant.entries, 10);
    assert_eq!((tenant.calls_in_flight, tenant.waiting_lookups), (0, 0));
    assert_eq!(tenant.credentials(), CredentialsState::Accepted);
    let month = tenant.month.as_ref().unwrap();
    assert_eq!(
        (month.calls, month.limit),
        (2, 5000),
        "a token and a lookup"
    );
    let token = tenant.token.as_ref().unwrap();
    assert!(seconds(token.age) < 30);
    assert!(
        (7000..=7200).contains(&seconds(token.expires_in)),
        "{token:?}"
    );
    let others = service.status().await.tenants;
    assert_eq!(
        (others[1].entries, others[1].month.as_ref().unwrap().calls),
        (0, 0)
    );
}

#[tokio::test]
async fn who_is_asked_for_again_is_one_entry_still() {
    let service = Service::start().await;
    service.call(relaxed(people(0..10)), TIME).await.unwrap();
    for _ in 0..3 {
        service.call(request(people(0..10)), TIME).await.unwrap();
    }
    let entries = service.status().await.cache.unwrap().entries;
    assert_eq!((service.default_tenant().await.entries, entries), (10, 10));
}

#[tokio::test]
async fn a_wrong_secret_is_told_and_not_shown() {
    let service = Service::start_with(|config| {
        let acme = config.tenants[0].clone();
        config.tenants[0] = TenantConfig {
            default: true,
            ..TenantConfig::new("acme", &acme.app_id, "hunter2".into(), &acme.base_url)
        };
    })
    .await;
    service.ask(people(0..1)).await.unwrap_err();
    let status = service.status().await;
    assert!(!format!("{status:?}").contains("hunter2"));
    let tenant = &status.tenants[0];
    assert_eq!(tenant.credentials(), CredentialsState::Refused);
    assert!(tenant.token.is_none());
    let error = tenant.last_error.as_ref().unwrap();
    assert_eq!(error.reason(), ErrorReason::BadCredentials);
    assert!(error.feishu_code != 0);
    assert!(error.retry_delay.is_none());
    assert_eq!(status.tenants[1].credentials(), CredentialsState::Unknown);
}

#[tokio::test]
async fn the_last_error_comes_with_feishus_log_id_and_stays_when_it_is_mended() {
    let service = Service::start().await;
    service
        .faults(json!({"scopes_removed": ["contact:user.id:readonly"]}))
        .await;
    service.ask(people(0..1)).await.unwrap_err();
    let tenant = service.default_tenant().await;
    let error = tenant.last_error.as_ref().unwrap();
    assert_eq!(error.reason(), ErrorReason::ScopeMissing);
    assert_eq!(error.feishu_code, 99_991_672);
    assert!(!error.feishu_log_id.is_empty() && error.help_url.starts_with("http"));
    assert!(from_now(tenant.last_error_time) < Duration::from_secs(30));
    service
        .faults(json!({"scopes_removed": [], "poison": ["load-2@acme.example"]}))
        .await;
    // Somebody who is refused is no trouble of the tenant's.
    service.ask(people(0..3)).await.unwrap();
    let later = service.default_tenant().await;
    assert_eq!(later.last_error, tenant.last_error);
    assert_eq!(later.last_error_time, tenant.last_error_time);
}

#[tokio::test]
async fn in_an_outage_it_says_when_feishu_is_tried_again() {
    let service = Service::start().await;
    service.faults(json!({"fault": "drop"})).await;
    for _ in 0..3 {
        service.ask(people(0..1)).await.unwrap_err();
    }
    let tenant = service.default_tenant().await;
    assert_eq!(tenant.breaker(), BreakerState::Open);
    let probe = from_now(tenant.next_probe_time);
    assert!(probe <= Duration::from_secs(31), "{probe:?}");
    assert_eq!(
        tenant.last_error.unwrap().reason(),
        ErrorReason::UpstreamUnavailable
    );
    assert_eq!(
        service.status().await.tenants[1].breaker(),
        BreakerState::Closed
    );
}

#[tokio::test]
async fn one_tenant_can_be_asked_for_by_name() {
    let service = Service::start().await;
    service.call(request(people(0..1)), TIME).await.unwrap();
    let ask = async |name: &str| {
        let tenant = name.to_owned();
        service
            .admin()
            .get_status(GetStatusRequest { tenant })
            .await
    };
    let status = ask("globex").await.unwrap().into_inner();
    assert_eq!(status.tenants.len(), 1);
    assert_eq!(status.tenants[0].name, "globex");
    assert_eq!(status.cache.unwrap().entries, 1, "memory is everybody's");
    let unknown = ask("nowhere").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(reason(&unknown), "TENANT_NOT_FOUND");
}
