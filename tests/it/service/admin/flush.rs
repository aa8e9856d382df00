//! What a flush forgets, and what it leaves.

use std::time::Duration;

use feishu_id::pb::identity::{
    FlushCacheRequest, FlushCacheResponse, Identifier, IdentifierList, Outcome, Resolution,
    ResolveUserIdsRequest, flush_cache_request::Target,
};
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::service::harness::{Service, email, mobile, people, reason, relaxed};

const TIME: Duration = Duration::from_secs(20);

fn these(identifiers: Vec<Identifier>) -> FlushCacheRequest {
    FlushCacheRequest {
        target: Some(Target::Identifiers(IdentifierList { identifiers })),
        ..FlushCacheRequest::default()
    }
}

fn everybody(tenant: &str) -> FlushCacheRequest {
    FlushCacheRequest {
        tenant: tenant.to_owned(),
        target: Some(Target::Everybody(true)),
        ..FlushCacheRequest::default()
    }
}

async fn flush(service: &Service, request: FlushCacheRequest) -> i64 {
    let flushed = service.admin().flush_cache(request).await.unwrap();
    let FlushCacheResponse {
        flushed_entries,
        flushed_records,
    } = flushed.into_inner();
    assert_eq!(flushed_records, 0, "there is no store");
    flushed_entries
}

async fn refused(service: &Service, request: FlushCacheRequest) -> Status {
    service.admin().flush_cache(request).await.unwrap_err()
}

async fn ask(service: &Service, request: ResolveUserIdsRequest) -> Vec<Outcome> {
    let answers = service.call(request, TIME).await.unwrap();
    answers.iter().map(Resolution::outcome).collect()
}

/// How many calls it takes to answer this.
async fn calls(service: &Service, request: ResolveUserIdsRequest) -> u64 {
    let before = service.count("batch_get_id_calls").await;
    ask(service, request).await;
    service.count("batch_get_id_calls").await - before
}

#[tokio::test]
async fn who_is_flushed_is_asked_for_again_and_the_others_are_not() {
    let service = Service::start().await;
    ask(&service, relaxed(people(0..4))).await;
    let resigned = ResolveUserIdsRequest {
        include_resigned: true,
        ..relaxed(people(0..1))
    };
    ask(&service, resigned.clone()).await;
    // By any spelling, and with the resigned and without.
    let flushed = flush(&service, these(vec![email(" Load-0@ACME.example")])).await;
    assert_eq!(flushed, 2);
    assert_eq!(calls(&service, relaxed(people(0..1))).await, 1);
    assert_eq!(calls(&service, resigned).await, 1);
    assert_eq!(calls(&service, relaxed(people(1..4))).await, 0);
    assert_eq!(flush(&service, these(people(50..60))).await, 0, "unknown");
}

#[tokio::test]
async fn only_who_is_not_there_is_forgotten_if_so_wished() {
    let service = Service::start().await;
    service
        .faults(json!({"poison": ["load-8@acme.example"]}))
        .await;
    let nobody = email("nobody@acme.example");
    let shared = email("shared.desk@acme.example");
    let others = vec![nobody.clone(), shared.clone(), email("load-8@acme.example")];
    let all = [people(0..4), others.clone()].concat();
    let outcomes = ask(&service, relaxed(all.clone())).await;
    let expected = [Outcome::NotFound, Outcome::Ambiguous, Outcome::Invalid];
    assert_eq!(outcomes[4..], expected);
    let negative = |request| FlushCacheRequest {
        negative_only: true,
        ..request
    };
    assert_eq!(flush(&service, negative(these(people(0..4)))).await, 0);
    assert_eq!(
        flush(&service, negative(these(vec![nobody.clone()]))).await,
        1
    );
    assert_eq!(flush(&service, negative(everybody("acme"))).await, 2);
    assert_eq!(calls(&service, relaxed(people(0..4))).await, 0);
    for one in others {
        assert!(calls(&service, relaxed(vec![one])).await > 0);
    }
}

#[tokio::test]
async fn a_tenants_flush_leaves_the_other_tenant() {
    let service = Service::start().await;
    let of = |tenant: &str| ResolveUserIdsRequest {
        tenant: tenant.to_owned(),
        ..relaxed(vec![email("yiming.luo@both.example")])
    };
    for tenant in ["acme", "globex"] {
        ask(&service, of(tenant)).await;
    }
    assert_eq!(flush(&service, everybody("globex")).await, 1);
    assert_eq!(calls(&service, of("acme")).await, 0);
    assert_eq!(calls(&service, of("globex")).await, 1);
    // An empty name is the default tenant; all is all.
    assert_eq!(flush(&service, everybody("")).await, 1);
    assert_eq!(calls(&service, of("globex")).await, 0);
    ask(&service, of("acme")).await;
    let all = FlushCacheRequest {
        target: Some(Target::AllTenants(true)),
        ..FlushCacheRequest::default()
    };
    assert_eq!(flush(&service, all).await, 2);
    assert_eq!(service.status().await.cache.unwrap().entries, 0);
}

#[tokio::test]
async fn who_is_flushed_in_an_outage_is_not_given_as_they_were() {
    let service = Service::start_with(|config| {
        config.cache.ttl = Duration::from_secs(1);
    })
    .await;
    ask(&service, relaxed(people(0..2))).await;
    service.faults(json!({"fault": "drop"})).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let answers = service.call(relaxed(people(0..2)), TIME).await.unwrap();
    assert!(answers.iter().all(|answer| answer.stale));
    assert_eq!(flush(&service, these(people(0..1))).await, 1);
    let answers = service.call(relaxed(people(0..2)), TIME).await.unwrap();
    assert_eq!(answers[0].outcome(), Outcome::Failed);
    let reason = answers[0].error.as_ref().unwrap().reason();
    assert_eq!(reason.as_str_name(), "ERROR_REASON_UPSTREAM_UNAVAILABLE");
    assert!(answers[1].stale, "the other one is");
}

#[tokio::test]
async fn the_answer_to_a_call_that_had_left_is_not_kept_and_not_waited_for() {
    let service = Service::start().await;
    // A token first: the call itself is what takes its time.
    ask(&service, relaxed(people(9..10))).await;
    let before = service.count("batch_get_id_calls").await;
    service.faults(json!({"latency_ms": 1000})).await;
    let first = ask(&service, relaxed(people(0..1)));
    let rest = async {
        while service.default_tenant().await.calls_in_flight == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(flush(&service, these(people(0..1))).await, 0);
        // Whoever comes now does not share the first one's call.
        ask(&service, relaxed(people(0..1))).await
    };
    let (first, second) = tokio::join!(first, rest);
    assert_eq!(
        (&first[..], &second[..]),
        (&[Outcome::Resolved][..], &[Outcome::Resolved][..])
    );
    assert_eq!(service.count("batch_get_id_calls").await - before, 2);
    // The second one's answer is kept.
    assert_eq!(calls(&service, relaxed(people(0..1))).await, 0);

    // Nobody asks between the flush and the answer: nothing is kept.
    let first = ask(&service, relaxed(people(1..2)));
    let rest = async {
        while service.default_tenant().await.calls_in_flight == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        flush(&service, everybody("")).await;
    };
    tokio::join!(first, rest);
    assert_eq!(service.default_tenant().await.entries, 0);
    assert_eq!(calls(&service, relaxed(people(1..2))).await, 1);
}

#[tokio::test]
async fn a_request_that_breaks_a_rule_says_which_and_nothing_is_flushed() {
    let service = Service::start().await;
    ask(&service, relaxed(people(0..1))).await;
    let broken = |number: usize, one: Identifier| {
        let mut all = people(0..6);
        all[number] = one;
        these(all)
    };
    let targets = |tenant: &str, target| FlushCacheRequest {
        tenant: tenant.to_owned(),
        target,
        ..FlushCacheRequest::default()
    };
    for (request, field, said) in [
        (
            broken(3, email("nobody")),
            "identifiers.identifiers[3].email",
            "not an e-mail address",
        ),
        (
            broken(5, mobile("12")),
            "identifiers.identifiers[5].mobile",
            "not a mobile number",
        ),
        (
            broken(0, Identifier::default()),
            "identifiers.identifiers[0]",
            "set email or mobile",
        ),
        (
            these(Vec::new()),
            "identifiers.identifiers",
            "1 to 1000 entries, has 0",
        ),
        (
            these(people(0..1001)),
            "identifiers.identifiers",
            "1 to 1000 entries, has 1001",
        ),
        (
            targets("acme", None),
            "target",
            "identifiers, everybody or all_tenants",
        ),
        (
            targets("", Some(Target::Everybody(false))),
            "everybody",
            "must be true",
        ),
        (
            targets("", Some(Target::AllTenants(false))),
            "all_tenants",
            "must be true",
        ),
        (
            targets("acme", Some(Target::AllTenants(true))),
            "tenant",
            "must be empty",
        ),
    ] {
        let status = refused(&service, request).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{field}: {status:?}");
        assert_eq!(reason(&status), "INVALID_REQUEST", "{field}");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations.len(), 1, "{field}");
        assert_eq!(violations[0].field, field);
        assert!(
            violations[0].description.contains(said),
            "{:?}",
            violations[0]
        );
        assert!(status.message().contains(field) && status.message().contains(said));
    }
    let status = refused(&service, everybody("nowhere")).await;
    assert_eq!(
        (status.code(), &*reason(&status)),
        (Code::NotFound, "TENANT_NOT_FOUND")
    );
    assert_eq!(service.default_tenant().await.entries, 1);
}
