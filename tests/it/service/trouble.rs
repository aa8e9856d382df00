//! What goes wrong at Feishu, and the clear error that callers get for it.

use std::time::Duration;

use feishu_id::pb::identity::{ErrorReason, Outcome};
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::harness::{Service, outcomes, people, reason, request};

/// The sandbox's switches for a trouble; the status code, how the reason begins, and a piece of the
/// message that callers get.
fn troubles() -> Vec<(Value, Code, &'static str, &'static str)> {
    use Code::{FailedPrecondition, ResourceExhausted, Unavailable};
    let fault = |kind: &str| json!({"fault": kind, "fault_endpoint": "batch_get_id"});
    let code =
        |code: i64| json!({"fault": "code", "fault_code": code, "fault_endpoint": "batch_get_id"});
    let status = |status: u16, body: &str| {
        json!({"fault": "status", "fault_status": status, "fault_body": body,
               "fault_endpoint": "batch_get_id"})
    };
    vec![
        (fault("truncated_json"), Unavailable, "UPSTREAM_", ""),
        (
            fault("oversized_body"),
            Unavailable,
            "UPSTREAM_INVALID_RESPONSE",
            "longer than",
        ),
        (
            fault("not_json"),
            Unavailable,
            "UPSTREAM_INVALID_RESPONSE",
            "base_url",
        ),
        (
            fault("drop"),
            Unavailable,
            "UPSTREAM_UNAVAILABLE",
            "connection",
        ),
        (
            fault("drop_mid_body"),
            Unavailable,
            "UPSTREAM_UNAVAILABLE",
            "connection",
        ),
        (
            status(502, "html"),
            Unavailable,
            "UPSTREAM_UNAVAILABLE",
            "502",
        ),
        (
            status(404, "text"),
            Unavailable,
            "UPSTREAM_INVALID_RESPONSE",
            "base_url",
        ),
        (code(2200), Unavailable, "UPSTREAM_UNAVAILABLE", "trouble"),
        (
            code(12345),
            Unavailable,
            "UPSTREAM_INVALID_RESPONSE",
            "12345",
        ),
        (
            code(99_991_400),
            ResourceExhausted,
            "QUOTA_EXHAUSTED",
            "rate limit",
        ),
        (
            json!({"quota_month_spent": true}),
            ResourceExhausted,
            "MONTHLY_QUOTA_EXHAUSTED",
            "month",
        ),
        (
            json!({"app_disabled": true}),
            FailedPrecondition,
            "APP_UNAVAILABLE",
            "enable",
        ),
        (
            json!({"ip_denied": true}),
            FailedPrecondition,
            "APP_UNAVAILABLE",
            "allow-list",
        ),
        (
            json!({"scopes_removed": ["contact:user.id:readonly"]}),
            FailedPrecondition,
            "SCOPE_MISSING",
            "contact:user.id:readonly",
        ),
    ]
}

#[tokio::test]
async fn every_trouble_has_its_code_reason_and_advice_and_ends_with_its_cause() {
    let mut service = Service::start().await;
    for (switches, code, reason_start, advice) in troubles() {
        service.faults(switches.clone()).await;
        // Time for all attempts, and for one pause after a refusal.
        let time = Duration::from_secs(2);
        let asked = service.call(request(people(0..1)), time).await;
        let status = asked.unwrap_err();
        assert_eq!(status.code(), code, "{switches}: {status:?}");
        assert!(
            reason(&status).starts_with(reason_start),
            "{switches}: {status:?}"
        );
        assert!(
            status.message().contains(advice),
            "{switches}: {}",
            status.message()
        );
        assert!(!status.message().contains("load-0"), "{switches}");
        let pushback = status.metadata().get("grpc-retry-pushback-ms").unwrap();
        let retries = status.get_details_retry_info().is_some();
        assert_eq!(retries, pushback != "-1", "{switches}");
        assert_eq!(retries, code != Code::FailedPrecondition, "{switches}");
        service
            .faults(
                json!({"fault": "none", "quota_month_spent": false, "app_disabled": false,
                              "ip_denied": false, "scopes_removed": []}),
            )
            .await;
        if reason_start == "MONTHLY_QUOTA_EXHAUSTED" {
            // It is asked about once an hour.
            let status = service.ask(people(0..1)).await.unwrap_err();
            assert_eq!(reason(&status), reason_start);
            service.restart().await;
        }
        let answers = service.ask(people(0..1)).await.unwrap();
        assert_eq!(answers[0].outcome(), Outcome::Resolved, "after {switches}");
    }
}

#[tokio::test]
async fn a_missing_scope_comes_with_feishus_log_id_and_link() {
    let service = Service::start().await;
    service
        .faults(json!({"scopes_removed": ["contact:user.id:readonly"]}))
        .await;
    let status = service.ask(people(0..1)).await.unwrap_err();
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata["tenant"], "acme");
    assert_eq!(info.metadata["feishu_code"], "99991672");
    assert!(!info.metadata["feishu_log_id"].is_empty());
    let help = status.get_details_help().unwrap();
    assert!(help.links[0].url.starts_with("http"));
}

#[tokio::test]
async fn the_callers_deadline_ends_the_call_and_keeps_what_is_answered() {
    let mut service = Service::start().await;
    service.ask(people(0..1)).await.unwrap();
    service
        .faults(json!({"fault": "hang", "fault_next": 1, "fault_endpoint": "batch_get_id"}))
        .await;
    let time = Duration::from_millis(600);
    // Three calls, of which the first to arrive hangs. The client itself would end its call with an error
    // at the deadline.
    let answers = service.call(request(people(0..300)), time).await.unwrap();
    let counts = outcomes(&answers);
    assert_eq!(
        (counts["OUTCOME_RESOLVED"], counts["OUTCOME_FAILED"]),
        (200, 100)
    );
    let late = answers.iter().filter_map(|a| a.error.as_ref());
    assert!(
        late.clone()
            .all(|e| e.reason() == ErrorReason::DeadlineExceeded)
    );

    service
        .faults(json!({"fault": "hang", "fault_next": null}))
        .await;
    let status = service.call(request(people(0..1)), time).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(reason(&status), "DEADLINE_EXCEEDED");
    service.faults(json!({"fault_endpoint": "token"})).await;
    service.restart().await;
    let status = service.call(request(people(0..1)), time).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_feishu_that_is_silent_is_unavailable_within_its_own_bound() {
    let service = Service::start_with(|config| {
        config.upstream.timeout = Duration::from_millis(300);
    })
    .await;
    service.faults(json!({"fault": "hang"})).await;
    let status = service.ask(people(0..1)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("did not answer in time"));
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_with_a_reason_and_the_next_is_answered() {
    let service = Service::start().await;
    let long = || vec![super::harness::email(&"x".repeat(2 * 1024 * 1024))];
    let status = service.ask(long()).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert_eq!(reason(&status), "INVALID_REQUEST");
    let batch = feishu_id::pb::identity::ResolveUserIdsStreamRequest {
        batch_id: 1,
        request: Some(request(long())),
        timeout: None,
    };
    let mut answers = service
        .client()
        .resolve_user_ids_stream(tokio_stream::iter([batch]))
        .await
        .unwrap()
        .into_inner();
    let status = answers.message().await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert_eq!(reason(&status), "INVALID_REQUEST");
    let answers = service.ask(people(0..1)).await.unwrap();
    assert_eq!(answers[0].outcome(), Outcome::Resolved);
}
