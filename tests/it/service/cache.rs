//! What is asked of Feishu once and answered many times, through the API.

use std::time::Duration;

use feishu_id::pb::identity::{Outcome, Resolution, ResolveUserIdsRequest, UserIdType};
use futures_util::future::join_all;
use serde_json::json;

use super::harness::{Service, email, mobile, people, relaxed, request};

const TIME: Duration = Duration::from_secs(20);

async fn ask(service: &Service, request: ResolveUserIdsRequest) -> Vec<Outcome> {
    let answers = service.call(request, TIME).await.unwrap();
    answers.iter().map(Resolution::outcome).collect()
}

#[tokio::test]
async fn who_was_asked_for_once_is_known_by_any_spelling() {
    let service = Service::start().await;
    let first = relaxed(vec![
        email("wei.wang@acme.example"),
        mobile("+8613000009009"),
    ]);
    let again = relaxed(vec![
        email(" Wei.Wang@ACME.example"),
        mobile("0086 130-0000-9009"),
    ]);
    let first = service.call(first, TIME).await.unwrap();
    let again = service.call(again, TIME).await.unwrap();
    for (first, again) in first.iter().zip(&again) {
        assert_eq!(first.outcome(), Outcome::Resolved);
        assert!(first.user == again.user);
        assert_eq!(
            first.resolve_time, again.resolve_time,
            "when Feishu was asked"
        );
        assert!(!again.stale);
    }
    assert_eq!(service.count("batch_get_id_calls").await, 1);
}

#[tokio::test]
async fn not_found_and_refused_are_known_too_and_failures_are_not() {
    let service = Service::start().await;
    service
        .faults(json!({"poison": ["load-8@acme.example"]}))
        .await;
    let who = || relaxed([people(0..10), vec![email("nobody@acme.example")]].concat());
    let first = ask(&service, who()).await;
    assert_eq!(first[8], Outcome::Invalid);
    assert_eq!(first[10], Outcome::NotFound);
    let calls = service.count("batch_get_id_calls").await;
    assert_eq!(ask(&service, who()).await, first);
    assert_eq!(service.count("batch_get_id_calls").await, calls);
    service.faults(json!({"app_disabled": true})).await;
    let failed = service.call(relaxed(people(100..101)), TIME).await;
    assert!(failed.is_err());
    service.faults(json!({"app_disabled": false})).await;
    assert_eq!(
        ask(&service, relaxed(people(100..101))).await,
        [Outcome::Resolved]
    );
}

#[tokio::test]
async fn max_age_zero_asks_anew_and_what_it_brings_is_known() {
    let service = Service::start().await;
    ask(&service, relaxed(people(0..1))).await;
    ask(&service, request(people(0..1))).await;
    assert_eq!(service.count("batch_get_id_calls").await, 2);
    ask(&service, relaxed(people(0..1))).await;
    assert_eq!(service.count("batch_get_id_calls").await, 2);
}

#[tokio::test]
async fn tenants_and_kinds_of_id_are_known_apart() {
    let service = Service::start().await;
    let of = |tenant: &str, kind: UserIdType| ResolveUserIdsRequest {
        tenant: tenant.to_owned(),
        user_id_types: vec![kind.into()],
        ..relaxed(vec![email("yiming.luo@both.example")])
    };
    let mut ids = Vec::new();
    for tenant in ["acme", "globex"] {
        for kind in [UserIdType::UserId, UserIdType::OpenId, UserIdType::UnionId] {
            for _ in 0..2 {
                let answers = service.call(of(tenant, kind), TIME).await.unwrap();
                let user = answers[0].user.clone().unwrap();
                ids.push([user.user_id, user.open_id, user.union_id].concat());
            }
        }
    }
    assert_eq!(service.count("batch_get_id_calls").await, 6);
    ids.dedup();
    assert_eq!(ids.len(), 6, "the same twice, and different for each");
}

#[tokio::test]
async fn many_callers_at_once_share_calls() {
    let service = Service::start().await;
    service.ask(people(0..1)).await.unwrap();
    service.faults(json!({"latency_ms": 30})).await;
    let before = service.count("batch_get_id_calls").await;
    let same = (0..500).map(|_| ask(&service, relaxed(vec![email("nobody@acme.example")])));
    for outcomes in join_all(same).await {
        assert_eq!(outcomes, [Outcome::NotFound]);
    }
    assert_eq!(service.count("batch_get_id_calls").await - before, 1);
    // One person each: far fewer calls than callers, and no refusal.
    let each = (1000..1500).map(|n| ask(&service, relaxed(people(n..n + 1))));
    for outcomes in join_all(each).await {
        assert_eq!(outcomes, [Outcome::Resolved]);
    }
    assert!(service.count("batch_get_id_calls").await - before <= 30);
    assert_eq!(service.count("rate_limited").await, 0);
}

#[tokio::test]
async fn a_short_ttl_is_refreshed_behind_before_it_ends() {
    let service = Service::start_with(|config| {
        config.cache.ttl = Duration::from_secs(3);
    })
    .await;
    service.faults(json!({"latency_ms": 100})).await;
    ask(&service, relaxed(people(0..1))).await;
    // Read often for more than two TTLs: nobody waits for Feishu.
    let began = tokio::time::Instant::now();
    let mut slowest = Duration::ZERO;
    while began.elapsed() < Duration::from_secs(7) {
        let asked = tokio::time::Instant::now();
        assert_eq!(
            ask(&service, relaxed(people(0..1))).await,
            [Outcome::Resolved]
        );
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let calls = service.count("batch_get_id_calls").await;
    assert!((3..=4).contains(&calls), "{calls}");
    assert!(slowest < Duration::from_millis(100), "{slowest:?}");
}

#[tokio::test]
async fn a_dead_feishu_is_left_alone_and_whoever_asks_is_told_at_once_when_to_come_back() {
    let service = Service::start().await;
    service.faults(json!({"fault": "drop"})).await;
    for _ in 0..2 {
        service.ask(people(0..1)).await.unwrap_err();
    }
    let calls = || async {
        service.count("batch_get_id_calls").await + service.count("token_requests").await
    };
    let before = calls().await;
    for n in 0..50 {
        let began = tokio::time::Instant::now();
        let status = service.ask(people(n..n + 1)).await.unwrap_err();
        assert_eq!(super::harness::reason(&status), "UPSTREAM_UNAVAILABLE");
        let pushback = status.metadata().get("grpc-retry-pushback-ms").unwrap();
        let pushback: u64 = pushback.to_str().unwrap().parse().unwrap();
        assert!((1000..=30_000).contains(&pushback), "{pushback}");
        assert!(began.elapsed() < Duration::from_secs(1));
    }
    assert_eq!(calls().await, before);
}

#[tokio::test]
async fn a_request_that_the_quota_cannot_serve_in_time_is_refused_at_once() {
    let service = Service::start_with(|config| {
        config.quota.per_second = 1;
        config.quota.per_minute = 10;
    })
    .await;
    service.ask(people(0..1)).await.unwrap();
    // The next call may leave in a second or more.
    let began = tokio::time::Instant::now();
    let status = service
        .call(relaxed(people(1..2)), Duration::from_millis(500))
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    assert_eq!(super::harness::reason(&status), "QUOTA_EXHAUSTED");
    assert!(
        began.elapsed() < Duration::from_millis(300),
        "{:?}",
        began.elapsed()
    );
    let batch = service
        .call(relaxed(people(1..20)), Duration::from_millis(500))
        .await;
    assert!(batch.is_err());
}
