//! What each caller may ask for.

use feishu_id::{
    config::IdKind,
    pb::identity::{
        ErrorReason, Outcome, Resolution, ResolveUserIdsRequest, UserIdType,
        resolve_user_ids_stream_response::Result as Answer,
    },
};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{about, batch, by, caller, is_denied, of_kinds, start};
use crate::service::harness::{Service, people};

async fn ask(
    service: &Service,
    key: &str,
    request: ResolveUserIdsRequest,
) -> Result<Vec<Outcome>, Status> {
    let answer = service.client().resolve_user_ids(by(key, request)).await?;
    let resolutions = answer.into_inner().resolutions;
    Ok(resolutions.iter().map(Resolution::outcome).collect())
}

#[tokio::test]
async fn a_caller_asks_about_their_own_tenants_alone() {
    let service = start(vec![
        caller("billing", &["globex"]),
        caller("both", &["acme", "globex"]),
        caller("all", &["*"]),
    ])
    .await;
    let who = || people(0..2);
    assert_eq!(
        ask(&service, "billing", about("globex", who()))
            .await
            .unwrap()
            .len(),
        2
    );
    // acme is the default.
    for tenant in ["acme", "", "nowhere", "ACME", "Not a name!"] {
        let denied = ask(&service, "billing", about(tenant, who()))
            .await
            .unwrap_err();
        is_denied(&denied);
        let info = denied.get_details_error_info().unwrap();
        let named = ["acme", "nowhere"].contains(&tenant).then_some(tenant);
        assert_eq!(
            info.metadata.get("tenant").map(String::as_str),
            named,
            "{tenant}"
        );
    }
    for key in ["both", "all"] {
        for tenant in ["acme", "", "globex"] {
            assert_eq!(
                ask(&service, key, about(tenant, who()))
                    .await
                    .unwrap()
                    .len(),
                2
            );
        }
        // There is no such tenant, and nobody is told so.
        is_denied(
            &ask(&service, key, about("nowhere", who()))
                .await
                .unwrap_err(),
        );
    }
}

#[tokio::test]
async fn in_a_stream_a_batch_about_another_tenant_fails_alone() {
    let service = start(vec![caller("billing", &["globex"])]).await;
    let tenants = ["globex", "acme", "", "nowhere", "globex"];
    let batches = (0..)
        .zip(tenants)
        .map(|(id, tenant)| batch(id, about(tenant, people(0..1))));
    let batches: Vec<_> = batches.collect();
    let request = by("billing", tokio_stream::iter(batches));
    let stream = service
        .client()
        .resolve_user_ids_stream(request)
        .await
        .unwrap();
    let mut answers = stream.into_inner();
    let mut denied = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        match answer.result.unwrap() {
            Answer::Response(_) => assert!([0, 4].contains(&answer.batch_id)),
            Answer::Error(error) => {
                assert_eq!(error.reason(), ErrorReason::PermissionDenied);
                denied.push((answer.batch_id, error.message));
            }
        }
    }
    denied.sort();
    assert_eq!(
        denied.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert!(
        denied.iter().all(|(_, message)| *message == denied[0].1),
        "{denied:?}"
    );
}

#[tokio::test]
async fn a_kind_of_id_that_a_caller_may_not_ask_for_is_named() {
    let mut billing = caller("billing", &["acme"]);
    billing.user_id_types = vec![IdKind::OpenId];
    let service = start(vec![billing]).await;
    let request = |kinds: &[UserIdType]| of_kinds(kinds, about("acme", people(0..1)));
    ask(&service, "billing", request(&[UserIdType::OpenId]))
        .await
        .unwrap();
    for (kinds, named) in [
        // None means the user ID.
        (&[][..], "user_id"),
        (&[UserIdType::UserId], "user_id"),
        (&[UserIdType::OpenId, UserIdType::UnionId], "union_id"),
    ] {
        let denied = ask(&service, "billing", request(kinds)).await.unwrap_err();
        is_denied(&denied);
        assert!(denied.message().contains(named), "{}", denied.message());
    }
}

#[tokio::test]
async fn answers_younger_than_a_minute_need_a_permission() {
    let mut fresh = caller("fresh", &["acme"]);
    fresh.fresh = true;
    let service = start(vec![caller("billing", &["acme"]), fresh]).await;
    let request = |seconds, nanos| ResolveUserIdsRequest {
        max_age: Some(prost_types::Duration { seconds, nanos }),
        ..about("acme", people(0..1))
    };
    for (seconds, nanos) in [(0, 0), (59, 999_999_999)] {
        let denied = ask(&service, "billing", request(seconds, nanos))
            .await
            .unwrap_err();
        is_denied(&denied);
        assert!(denied.message().contains("fresh"), "{}", denied.message());
        ask(&service, "fresh", request(seconds, nanos))
            .await
            .unwrap();
    }
    ask(&service, "billing", request(60, 0)).await.unwrap();
}
