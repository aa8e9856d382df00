//! The access token, through whole calls: how often it is asked for, and what a bad one costs.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tonic_types::StatusExt as _;

use super::harness::{Service, email, outcomes, people, reason};

/// Room for everything at once: here Feishu's rate limit is not the subject.
async fn without_quota() -> Service {
    let service = Service::start_with(|config| {
        config.quota.per_second = 100_000;
        config.quota.per_minute = 100_000;
    })
    .await;
    service.faults(json!({"quota_enabled": false})).await;
    service
}

#[tokio::test]
async fn a_thousand_first_calls_make_one_token_request() {
    let service = without_quota().await;
    service.faults(json!({"token_latency_ms": 100})).await;
    let calls = (0..1000).map(|n| service.ask(vec![email(&format!("load-{n}@acme.example"))]));
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(service.count("token_requests").await, 1);
}

#[tokio::test]
async fn a_token_revoked_in_the_middle_costs_no_failure_and_one_request() {
    let service = without_quota().await;
    service.faults(json!({"latency_ms": 20})).await;
    for (n, status) in [200, 400, 401].into_iter().enumerate() {
        service
            .faults(json!({"token_rejected_status": status}))
            .await;
        let before = service.count("token_requests").await;
        let load = async {
            let batches = (0..10).map(|n| service.ask(people(n * 1000..(n + 1) * 1000)));
            join_all(batches).await
        };
        let revoke = async {
            let asked = service.count("batch_get_id_calls").await;
            // In the middle: once the load has begun.
            while service.count("batch_get_id_calls").await < asked + 10 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            service.revoke().await;
        };
        let (answers, ()) = tokio::join!(load, revoke);
        for answer in answers {
            assert_eq!(outcomes(&answer.unwrap())["OUTCOME_RESOLVED"], 1000);
        }
        // The very first load fetches the first token besides.
        let fetched = service.count("token_requests").await - before;
        assert_eq!(fetched, 1 + u64::from(n == 0), "HTTP {status}");
    }
}

#[tokio::test]
async fn a_wrong_secret_is_asked_about_once_and_named_by_tenant() {
    let service = Service::start_with(|config| {
        config.tenants[0].app_secret = "not-the-secret".into();
    })
    .await;
    for code in [10014, 10015] {
        service.faults(json!({"wrong_secret_code": code})).await;
        for _ in 0..10 {
            let status = service.ask(people(0..1)).await.unwrap_err();
            assert_eq!(status.code(), tonic::Code::FailedPrecondition);
            assert_eq!(reason(&status), "BAD_CREDENTIALS");
            assert!(status.message().contains("tenant acme"));
            let help = status.get_details_help().unwrap();
            assert!(help.links[0].url.ends_with("/baseinfo"));
            assert!(!format!("{status:?}").contains("not-the-secret"));
        }
    }
    assert_eq!(service.count("token_requests").await, 1);
}

#[tokio::test]
async fn the_same_dead_token_coming_back_is_an_error_and_no_loop() {
    let service = Service::start().await;
    service
        .faults(json!({"token_after_revocation": "same"}))
        .await;
    service.ask(people(0..1)).await.unwrap();
    service.revoke().await;
    let began = tokio::time::Instant::now();
    for _ in 0..20 {
        let status = service.ask(people(0..1)).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unavailable);
    }
    // Ever more seldom, and no more once the breaker is open.
    let requests = service.count("token_requests").await;
    assert!(requests <= 8, "{requests} in {:?}", began.elapsed());
}

#[tokio::test]
async fn a_token_that_feishu_took_is_good_even_if_the_call_was_refused() {
    let service = Service::start().await;
    service.ask(people(0..1)).await.unwrap();
    service.revoke().await;
    service
        .faults(json!({"scopes_removed": ["contact:user.id:readonly"]}))
        .await;
    let refused = service.ask(people(0..1)).await.unwrap_err();
    assert_eq!(reason(&refused), "SCOPE_MISSING");
    service.faults(json!({"scopes_removed": []})).await;
    service.revoke().await;
    service.ask(people(0..1)).await.unwrap();
}

#[tokio::test]
async fn one_rejection_by_mistake_passes_within_a_moment() {
    let service = Service::start().await;
    service.ask(people(0..1)).await.unwrap();
    let mistake = json!({"fault": "code", "fault_code": 99_991_663, "fault_next": 1,
                         "fault_endpoint": "batch_get_id"});
    service.faults(mistake).await;
    let began = tokio::time::Instant::now();
    while service.ask(people(0..1)).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(5), "still out");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
