//! Whom the service is told that a request is from, and how much of the server is one caller's.

use std::{net::SocketAddr, sync::Arc};

use feishu_id::{
    caller::{CallerId, CertificateNames, Peer},
    metrics::HandshakeFailure,
    server::{Gate, Guard, ServerSettings},
};
use http::request::Parts;
use tonic::{Code, Request, Status};

use super::support::{AT_ONCE, Running, WAIT, request, soon};

#[tokio::test]
async fn the_requests_of_a_connection_have_one_caller_and_another_connection_has_another() {
    let server = Running::start(ServerSettings::default()).await;
    let mut first = server.identity().await;
    let mut second = server.identity().await;
    let mut callers = Vec::new();
    for client in [&mut first, &mut second] {
        for _ in 0..2 {
            let answer = soon(client.resolve_user_ids(request(AT_ONCE))).await;
            let metadata = answer.unwrap().metadata().clone();
            callers.push(metadata.get("caller").unwrap().clone());
        }
    }
    assert_eq!(callers[0], callers[1]);
    assert_eq!(callers[2], callers[3]);
    assert_ne!(callers[0], callers[2]);
}

/// Knows a caller by the number in the header `caller`.
struct Numbers;

impl Gate for Numbers {
    fn guard(&self, _: Peer, _: Option<CertificateNames>) -> Box<dyn Guard> {
        Box::new(Self)
    }

    fn turned_away(&self, _: SocketAddr, _: HandshakeFailure) {}
}

impl Guard for Numbers {
    fn admit(&self, request: &mut Parts) -> Result<Option<CallerId>, Box<Status>> {
        let number = request.headers.get("caller");
        let number = number.and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(number.map(CallerId::configured))
    }

    fn too_many(&self, _: &Parts) {}
}

#[tokio::test]
async fn one_caller_may_have_half_of_the_requests_in_flight_by_however_many_connections() {
    let server = Running::start(ServerSettings {
        max_requests_in_flight: 5,
        gate: Some(Arc::new(Numbers)),
        ..ServerSettings::default()
    })
    .await;
    let by = |caller: &str, tenant: &str| {
        let mut request = Request::new(request(tenant));
        request
            .metadata_mut()
            .insert("caller", caller.parse().unwrap());
        request
    };
    let mut waits = Vec::new();
    for _ in 0..3 {
        let (mut client, request) = (server.identity().await, by("7", WAIT));
        waits.push(tokio::spawn(async move {
            client.resolve_user_ids(request).await
        }));
    }
    server.double.until_open(3).await;
    let mut client = server.identity().await;
    for _ in 0..10 {
        let refused = client.resolve_user_ids(by("7", AT_ONCE)).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(refused.message().contains("this caller"), "{refused}");
        let pushback = refused.metadata().get("grpc-retry-pushback-ms").unwrap();
        assert_eq!(pushback, "1000");
    }
    for other in ["8", "none"] {
        client.resolve_user_ids(by(other, AT_ONCE)).await.unwrap();
    }
    server.double.release.cancel();
    for wait in waits {
        soon(wait).await.unwrap().unwrap();
    }
    for _ in 0..10 {
        client.resolve_user_ids(by("7", AT_ONCE)).await.unwrap();
    }
}
