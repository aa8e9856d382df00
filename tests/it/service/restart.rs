//! What a service knew is known to the next one, and what it spent.

use std::{path::PathBuf, time::Duration};

use feishu_id::{
    config::{Config, StoreKind},
    pb::identity::{
        FlushCacheRequest, IdentifierList, Outcome, ResolveUserIdsRequest, UserIdType,
        flush_cache_request::Target,
    },
};
use serde_json::json;

use super::harness::{Service, email, outcomes, people, reason, relaxed, request};

const PLENTY: Duration = Duration::from_secs(20);

/// A directory of this test's own; gone with it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let name = format!("feishu-id-{name}-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        let _not_there = std::fs::remove_dir_all(&dir);
        Self(dir)
    }

    pub fn keep_in(&self, config: &mut Config) {
        config.data.dir = Some(self.0.clone());
        config.cache.key_file = Some(self.0.join("store.key"));
        config.cache.store = StoreKind::Disk;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn who_was_known_is_known_after_a_restart_also_while_feishu_is_down() {
    let scratch = Scratch::new("known");
    let mut service = Service::start_with(|config| {
        scratch.keep_in(config);
        config.cache.ttl = Duration::from_secs(2);
        config.cache.negative_ttl = Duration::from_mins(1);
    })
    .await;
    let mut who = people(0..1000);
    who.pop();
    who.push(email("nobody@acme.example"));
    let known = service.ask(who.clone()).await.unwrap();
    let calls = service.count("batch_get_id_calls").await;
    service.restart().await;
    let answers = service.call(relaxed(who.clone()), PLENTY).await.unwrap();
    assert_eq!(answers, known, "with the time at which they were asked for");
    assert_eq!(service.count("batch_get_id_calls").await, calls);
    tokio::time::sleep(Duration::from_secs(2)).await;
    service.faults(json!({"fault": "drop"})).await;
    service.restart().await;
    let answers = service.call(relaxed(who.clone()), PLENTY).await.unwrap();
    let stale = answers.iter().filter(|answer| answer.stale).count();
    assert_eq!((stale, answers[999].outcome()), (999, Outcome::NotFound));
    let ids = |answers: &[feishu_id::pb::identity::Resolution]| {
        let ids = answers
            .iter()
            .map(|a| a.user.clone().unwrap_or_default().user_id);
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids(&answers), ids(&known));
    // Who wants it new is not given what is old.
    let failed = service
        .call(request(people(0..1)), PLENTY)
        .await
        .unwrap_err();
    assert_eq!(reason(&failed), "UPSTREAM_UNAVAILABLE");
}

#[tokio::test]
async fn after_a_restart_while_feishu_hangs_only_the_first_token_is_waited_for() {
    let scratch = Scratch::new("hangs");
    let mut service = Service::start_with(|config| {
        scratch.keep_in(config);
        config.cache.ttl = Duration::from_secs(1);
        config.upstream.timeout = Duration::from_secs(2);
    })
    .await;
    service.ask(people(0..40)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let hang = json!({"fault": "hang", "fault_hang_seconds": 60});
    service.faults(hang).await;
    service.restart().await;
    let ask = async |n| {
        let start = tokio::time::Instant::now();
        let answers = service
            .call(relaxed(people(n..n + 1)), PLENTY)
            .await
            .unwrap();
        assert!(answers[0].stale);
        start.elapsed()
    };
    let first = ask(0).await;
    assert!(first >= Duration::from_secs(1), "{first:?}");
    tokio::time::sleep(Duration::from_millis(700)).await;
    // Long before the fifth has failed, whether one is under way or not.
    for n in 1..40 {
        let took = ask(n).await;
        assert!(took < Duration::from_millis(500), "{n}: {took:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let breaker = service.default_tenant().await.breaker();
    assert_eq!(breaker, feishu_id::pb::identity::BreakerState::Closed);
}

#[tokio::test]
async fn what_is_asked_for_anew_takes_nothing_from_what_is_stored() {
    let scratch = Scratch::new("anew");
    let mut service = Service::start_with(|config| scratch.keep_in(config)).await;
    let of = |kind, anew: bool| ResolveUserIdsRequest {
        user_id_types: vec![kind as i32],
        ..if anew {
            request(people(0..1))
        } else {
            relaxed(people(0..1))
        }
    };
    for kind in [UserIdType::UserId, UserIdType::OpenId] {
        service.call(of(kind, false), PLENTY).await.unwrap();
    }
    service.restart().await;
    service
        .call(of(UserIdType::UserId, true), PLENTY)
        .await
        .unwrap();
    service.restart().await;
    service.faults(json!({"fault": "drop"})).await;
    for kind in [UserIdType::UserId, UserIdType::OpenId] {
        let answers = service.call(of(kind, false), PLENTY).await.unwrap();
        assert_eq!(answers[0].outcome(), Outcome::Resolved, "{kind:?}");
    }
}

#[tokio::test]
async fn who_was_flushed_is_not_in_the_store_either() {
    let scratch = Scratch::new("flushed");
    let mut service = Service::start_with(|config| scratch.keep_in(config)).await;
    service.ask(people(0..100)).await.unwrap();
    service.restart().await;
    let flush = |target| FlushCacheRequest {
        target: Some(target),
        ..FlushCacheRequest::default()
    };
    let some = Target::Identifiers(IdentifierList {
        identifiers: people(0..10),
    });
    let flushed = service.admin().flush_cache(flush(some)).await.unwrap();
    assert_eq!(flushed.into_inner().flushed_records, 10);
    // The others are still there, and were never in this process's memory.
    service.faults(json!({"fault": "drop"})).await;
    let answers = service.call(relaxed(people(0..100)), PLENTY).await.unwrap();
    let resolved = answers.iter().map(|a| a.outcome() == Outcome::Resolved);
    let expected = (0..100).map(|n| n >= 10);
    assert_eq!(resolved.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    let everybody = flush(Target::Everybody(true));
    let flushed = service.admin().flush_cache(everybody).await.unwrap();
    assert_eq!(flushed.into_inner().flushed_records, 90);
    service.restart().await;
    assert!(service.call(relaxed(people(0..100)), PLENTY).await.is_err());
}

#[tokio::test]
async fn many_who_flush_many_at_once_are_all_served() {
    let scratch = Scratch::new("flushes");
    let service = Service::start_with(|config| scratch.keep_in(config)).await;
    service.ask(people(0..1000)).await.unwrap();
    let flush = FlushCacheRequest {
        target: Some(Target::Identifiers(IdentifierList {
            identifiers: people(0..1000),
        })),
        ..FlushCacheRequest::default()
    };
    let flushes = (0..8).map(|_| {
        let (mut admin, flush) = (service.admin(), flush.clone());
        tokio::spawn(async move { admin.flush_cache(flush).await })
    });
    let mut records = 0;
    for flushed in flushes.collect::<Vec<_>>() {
        records += flushed.await.unwrap().unwrap().into_inner().flushed_records;
    }
    assert_eq!(records, 1000);
    assert_eq!(service.status().await.store.unwrap().failed_writes, 0);
}

#[tokio::test]
async fn nothing_in_the_store_can_be_read_without_its_key() {
    let scratch = Scratch::new("sealed");
    let mut service = Service::start_with(|config| scratch.keep_in(config)).await;
    let secrets: Vec<_> = service
        .sandbox
        .tenants()
        .iter()
        .map(|t| t.app_secret.clone())
        .collect();
    let answers = service.ask(people(0..200)).await.unwrap();
    service.restart().await;
    let mut texts = secrets;
    for answer in &answers {
        texts.push(answer.user.as_ref().unwrap().user_id.clone());
        texts.push(match answer.identifier.clone().unwrap().kind.unwrap() {
            feishu_id::pb::identity::identifier::Kind::Email(text)
            | feishu_id::pb::identity::identifier::Kind::Mobile(text) => text,
        });
    }
    let mut files = 0;
    for file in std::fs::read_dir(&scratch.0).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        files += 1;
        for text in &texts {
            let mut windows = bytes.windows(text.len());
            assert!(!windows.any(|window| window == text.as_bytes()));
        }
    }
    assert!(files >= 2, "the store and its key");
}

#[tokio::test]
async fn another_tenants_people_are_not_found_in_the_store() {
    let scratch = Scratch::new("tenants");
    let mut service = Service::start_with(|config| scratch.keep_in(config)).await;
    service.ask(people(0..10)).await.unwrap();
    service.restart().await;
    let calls = service.count("batch_get_id_calls").await;
    let other = feishu_id::pb::identity::ResolveUserIdsRequest {
        tenant: service.sandbox.tenants()[1].name.clone(),
        ..relaxed(people(0..10))
    };
    let answers = service.call(other, PLENTY).await.unwrap();
    assert!(
        service.count("batch_get_id_calls").await > calls,
        "{:?}",
        outcomes(&answers)
    );
}

#[tokio::test]
async fn the_minute_goes_on_where_it_was() {
    let scratch = Scratch::new("minute");
    let mut service = Service::start_with(|config| {
        scratch.keep_in(config);
        config.quota.per_minute = 20;
    })
    .await;
    let mut asked = 0;
    for _ in 0..4 {
        service.restart().await;
        for _ in 0..5 {
            service.ask(people(asked..asked + 1)).await.unwrap();
            asked += 1;
        }
    }
    let who = people(asked..asked + 1);
    let late = service
        .call(request(who.clone()), Duration::from_secs(1))
        .await;
    assert!(late.is_err(), "the minute is spent");
    assert_eq!(service.count("batch_get_id_calls").await, 20);
    assert_eq!(service.count("rate_limited").await, 0);
    service.restart().await;
    let late = service.call(request(who), Duration::from_secs(1)).await;
    assert!(late.is_err(), "and still is");
}

#[tokio::test]
async fn the_month_goes_on_where_it_was() {
    let scratch = Scratch::new("month");
    let mut service = Service::start_with(|config| {
        scratch.keep_in(config);
        config.quota.per_month = Some(7);
    })
    .await;
    let month = async |service: &Service| service.default_tenant().await.month.unwrap().calls;
    // A token and a lookup each time.
    for process in 0..3 {
        service.restart().await;
        assert_eq!(month(&service).await, 2 * process);
        let who = usize::try_from(process).unwrap();
        service.ask(people(who..who + 1)).await.unwrap();
    }
    service.restart().await;
    for _ in 0..2 {
        // Only the token is left, then nothing.
        let spent = service.ask(people(9..10)).await.unwrap_err();
        assert_eq!(reason(&spent), "MONTHLY_QUOTA_EXHAUSTED");
        service.restart().await;
    }
    assert_eq!(month(&service).await, 7);
    let calls = service.count("batch_get_id_calls").await + service.count("token_requests").await;
    assert_eq!(calls, 7);
}
