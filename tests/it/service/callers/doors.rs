//! Nobody gets in by any door without a credential, but for the question whether the server is well.

use feishu_id::pb::{
    health::{HealthCheckRequest, HealthListRequest, health_client::HealthClient},
    identity::{
        FlushCacheRequest, GetStatusRequest, admin_service_client::AdminServiceClient,
        flush_cache_request::Target, identity_service_client::IdentityServiceClient,
    },
};
use tonic::{Code, Request, Status, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::{
    v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest,
    },
    v1alpha,
};

use super::{about, batch, by, caller, is_unknown, start};
use crate::service::harness::{Service, people};

/// What a caller with these credentials gets at each door but health.
async fn knock(service: &Service, credentials: &[&str]) -> Vec<Result<(), Status>> {
    fn with<T>(message: T, credentials: &[&str]) -> Request<T> {
        let mut request = Request::new(message);
        for credential in credentials {
            let value = credential.parse().unwrap();
            request.metadata_mut().append("authorization", value);
        }
        request
    }
    let channel = service.channel();
    let mut identity = IdentityServiceClient::new(channel.clone());
    let mut admin = AdminServiceClient::new(channel.clone());
    let question = about("acme", people(0..1));
    let flush = FlushCacheRequest {
        target: Some(Target::Everybody(true)),
        ..FlushCacheRequest::default()
    };
    let list = || MessageRequest::ListServices(String::new());
    let reflect = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(list()),
    };
    let reflect_alpha = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let mut v1 = ServerReflectionClient::new(channel.clone());
    let mut alpha = v1alpha::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let stream = tokio_stream::iter([batch(1, question.clone())]);
    let mut answers = vec![
        identity
            .resolve_user_ids(with(question, credentials))
            .await
            .map(drop),
        admin.flush_cache(with(flush, credentials)).await.map(drop),
        admin
            .get_status(with(GetStatusRequest::default(), credentials))
            .await
            .map(drop),
        v1.server_reflection_info(with(tokio_stream::iter([reflect]), credentials))
            .await
            .map(drop),
        alpha
            .server_reflection_info(with(tokio_stream::iter([reflect_alpha]), credentials))
            .await
            .map(drop),
    ];
    let streamed = identity
        .resolve_user_ids_stream(with(stream, credentials))
        .await;
    answers.push(match streamed {
        Ok(response) => response.into_inner().message().await.map(drop),
        Err(status) => Err(status),
    });
    answers
}

#[tokio::test]
async fn without_a_credential_every_door_but_health_is_shut() {
    let service = start(vec![caller("billing", &["acme"])]).await;
    for answer in knock(&service, &[]).await {
        let status = answer.unwrap_err();
        is_unknown(&status);
        assert!(
            status.message().contains("authorization: Bearer"),
            "{}",
            status.message()
        );
    }
    let mut health = HealthClient::new(service.channel());
    health.check(HealthCheckRequest::default()).await.unwrap();
    health.list(HealthListRequest::default()).await.unwrap();
    let watch = health.watch(HealthCheckRequest::default()).await.unwrap();
    assert!(watch.into_inner().message().await.unwrap().is_some());
    assert_eq!(service.count("token_requests").await, 0, "nobody was asked");
}

#[tokio::test]
async fn what_is_no_key_of_anybodys_opens_nothing() {
    let service = start(vec![caller("billing", &["acme"])]).await;
    for credentials in [
        &["Bearer nobody"][..],
        &["Bearer billing "],
        &["Bearer  billing"],
        &["Bearer Billing"],
        &["Basic billing"],
        &["billing"],
        &["Bearer"],
        &[""],
        &["Bearer billing", "Bearer billing"],
        // The hash is in the configuration, which is no reason to let anybody in by it.
        &["Bearer sha256:41eb27f4a85b9a8dd28ef5c5f08e1ea1e8d3b7b2d0d4ee8f3e18a4ef2b2c5a4d"],
    ] {
        for answer in knock(&service, credentials).await {
            is_unknown(&answer.unwrap_err());
        }
    }
}

#[tokio::test]
async fn a_key_opens_every_door_that_its_caller_may_use() {
    let mut billing = caller("billing", &["acme"]);
    billing.admin = true;
    billing.key_hashes.push(super::hash("another"));
    let service = start(vec![billing]).await;
    for key in ["Bearer billing", "bearer billing", "Bearer another"] {
        for answer in knock(&service, &[key]).await {
            answer.unwrap();
        }
    }
}

#[tokio::test]
async fn a_stranger_does_not_learn_which_methods_there_are() {
    let service = start(vec![caller("billing", &["acme"])]).await;
    for path in [
        "/feishu.identity.v1.IdentityService/ResolveUserIds",
        "/feishu.identity.v1.IdentityService/NoSuchMethod",
        "/no.such.Service/Method",
        "/grpc.health.v1.Healthy/Check",
        "//grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health",
    ] {
        let call = async |request: Request<()>| {
            let mut client = Grpc::new(service.channel());
            client.ready().await.unwrap();
            let codec: ProstCodec<_, ()> = ProstCodec::default();
            let path = PathAndQuery::try_from(path).unwrap();
            client.unary(request, path, codec).await.unwrap_err()
        };
        is_unknown(&call(Request::new(())).await);
        let known = call(by("billing", ())).await;
        assert_ne!(known.code(), Code::Unauthenticated, "{path}");
    }
}

#[tokio::test]
async fn a_key_that_is_revoked_is_refused_at_once_also_on_an_open_stream() {
    let service = start(vec![
        caller("billing", &["acme"]),
        caller("chat", &["acme"]),
    ])
    .await;
    let (batches, received) = tokio::sync::mpsc::channel(1);
    let received = tokio_stream::wrappers::ReceiverStream::new(received);
    let mut client = service.client();
    let stream = client.resolve_user_ids_stream(by("billing", received));
    batches
        .send(batch(1, about("acme", people(0..1))))
        .await
        .unwrap();
    let mut answers = stream.await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().batch_id, 1);

    let mut config = service.config();
    config.callers.clear();
    service.reload(&config).await.unwrap();
    batches
        .send(batch(2, about("acme", people(0..1))))
        .await
        .unwrap();
    is_unknown(&answers.message().await.unwrap_err());
    for key in ["billing", "chat", "nobody"] {
        let request = by(key, about("acme", people(0..1)));
        is_unknown(
            &service
                .client()
                .resolve_user_ids(request)
                .await
                .unwrap_err(),
        );
    }
}

#[tokio::test]
async fn with_nobody_configured_keys_are_not_looked_at() {
    let service = start(Vec::new()).await;
    for credentials in [&[][..], &["Bearer nobody"], &["Basic x", "Basic y"]] {
        for answer in knock(&service, credentials).await {
            answer.unwrap();
        }
    }
}
