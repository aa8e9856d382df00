//! What one client can take from the others: nothing.

use std::{collections::HashSet, sync::atomic::Ordering, time::Duration};

use feishu_id::{pb::health::HealthCheckRequest, server::ServerSettings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{
    raw::{
        A_MOMENT, DATA, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, NO_ERROR, REFUSED_STREAM, RESOLVE,
        RESOLVE_STREAM, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE, error_code,
    },
    support::{AT_ONCE, Running, WAIT, assert_alive, connection, request, soon},
};

#[tokio::test]
async fn connections_over_the_cap_are_closed_and_the_place_comes_back() {
    let server = Running::start(ServerSettings {
        max_connections: 1,
        ..ServerSettings::default()
    })
    .await;
    let mut first = server.identity().await;
    first.resolve_user_ids(request(AT_ONCE)).await.unwrap();
    assert_eq!(Raw::open(server.address).await.until_closed().await, 0);
    first.resolve_user_ids(request(AT_ONCE)).await.unwrap();
    drop(first);
    let mut next = Raw::open(server.address).await;
    soon(async {
        while next.next().await.is_none() {
            next = Raw::open(server.address).await;
        }
    })
    .await;
}

#[tokio::test]
async fn garbage_closes_its_own_connection_only() {
    let server = Running::start(ServerSettings::default()).await;
    for garbage in [
        "\0\0\0",
        "\u{16}\u{3}\u{1}hello",
        "SSH-2.0-x\r\n",
        "PRI * HTTP/1.1\r\n\r\n",
    ] {
        let mut raw = Raw::silent(server.address).await;
        raw.tcp.write_all(garbage.as_bytes()).await.unwrap();
        raw.until_closed().await;
    }
    let mut raw = Raw::open(server.address).await;
    raw.tcp.write_all(&[0xff; 4096]).await.unwrap();
    raw.until_closed().await;
    assert_alive(&server).await;
}

#[tokio::test]
async fn http1_is_told_what_this_port_speaks() {
    let server = Running::start(ServerSettings::default()).await;
    let mut raw = Raw::silent(server.address).await;
    raw.tcp
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    soon(raw.tcp.read_to_string(&mut answer)).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("gRPC"),
        "{answer}"
    );
    assert_alive(&server).await;
}

#[tokio::test]
async fn whoever_does_not_begin_in_time_is_closed() {
    let server = Running::start(ServerSettings {
        preface_timeout: Duration::from_millis(50),
        ..ServerSettings::default()
    })
    .await;
    let mut silent = Raw::silent(server.address).await;
    let mut half = Raw::silent(server.address).await;
    half.tcp.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    assert_eq!(silent.until_closed().await, 0);
    assert_eq!(half.until_closed().await, 0);
}

#[tokio::test]
async fn whoever_does_not_answer_pings_is_closed() {
    let server = Running::start(ServerSettings {
        keepalive_interval: Duration::from_millis(50),
        keepalive_timeout: Duration::from_millis(50),
        ..ServerSettings::default()
    })
    .await;
    Raw::open(server.address).await.until_closed().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped_with_its_stream() {
    let server = Running::start(ServerSettings {
        keepalive_interval: Duration::from_millis(100),
        keepalive_timeout: Duration::from_millis(300),
        ..ServerSettings::default()
    })
    .await;
    let mut raw = Raw::open(server.address).await;
    raw.frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    raw.frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0, 0]);
    raw.call(1, RESOLVE_STREAM, &[("flood", "yes")]);
    raw.message(1, &[]);
    raw.send().await;
    server.double.until_open(1).await;
    server.double.until_open(0).await;
}

#[tokio::test]
async fn streams_over_the_limit_are_refused() {
    let server = Running::start(ServerSettings {
        max_concurrent_streams: 100,
        ..ServerSettings::default()
    })
    .await;
    let mut raw = Raw::open(server.address).await;
    for n in 0..300 {
        raw.call(2 * n + 1, RESOLVE, &[]);
    }
    raw.send().await;
    let mut refused = HashSet::new();
    while refused.len() < 200 {
        let frame = raw.until(RST_STREAM).await.unwrap();
        assert_eq!(error_code(&frame), REFUSED_STREAM);
        assert!(
            frame.stream > 200,
            "the first hundred are served: {}",
            frame.stream
        );
        refused.insert(frame.stream);
    }
}

#[tokio::test]
async fn streams_reset_by_the_client_end_in_goaway() {
    let server = Running::start(ServerSettings::default()).await;
    let mut raw = Raw::open(server.address).await;
    for n in 0..5000 {
        raw.call(2 * n + 1, RESOLVE, &[]);
        raw.frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8]);
    }
    raw.send().await;
    let goaway = raw.until(GOAWAY).await.unwrap();
    assert_eq!(error_code(&goaway), ENHANCE_YOUR_CALM);
    assert_alive(&server).await;
}

#[tokio::test]
async fn streams_that_make_the_server_reset_them_end_in_goaway() {
    let server = Running::start(ServerSettings {
        max_local_error_resets: 100,
        ..ServerSettings::default()
    })
    .await;
    let mut raw = Raw::open(server.address).await;
    for n in 0..1000 {
        raw.call(2 * n + 1, RESOLVE, &[]);
        // Two of these overflow the window ("MadeYouReset").
        raw.frame(WINDOW_UPDATE, 0, 2 * n + 1, &[0x7f, 0xff, 0xff, 0xff]);
        raw.send().await;
    }
    let goaway = raw.until(GOAWAY).await.unwrap();
    assert_eq!(error_code(&goaway), ENHANCE_YOUR_CALM);
    assert_alive(&server).await;
}

#[tokio::test]
async fn requests_over_the_limit_are_shed_but_health_is_not() {
    let server = Running::start(ServerSettings {
        max_requests_in_flight: 1,
        ..ServerSettings::default()
    })
    .await;
    let mut client = server.identity().await;
    let mut waiting = client.clone();
    let waiting = tokio::spawn(async move { waiting.resolve_user_ids(request(WAIT)).await });
    server.double.until_open(1).await;
    let status = client.resolve_user_ids(request(AT_ONCE)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(
        status.get_details_error_info().unwrap().reason,
        "OVERLOADED"
    );
    assert!(
        status
            .get_details_retry_info()
            .unwrap()
            .retry_delay
            .is_some()
    );
    assert_eq!(
        status.metadata().get("grpc-retry-pushback-ms").unwrap(),
        "1000"
    );
    let mut health = server.health_client().await;
    health.check(HealthCheckRequest::default()).await.unwrap();
    server.double.release.cancel();
    soon(waiting).await.unwrap().unwrap();
    client.resolve_user_ids(request(AT_ONCE)).await.unwrap();
}

#[tokio::test]
async fn an_old_connection_finishes_its_call_and_takes_no_more() {
    let server = Running::start(ServerSettings {
        max_connection_age: Duration::from_millis(100),
        ..ServerSettings::default()
    })
    .await;
    let mut raw = Raw::open(server.address).await;
    raw.call(1, RESOLVE, &[]);
    // Field 1, four bytes: the tenant "wait".
    raw.message(1, b"\x0a\x04wait");
    raw.send().await;
    server.double.until_open(1).await;
    let goaway = raw.until(GOAWAY).await.unwrap();
    assert_eq!(error_code(&goaway), NO_ERROR);
    server.double.release.cancel();
    assert_eq!(raw.until(HEADERS).await.unwrap().stream, 1);
    assert_eq!(raw.until(DATA).await.unwrap().stream, 1);
    assert_eq!(raw.until(HEADERS).await.unwrap().stream, 1, "the trailers");
    let last = raw.until(GOAWAY).await.unwrap();
    assert_eq!(last.payload[..4], [0, 0, 0, 1], "no stream after the first");
    assert_eq!(raw.until_closed().await, 0);
}

#[tokio::test]
async fn every_call_that_arrives_is_answered_while_connections_age_out() {
    let server = Running::start(ServerSettings {
        max_connection_age: Duration::from_millis(100),
        ..ServerSettings::default()
    })
    .await;
    let mut client = server.identity().await;
    let mut connections = HashSet::new();
    let mut answered = 0;
    // Far more calls than five ages of a tenth of a second have room for.
    for _ in 0..5000 {
        if connections.len() == 5 {
            break;
        }
        match soon(client.resolve_user_ids(request(AT_ONCE))).await {
            Ok(answer) => {
                answered += 1;
                connections.insert(connection(answer.metadata()));
            }
            // tonic's client sometimes gives up a call that it has not sent, when GOAWAY comes at
            // that moment.
            Err(status) => assert_eq!(status.code(), Code::Cancelled, "{status:?}"),
        }
        tokio::time::sleep(A_MOMENT / 10).await;
    }
    assert_eq!(connections.len(), 5, "connections age out");
    assert_eq!(server.double.seen.load(Ordering::Relaxed), answered);
}

#[tokio::test]
async fn a_stream_on_an_old_connection_ends_with_its_grace() {
    let server = Running::start(ServerSettings {
        max_connection_age: Duration::from_millis(50),
        max_connection_age_grace: Duration::from_millis(50),
        ..ServerSettings::default()
    })
    .await;
    let mut client = server.health_client().await;
    let mut watch = client
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    soon(watch.message()).await.unwrap().unwrap();
    soon(watch.message()).await.unwrap_err();
}
