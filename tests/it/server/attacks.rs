//! Clients that take their time: half a beginning, half a message, an answer that is not taken.

use std::time::Duration;

use feishu_id::server::ServerSettings;
use tokio::{io::AsyncWriteExt as _, time::Instant};

use super::{
    raw::{DATA, HEADERS, RESOLVE, RESOLVE_STREAM, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE},
    support::{Running, assert_alive},
};

/// Server settings under which nobody gets more than some tenths of a second.
fn impatient() -> ServerSettings {
    ServerSettings {
        preface_timeout: Duration::from_millis(100),
        message_timeout: Duration::from_millis(200),
        stall_timeout: Duration::from_millis(200),
        ..ServerSettings::default()
    }
}

#[tokio::test]
async fn a_preface_that_comes_byte_by_byte_has_one_time_limit() {
    let server = Running::start(impatient()).await;
    let mut raw = Raw::silent(server.address).await;
    let began = Instant::now();
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        if raw.tcp.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert_eq!(raw.until_closed().await, 0);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_alive(&server).await;
}

#[tokio::test]
async fn headers_that_never_end_end_the_connection() {
    let server = Running::start(ServerSettings {
        keepalive_interval: Duration::from_millis(100),
        keepalive_timeout: Duration::from_millis(100),
        ..ServerSettings::default()
    })
    .await;
    // Neither a frame of which half has come, nor one that lets no other frame in between, leaves a
    // way to answer the server's ping.
    let mut half = Raw::open(server.address).await;
    half.tcp
        .write_all(&[0, 1, 0, HEADERS, 4, 0, 0, 0, 1, 0x83])
        .await
        .unwrap();
    let mut open = Raw::open(server.address).await;
    open.frame(HEADERS, 0, 1, &[0x83]);
    open.send().await;
    half.until_closed().await;
    open.until_closed().await;
    assert_alive(&server).await;
}

#[tokio::test]
async fn half_a_message_does_not_last_as_long_as_its_deadline() {
    let server = Running::start(impatient()).await;
    let mut raw = Raw::open(server.address).await;
    for (n, half) in [&[0][..], &[0, 0, 0, 0, 9], &[0, 0, 0, 0, 9, 1, 2]]
        .into_iter()
        .enumerate()
    {
        let stream = 2 * u32::try_from(n).unwrap() + 1;
        raw.call(stream, RESOLVE, &[("grpc-timeout", "1H")]);
        raw.frame(DATA, 0, stream, half);
        raw.send().await;
        // An answer of trailers alone.
        assert_eq!(raw.until(HEADERS).await.unwrap().stream, stream);
    }
    assert_alive(&server).await;
}

#[tokio::test]
async fn a_stream_whose_client_takes_nothing_ends_with_its_deadline() {
    let server = Running::start(ServerSettings {
        stall_timeout: Duration::from_mins(5),
        ..impatient()
    })
    .await;
    for window in [0, 1] {
        let mut raw = Raw::open(server.address).await;
        raw.frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, window]);
        let fields = [("grpc-timeout", "200m"), ("flood", "yes")];
        raw.call(1, RESOLVE_STREAM, &fields);
        raw.message(1, &[]);
        raw.send().await;
        raw.until(RST_STREAM).await.unwrap();
        server.double.until_open(0).await;
    }
}

#[tokio::test]
async fn a_stream_without_a_deadline_whose_client_takes_nothing_ends_when_patience_does() {
    let server = Running::start(impatient()).await;
    let mut raw = Raw::open(server.address).await;
    raw.frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xa0, 0]);
    raw.call(1, RESOLVE_STREAM, &[("flood", "yes")]);
    raw.message(1, &[]);
    raw.send().await;
    server.double.until_open(1).await;
    // Whoever takes a piece now and then, of 32 kB here, is waited for.
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        raw.frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0xa0, 0]);
        raw.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0xa0, 0]);
        raw.send().await;
        let mut taken = 0;
        while taken < 0xa000 {
            taken += raw.until(DATA).await.unwrap().payload.len();
        }
    }
    raw.until(RST_STREAM).await.unwrap();
    server.double.until_open(0).await;
}
