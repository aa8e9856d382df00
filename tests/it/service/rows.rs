//! What Feishu's rows can look like, and whose answer each is.

use feishu_id::pb::identity::{ErrorReason, Outcome, ResolveUserIdsRequest, UserIdType};
use serde_json::json;

use super::harness::{Service, email, mobile, outcomes, people, request};

#[tokio::test]
async fn rows_in_any_order_number_and_spelling_reach_their_own_identifiers() {
    let service = Service::start().await;
    let who: Vec<_> = [
        email("wei.wang@acme.example"),
        mobile("+8613000000000"),
        email("nobody@acme.example"),
        mobile("+12025550100"),
    ]
    .into_iter()
    .chain(people(0..90))
    .collect();
    let plain = service.ask(who.clone()).await.unwrap();
    for switches in [
        json!({"row_order": "shuffled"}),
        json!({"duplicate_rows": true}),
        json!({"misses": "dropped"}),
        json!({"email_echo": "as_stored"}),
        json!({"mobile_echo": "with_86"}),
        json!({"mobile_echo": "without_86"}),
    ] {
        service.faults(switches.clone()).await;
        let answers = service.ask(who.clone()).await.unwrap();
        for (expected, got) in plain.iter().zip(&answers) {
            assert!(expected.user == got.user, "{switches}");
            assert_eq!(expected.outcome, got.outcome, "{switches}");
        }
    }
}

#[tokio::test]
async fn one_identifier_that_feishu_refuses_fails_alone() {
    let service = Service::start().await;
    for switches in [
        json!({"poison_answer": "99992402", "poison_field_violations": true}),
        json!({"poison_answer": "99992402", "poison_field_violations": false}),
        json!({"poison_answer": "40001", "poison_field_violations": false}),
        json!({"poison_answer": "9499", "poison_field_violations": false}),
    ] {
        service
            .faults(json!({"poison": ["load-8@acme.example"]}))
            .await;
        service.faults(switches.clone()).await;
        let answers = service.ask(people(0..100)).await.unwrap();
        let bad = answers
            .iter()
            .position(|a| a.outcome == i32::from(Outcome::Invalid));
        assert_eq!(bad, Some(8), "{switches}: {:?}", outcomes(&answers));
        assert_eq!(outcomes(&answers)["OUTCOME_RESOLVED"], 99);
        let error = answers[8].error.as_ref().unwrap();
        assert_eq!(error.reason(), ErrorReason::RefusedByFeishu);
    }
}

#[tokio::test]
async fn without_its_field_scope_a_kind_of_id_is_failed_and_never_not_found() {
    for refusal in ["omit", "refuse"] {
        let service = Service::start().await;
        // What was given before proves nothing.
        let before = service
            .ask(vec![email("wei.wang@acme.example")])
            .await
            .unwrap();
        assert_eq!(before[0].outcome(), Outcome::Resolved);
        service
            .faults(json!({
                "scopes_removed": ["contact:user.employee_id:readonly"],
                "user_id_without_scope": refusal,
            }))
            .await;
        let answers = service
            .ask(vec![email("wei.wang@acme.example")])
            .await
            .unwrap();
        let error = answers[0].error.as_ref().unwrap();
        assert_eq!(answers[0].outcome(), Outcome::Failed);
        assert_eq!(error.reason(), ErrorReason::IdKindNotGranted);
        assert!(error.message.contains("contact:user.employee_id:readonly"));
        assert!(error.help_url.contains("contact:user.employee_id:readonly"));
        let both = ResolveUserIdsRequest {
            user_id_types: vec![UserIdType::UserId.into(), UserIdType::OpenId.into()],
            ..request(vec![email("wei.wang@acme.example")])
        };
        let answers = service
            .call(both, std::time::Duration::from_secs(5))
            .await
            .unwrap();
        let user = answers[0].user.as_ref().unwrap();
        assert_eq!(answers[0].outcome(), Outcome::Resolved);
        assert!(user.user_id.is_empty() && user.open_id.starts_with("ou_"));
        assert_eq!(
            answers[0].error.as_ref().unwrap().reason(),
            ErrorReason::IdKindNotGranted
        );
    }
}

#[tokio::test]
async fn who_shares_an_address_is_ambiguous_with_a_candidate_a_row() {
    let service = Service::start().await;
    let answers = service
        .ask(vec![email("shared.desk@acme.example")])
        .await
        .unwrap();
    assert_eq!(answers[0].outcome(), Outcome::Ambiguous);
    assert_eq!(answers[0].candidates.len(), 2);
    assert!(
        answers[0]
            .candidates
            .iter()
            .all(|c| !c.user_id.is_empty() && c.open_id.is_empty())
    );
    assert!(answers[0].user.is_none() && answers[0].resolve_time.is_some());
}

#[tokio::test]
async fn a_recycled_address_is_who_is_there_now_with_and_without_statuses() {
    let service = Service::start().await;
    let everybody = || ResolveUserIdsRequest {
        include_resigned: true,
        ..request(vec![email("frontdesk@acme.example")])
    };
    let time = std::time::Duration::from_secs(5);
    let seen = service.call(everybody(), time).await.unwrap();
    assert_eq!(seen[0].outcome(), Outcome::Resolved);
    assert!(
        !seen[0]
            .user
            .as_ref()
            .unwrap()
            .status
            .as_ref()
            .unwrap()
            .resigned
    );
    let scopes = [
        "contact:user.employee:readonly",
        "contact:contact:access_as_app",
        "contact:contact:readonly",
        "contact:contact:readonly_as_app",
    ];
    service.faults(json!({"scopes_removed": scopes})).await;
    let blind = service.call(everybody(), time).await.unwrap();
    assert_eq!(blind[0].outcome(), Outcome::Resolved);
    let user = blind[0].user.as_ref().unwrap();
    assert_eq!(user.user_id, seen[0].user.as_ref().unwrap().user_id);
    assert!(user.status.is_none());
}
