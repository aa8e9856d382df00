//! The end of a server: nothing in flight is lost, and nobody can hold it up.

use std::time::Duration;

use feishu_id::{
    pb::{
        health::{HealthCheckRequest, health_check_response::ServingStatus},
        identity::identity_service_client::IdentityServiceClient,
    },
    server::{ServerSettings, serve_io},
    shutdown::Shutdown,
};
use futures_util::future::join_all;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::Instant};
use tonic::{Code, transport::Endpoint};

use super::{
    raw::{GOAWAY, HEADERS, RESOLVE, RESOLVE_STREAM, Raw, SETTINGS, WINDOW_UPDATE},
    support::{AT_ONCE, Double, Running, WAIT, request, routes, soon},
};

/// The bound of the drains here; no wait inside them comes near it unless it should.
const BOUND: Duration = Duration::from_secs(2);

fn settings() -> ServerSettings {
    ServerSettings {
        drain_timeout: BOUND,
        ..ServerSettings::default()
    }
}

/// A client that takes a stream without end, with no flow control to stop it, and reads nothing.
async fn non_reader(server: &Running) -> Raw {
    let mut raw = Raw::open(server.address).await;
    raw.frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    raw.frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0, 0]);
    raw.call(1, RESOLVE_STREAM, &[("flood", "yes")]);
    raw.message(1, &[]);
    raw.send().await;
    raw
}

#[tokio::test]
async fn a_drain_fails_no_call_and_keeps_its_bound_whoever_is_connected() {
    let server = Running::start(settings()).await;
    server.health.ready();
    let mut watch = server.health_client().await;
    let mut watch = watch
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );

    let _silent = Raw::silent(server.address).await;
    let mut said_hello = Raw::open(server.address).await;
    said_hello.until(SETTINGS).await.unwrap();
    let _non_reader = non_reader(&server).await;
    let clients = join_all((0..5).map(|_| server.identity())).await;
    let calls: Vec<_> = (0..200)
        .map(|n| {
            let mut client = clients[n % clients.len()].clone();
            tokio::spawn(async move { client.resolve_user_ids(request(WAIT)).await })
        })
        .collect();
    server.double.until_open(201).await;

    let begun = Instant::now();
    server.shutdown.drain();
    // The drain has reached the connections before the calls are answered.
    said_hello.until(GOAWAY).await.unwrap();
    server.double.release.cancel();
    for call in calls {
        soon(call).await.unwrap().unwrap();
    }
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::NotServing
    );
    assert_eq!(watch.message().await.unwrap_err().code(), Code::Unavailable);

    let double = server.double.clone();
    let outcome = server.ended().await;
    assert!(
        begun.elapsed() < BOUND + Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        outcome.cut_connections >= 1,
        "the non-reader is cut: {outcome:?}"
    );
    double.until_open(0).await;
}

#[tokio::test]
async fn a_drain_without_anybody_connected_ends_at_once() {
    let server = Running::start(ServerSettings {
        drain_timeout: Duration::from_mins(1),
        ..settings()
    })
    .await;
    let _silent = Raw::silent(server.address).await;
    let mut client = server.identity().await;
    client.resolve_user_ids(request(AT_ONCE)).await.unwrap();
    server.shutdown.drain();
    assert_eq!(server.ended().await.cut_connections, 0);
}

/// A client that says nothing more, not even that it has got GOAWAY.
async fn mute(server: &Running) -> Raw {
    let mut raw = Raw::open(server.address).await;
    raw.until(SETTINGS).await.unwrap();
    raw
}

#[tokio::test]
async fn a_drain_waits_a_moment_for_clients_that_have_nothing_open_and_do_not_answer() {
    let server = Running::start(ServerSettings {
        drain_timeout: Duration::from_mins(1),
        ..settings()
    })
    .await;
    let mut idle = mute(&server).await;
    // Its call was answered; it takes no notice of that either.
    let mut answered = mute(&server).await;
    answered.call(1, RESOLVE, &[]);
    answered.message(1, &[]);
    answered.send().await;
    answered.until(HEADERS).await.unwrap();
    let begun = Instant::now();
    server.shutdown.drain();
    idle.until(GOAWAY).await.unwrap();
    answered.until(GOAWAY).await.unwrap();
    assert_eq!(server.ended().await.cut_connections, 0);
    // Two seconds, and time for a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn a_drain_waits_for_a_call_on_a_connection_that_does_not_answer_goaway() {
    let server = Running::start(ServerSettings {
        drain_timeout: Duration::from_mins(1),
        ..settings()
    })
    .await;
    let mut mute = mute(&server).await;
    mute.call(1, RESOLVE, &[]);
    // `tenant`, the first field.
    mute.message(1, &[&[0x0a, 4][..], WAIT.as_bytes()].concat());
    mute.send().await;
    server.double.until_open(1).await;
    server.shutdown.drain();
    mute.until(GOAWAY).await.unwrap();
    // Longer than it would wait for one with nothing open.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    server.double.release.cancel();
    assert_eq!(mute.until(HEADERS).await.unwrap().stream, 1);
    assert_eq!(server.ended().await.cut_connections, 0);
}

#[tokio::test]
async fn a_drain_closes_the_listener_before_it_waits() {
    let server = Running::start(settings()).await;
    let mut client = server.identity().await;
    let call = tokio::spawn(async move { client.resolve_user_ids(request(WAIT)).await });
    server.double.until_open(1).await;
    let mut witness = Raw::open(server.address).await;
    witness.until(SETTINGS).await.unwrap();
    server.shutdown.drain();
    witness.until(GOAWAY).await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
    server.double.release.cancel();
    soon(call).await.unwrap().unwrap();
    server.ended().await;
}

#[tokio::test]
async fn a_forced_stop_waits_for_nobody() {
    let server = Running::start(ServerSettings {
        drain_timeout: Duration::from_mins(1),
        ..settings()
    })
    .await;
    let mut client = server.identity().await;
    let call = tokio::spawn(async move { client.resolve_user_ids(request(WAIT)).await });
    server.double.until_open(1).await;
    server.shutdown.force();
    let double = server.double.clone();
    assert_eq!(server.ended().await.cut_connections, 1);
    double.until_open(0).await;
    soon(call).await.unwrap().unwrap_err();
}

#[tokio::test]
async fn one_connection_without_a_port_is_served_like_others() {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let shutdown = Shutdown::default();
    let (routes, _health) = routes(&Double::new(), &shutdown);
    let served = tokio::spawn(serve_io(theirs, routes, settings(), shutdown.clone()));
    let mut ours = Some(TokioIo::new(ours));
    let channel = Endpoint::from_static("http://inside")
        .connect_with_connector(tower::service_fn(move |_| {
            let ours = ours.take();
            async move { ours.ok_or(std::io::Error::from(std::io::ErrorKind::NotConnected)) }
        }))
        .await
        .unwrap();
    let mut client = IdentityServiceClient::new(channel);
    let answer = client.resolve_user_ids(request(AT_ONCE)).await.unwrap();
    assert_eq!(answer.metadata().get("address").unwrap(), "none");
    shutdown.drain();
    soon(served).await.unwrap();
}
