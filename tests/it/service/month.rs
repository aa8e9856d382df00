//! The month's share of calls: counted as Feishu counts them, and never exceeded.

use std::time::Duration;

use feishu_id::{config::TenantConfig, pb::identity::Outcome};
use serde_json::json;
use tokio::time::sleep;
use tonic::Code;

use super::harness::{Service, people, reason, relaxed, request};

const PLENTY: Duration = Duration::from_secs(20);

#[tokio::test]
async fn when_it_is_spent_who_is_known_is_answered_and_nobody_is_asked() {
    let service = Service::start_with(|config| {
        config.quota.per_month = Some(3);
        config.cache.ttl = Duration::from_secs(1);
    })
    .await;
    // A token and two lookups.
    for n in 0..2 {
        service.ask(people(n..n + 1)).await.unwrap();
    }
    let failed = service.ask(people(2..3)).await.unwrap_err();
    assert_eq!(failed.code(), Code::ResourceExhausted);
    assert_eq!(reason(&failed), "MONTHLY_QUOTA_EXHAUSTED");
    assert!(failed.message().contains("quota.per_month"), "{failed}");
    sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        let answers = service.call(relaxed(people(0..3)), PLENTY).await.unwrap();
        assert!(answers[0].stale && answers[1].stale);
        assert_eq!(answers[2].outcome(), Outcome::Failed);
    }
    let calls = service.count("batch_get_id_calls").await + service.count("token_requests").await;
    assert_eq!(calls, 3);
}

/// How many calls of the month are counted after some that all fail, with the default tenant reached
/// there.
async fn counted(base_url: impl Fn(&str) -> String) -> i64 {
    let service = Service::start_with(|config| {
        let acme = config.tenants[0].clone();
        let secret = acme.app_secret.clone();
        let base_url = base_url(&acme.base_url);
        config.tenants[0] = TenantConfig {
            default: true,
            ..TenantConfig::new("acme", &acme.app_id, secret, &base_url)
        };
        config.quota.per_month = Some(1);
    })
    .await;
    service.faults(json!({"fault": "drop"})).await;
    for n in 0..3 {
        let failed = service.call(request(people(n..n + 1)), PLENTY / 20).await;
        assert!(failed.is_err());
    }
    service.default_tenant().await.month.unwrap().calls
}

#[tokio::test]
async fn calls_for_which_no_connection_came_about_are_not_counted() {
    assert_eq!(counted(str::to_owned).await, 1, "this one has left");
    // A port on which nobody listens any more, a name that nobody has, and no TLS.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    assert_eq!(counted(|_| format!("http://{address}")).await, 0);
    assert_eq!(counted(|_| "http://nobody.invalid".to_owned()).await, 0);
    assert_eq!(counted(|url| url.replace("http:", "https:")).await, 0);
}
