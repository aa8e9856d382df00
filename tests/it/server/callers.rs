//! Whom the service is told that a request is from, and how much of the server is one caller's.

use std::{net::SocketAddr, sync::Arc};

use feishu_id::{
    caller::{CallerId, CertificateNames, Peer},
    metrics::HandshakeFailure,
    pb::identity::ResolveUserIdsRequest,
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

fn by(caller: &str, tenant: &str) -> Request<ResolveUserIdsRequest> {
    let mut request = Request::new(request(tenant));
    let metadata = request.metadata_mut();
    metadata.insert("caller", caller.parse().unwrap());
    request
}

#[tokio::test]
async fn one_caller_may_have_half_of_the_requests_in_flight_by_however_many_connections() {
    let server = Running::start(ServerSettings {
        max_requests_in_flight: 5,
        gate: Some(Arc::new(Numbers)),
        ..ServerSettings::default()
    })
    .await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_caller_has_in_flight_is_counted_right_whichever_threads_work_on_it() {
    let server = Running::start(ServerSettings {
        max_requests_in_flight: 8,
        gate: Some(Arc::new(Numbers)),
        ..ServerSettings::default()
    })
    .await;
    let mut waits = Vec::new();
    let mut wait = async |caller: &str| {
        let (mut client, request) = (server.identity().await, by(caller, WAIT));
        waits.push(tokio::spawn(async move {
            client.resolve_user_ids(request).await
        }));
    };
    // Another one has half, so that each request of the first is counted over all threads.
    for _ in 0..4 {
        wait("8").await;
    }
    server.double.until_open(4).await;
    let mut calls = Vec::new();
    // A place may be free a little after its answer has come: two callers may have four of them.
    for _ in 0..2 {
        let mut client = server.identity().await;
        calls.push(tokio::spawn(async move {
            for _ in 0..1000 {
                client.resolve_user_ids(by("7", AT_ONCE)).await.unwrap();
            }
        }));
    }
    for call in calls {
        soon(call).await.unwrap();
    }
    // Nothing is left of those, and the share is what it was.
    for _ in 0..4 {
        wait("7").await;
    }
    server.double.until_open(8).await;
    server.double.release.cancel();
    for wait in waits {
        soon(wait).await.unwrap().unwrap();
    }
}
