//! Another configuration for a service that runs: what changes, what stays, and that nobody who calls
//! notices.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use feishu_id::{
    config::{Config, TenantConfig},
    pb::identity::{BreakerState, CredentialsState, Outcome, ResolveUserIdsRequest},
};
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tonic::Code;

use super::{
    harness::{Service, email, outcomes, people, reason, relaxed, request},
    restart::Scratch,
};

const PLENTY: Duration = Duration::from_secs(20);
/// A secret that the sandbox does not have at its start.
const NEW_SECRET: &str = "b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3";

fn of(tenant: &str, request: ResolveUserIdsRequest) -> ResolveUserIdsRequest {
    ResolveUserIdsRequest {
        tenant: tenant.to_owned(),
        ..request
    }
}

fn acme(config: &mut Config) -> &mut TenantConfig {
    &mut config.tenants[0]
}

/// Calls for as long as `meanwhile` takes: some for new answers, some for known ones. Says how many there
/// were; none may fail.
async fn calling<T>(service: &Service, meanwhile: impl Future<Output = T>) -> (usize, T) {
    let (calls, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let call = |caller: usize| {
        let (calls, is_over) = (&calls, &is_over);
        async move {
            for n in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let who = caller * 100 + n % 50;
                let who = people(who..who + 2);
                let request = match caller % 2 {
                    0 => request(who),
                    _ => relaxed(who),
                };
                let answers = service.call(request, PLENTY).await.unwrap();
                assert_eq!(outcomes(&answers)["OUTCOME_RESOLVED"], 2);
                calls.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let meanwhile = async {
        let done = meanwhile.await;
        is_over.store(true, Ordering::Relaxed);
        done
    };
    let (_, done) = tokio::join!(join_all((0..8).map(call)), meanwhile);
    (calls.into_inner(), done)
}

/// Room for everything: here the rate limit is not the subject.
async fn without_quota() -> Service {
    let service = Service::start_with(|config| {
        config.quota.per_second = 100_000;
        config.quota.per_minute = 100_000;
    })
    .await;
    service
        .faults(json!({"quota_enabled": false, "latency_ms": 5}))
        .await;
    service
}

#[tokio::test]
async fn a_hundred_reloads_under_load_fail_no_call() {
    let service = without_quota().await;
    let reloads = async {
        for n in 0..100_u32 {
            let mut config = service.config();
            config.cache.ttl = Duration::from_secs(u64::from(1 + n % 3));
            config.quota.per_second = 50_000 + n;
            config.quota.per_month = (n % 5 == 0).then_some(1_000_000);
            config.upstream.timeout = Duration::from_secs(u64::from(4 + n % 2));
            // The other tenant comes and goes.
            config.tenants.truncate(usize::try_from(1 + n % 2).unwrap());
            service.reload(&config).await.unwrap();
            sleep(Duration::from_millis(10)).await;
        }
    };
    let (calls, ()) = calling(&service, reloads).await;
    // Even on a machine that is busy with something else.
    assert!(calls > 100, "{calls}");
}

#[tokio::test]
async fn a_secret_that_is_rotated_under_load_fails_no_call_whichever_side_has_it_first() {
    let service = without_quota().await;
    let mut config = service.config();
    acme(&mut config).app_secret = NEW_SECRET.into();
    let rotate = service.faults(json!({"secrets": {"acme": NEW_SECRET}}));
    let there_first = async {
        sleep(Duration::from_millis(200)).await;
        rotate.await;
        sleep(Duration::from_millis(200)).await;
        let changes = service.reload(&config).await.unwrap();
        assert_eq!(changes.changed, ["acme"]);
        sleep(Duration::from_millis(300)).await;
    };
    let (calls, ()) = calling(&service, there_first).await;
    assert!(calls > 50, "{calls}");
    assert_eq!(service.count("token_requests").await, 2);
    let tenant = service.default_tenant().await;
    assert_eq!(tenant.credentials(), CredentialsState::Accepted);

    // Here first, and with an end to the tokens of the old one.
    let third = "c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4";
    acme(&mut config).app_secret = third.into();
    let here_first = async {
        sleep(Duration::from_millis(200)).await;
        service.reload(&config).await.unwrap();
        sleep(Duration::from_millis(300)).await;
        let tenant = service.default_tenant().await;
        assert_eq!(
            tenant.credentials(),
            CredentialsState::Refused,
            "not there yet"
        );
        service
            .faults(json!({"secrets": {"acme": third}, "secret_change_kills_tokens": true}))
            .await;
        sleep(Duration::from_millis(300)).await;
    };
    let (calls, ()) = calling(&service, here_first).await;
    assert!(calls > 50, "{calls}");
    let tenant = service.default_tenant().await;
    assert_eq!(tenant.credentials(), CredentialsState::Accepted);
    assert_eq!(service.count("token_requests").await, 4);
}

#[tokio::test]
async fn a_configuration_with_a_fault_changes_nothing_at_all() {
    let service = Service::start().await;
    service.ask(people(0..1)).await.unwrap();
    let mut config = service.config();
    config.cache.ttl = Duration::from_secs(1);
    config.quota.per_second = 1;
    acme(&mut config).app_secret = NEW_SECRET.into();
    let mut third = config.tenants[0].clone();
    third.name = "third".to_owned();
    third.ca_pem = Some(b"-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----".to_vec());
    config.tenants = vec![config.tenants[0].clone(), third];
    let refused = service.reload(&config).await.unwrap_err();
    assert_eq!(refused.to_string(), "tenant third");
    let status = service.status().await;
    let names: Vec<_> = status.tenants.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["acme", "globex"]);
    assert_eq!(status.cache.unwrap().ttl.unwrap().seconds, 12 * 3600);
    assert_eq!(status.tenants[0].quotas[0].limit, 50);
    service.ask(people(0..1)).await.unwrap();
    assert_eq!(service.count("token_requests").await, 1);
}

#[tokio::test]
async fn a_tenant_that_is_removed_finishes_what_it_has_begun_and_is_not_found_from_then_on() {
    let service = Service::start().await;
    let globex = |who| of("globex", relaxed(who));
    let known = vec![email("yiming.luo@both.example")];
    let other = vec![email("load-1@globex.example")];
    service.call(globex(known.clone()), PLENTY).await.unwrap();
    service.ask(people(0..3)).await.unwrap();
    service.faults(json!({"latency_ms": 400})).await;
    let mut config = service.config();
    config.tenants.truncate(1);
    let slow = service.call(globex(other.clone()), PLENTY);
    let remove = async {
        sleep(Duration::from_millis(100)).await;
        let changes = service.reload(&config).await.unwrap();
        assert_eq!(changes.removed, ["globex"]);
        service.call(globex(known.clone()), PLENTY).await
    };
    let (begun, refused) = tokio::join!(slow, remove);
    assert_eq!(outcomes(&begun.unwrap())["OUTCOME_RESOLVED"], 1);
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(reason(&refused), "TENANT_NOT_FOUND");
    let status = service.status().await;
    assert_eq!(status.tenants.len(), 1);
    // Its answers are forgotten, but for the one that came last; the other tenant's are not.
    let entries = async || service.status().await.cache.unwrap().entries;
    while entries().await > 4 {
        sleep(Duration::from_millis(20)).await;
    }
    let calls = service.count("batch_get_id_calls").await;
    service.call(relaxed(people(0..3)), PLENTY).await.unwrap();
    assert_eq!(service.count("batch_get_id_calls").await, calls);

    // Who puts it back at once finds what it had spent.
    let changes = service.reload(&service.config()).await.unwrap();
    assert_eq!(changes.added, ["globex"]);
    service.call(globex(known), PLENTY).await.unwrap();
    let status = service.status().await;
    assert_eq!(status.tenants[1].month.as_ref().unwrap().calls, 4);
    assert_eq!(service.count("token_requests").await, 2);
}

#[tokio::test]
async fn a_tenant_that_is_added_answers_and_one_can_become_the_default() {
    let service = Service::start_with(|config| config.tenants.truncate(1)).await;
    let mut config = service.config();
    let sandbox = &service.sandbox.tenants()[1];
    config.tenants.push(TenantConfig {
        default: true,
        ..TenantConfig::new(
            &sandbox.name,
            &sandbox.app_id,
            sandbox.app_secret.clone().into(),
            &service.sandbox.base_url(),
        )
    });
    acme(&mut config).default = false;
    let both = || relaxed(vec![email("yiming.luo@both.example")]);
    let before = service.call(both(), PLENTY).await.unwrap();
    let changes = service.reload(&config).await.unwrap();
    assert_eq!(changes.added, ["globex"]);
    let after = service.call(both(), PLENTY).await.unwrap();
    assert_eq!(after[0].outcome(), Outcome::Resolved);
    assert_ne!(before[0].user, after[0].user, "another tenant's");
    let named = service.call(of("acme", both()), PLENTY).await.unwrap();
    assert_eq!(named[0].user, before[0].user);
    assert_eq!(service.default_tenant().await.name, "globex");
}

#[tokio::test]
async fn another_app_under_the_same_name_knows_nothing_of_the_one_before() {
    let service = Service::start().await;
    let both = || relaxed(vec![email("yiming.luo@both.example")]);
    let before = service.call(both(), PLENTY).await.unwrap();
    let mut config = service.config();
    let globex = config.tenants.pop().unwrap();
    config.tenants[0] = TenantConfig {
        name: "acme".to_owned(),
        ..globex
    };
    let changes = service.reload(&config).await.unwrap();
    assert_eq!(changes.added, ["acme"]);
    assert_eq!(changes.removed, ["acme", "globex"]);
    let after = service.call(both(), PLENTY).await.unwrap();
    assert_ne!(before[0].user, after[0].user);
    // Of the app that it now is, the other name had spent nothing.
    assert_eq!(service.default_tenant().await.month.unwrap().calls, 2);
}

#[tokio::test]
async fn what_is_mended_is_tried_at_once() {
    let service = Service::start_with(|config| acme(config).app_secret = NEW_SECRET.into()).await;
    let refused = service.ask(people(0..1)).await.unwrap_err();
    assert_eq!(reason(&refused), "BAD_CREDENTIALS");
    // By itself a refused secret would be asked about again after ten seconds.
    let mut config = service.config();
    let secret = service.sandbox.tenants()[0].app_secret.clone();
    acme(&mut config).app_secret = secret.into();
    service.reload(&config).await.unwrap();
    service.ask(people(0..1)).await.unwrap();

    acme(&mut config).proxy = Some("http://127.0.0.1:1".into());
    service.reload(&config).await.unwrap();
    while service.default_tenant().await.breaker() != BreakerState::Open {
        assert!(service.ask(people(0..1)).await.is_err());
    }
    // And a Feishu that has not answered five times, after half a minute.
    acme(&mut config).proxy = None;
    service.reload(&config).await.unwrap();
    service.ask(people(0..1)).await.unwrap();
}

#[tokio::test]
async fn a_shorter_ttl_holds_for_what_is_known() {
    let service = Service::start().await;
    let who = || relaxed(people(0..2));
    service.call(who(), PLENTY).await.unwrap();
    let mut config = service.config();
    config.cache.ttl = Duration::from_millis(300);
    service.reload(&config).await.unwrap();
    sleep(Duration::from_millis(400)).await;
    service.call(who(), PLENTY).await.unwrap();
    assert_eq!(service.count("batch_get_id_calls").await, 2);
    let status = service.status().await.cache.unwrap();
    assert_eq!(status.ttl.unwrap().nanos, 300_000_000);
}

#[tokio::test]
async fn another_quota_holds_at_once_and_knows_what_was_spent() {
    let service = Service::start_with(|config| config.quota.per_month = Some(2)).await;
    service.ask(people(0..1)).await.unwrap();
    let spent = service.ask(people(1..2)).await.unwrap_err();
    assert_eq!(reason(&spent), "MONTHLY_QUOTA_EXHAUSTED");
    let mut config = service.config();
    config.quota.per_month = None;
    config.quota.per_second = 2;
    service.reload(&config).await.unwrap();
    let began = Instant::now();
    for n in 1..6 {
        service.ask(people(n..n + 1)).await.unwrap();
    }
    // The first may find two places free, each pair of the others a second later.
    assert!(
        began.elapsed() > Duration::from_millis(900),
        "{:?}",
        began.elapsed()
    );
    let tenant = service.default_tenant().await;
    assert_eq!(tenant.quotas[0].limit, 2);
    assert_eq!(tenant.month.unwrap().calls, 7);
    config.quota.per_month = Some(7);
    service.reload(&config).await.unwrap();
    let spent = service.ask(people(7..8)).await.unwrap_err();
    assert_eq!(reason(&spent), "MONTHLY_QUOTA_EXHAUSTED");
}

#[tokio::test]
async fn what_a_tenant_that_was_added_has_learnt_and_spent_is_kept() {
    let scratch = Scratch::new("reload-kept");
    let mut service = Service::start_with(|config| scratch.keep_in(config)).await;
    let both = service.config();
    let mut one = both.clone();
    one.tenants.truncate(1);
    service.restart_as(one).await;
    service.reload(&both).await.unwrap();
    let who = || of("globex", relaxed(vec![email("yiming.luo@both.example")]));
    let before = service.call(who(), PLENTY).await.unwrap();
    service.restart_as(both).await;
    let after = service.call(who(), PLENTY).await.unwrap();
    assert_eq!(before, after);
    assert_eq!(service.count("batch_get_id_calls").await, 1);
    let status = service.status().await;
    assert_eq!(status.tenants[1].month.as_ref().unwrap().calls, 2);
}
