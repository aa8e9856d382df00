//! Frames without end: each kind ends its own connection, and costs nobody else anything.

use std::{sync::atomic::Ordering, time::Duration};

use feishu_id::{pb::health::HealthCheckRequest, server::ServerSettings};
use tokio::{io::AsyncWriteExt as _, time::Instant};

use super::{
    raw::{
        ACK, CONTINUATION, DATA, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PING, PRIORITY, RESOLVE,
        RESOLVE_STREAM, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE, error_code,
    },
    support::{Running, assert_alive},
};

/// More than any limit here.
const MANY: u32 = 25_000;

/// A connection on which this is sent ends with GOAWAY and that code.
async fn is_calmed(frames: impl FnOnce(&mut Raw)) {
    let server = Running::start(ServerSettings::default()).await;
    let mut raw = Raw::open(server.address).await;
    frames(&mut raw);
    let goaway = raw.send_until(GOAWAY).await.unwrap();
    assert_eq!(error_code(&goaway), ENHANCE_YOUR_CALM);
    assert_alive(&server).await;
}

#[tokio::test]
async fn pings() {
    let server = Running::start(ServerSettings::default()).await;
    let mut raw = Raw::open(server.address).await;
    (0..MANY).for_each(|_| raw.frame(PING, 0, 0, &[0; 8]));
    // What was on its way when the connection ended is lost, GOAWAY too if its client was slow to read.
    if let Some(goaway) = raw.send_until(GOAWAY).await {
        assert_eq!(error_code(&goaway), ENHANCE_YOUR_CALM);
    }
    assert_alive(&server).await;
}

#[tokio::test]
async fn answers_to_pings_that_nobody_sent() {
    is_calmed(|raw| (0..MANY).for_each(|_| raw.frame(PING, ACK, 0, &[0; 8]))).await;
}

#[tokio::test]
async fn settings() {
    is_calmed(|raw| {
        for n in 0..1000_u16 {
            let [high, low] = n.to_be_bytes();
            raw.frame(SETTINGS, 0, 0, &[0, 4, 0, 0, high, low]);
        }
    })
    .await;
}

#[tokio::test]
async fn window_updates() {
    is_calmed(|raw| (0..MANY).for_each(|_| raw.frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]))).await;
}

#[tokio::test]
async fn priorities() {
    is_calmed(|raw| (0..MANY).for_each(|_| raw.frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]))).await;
}

#[tokio::test]
async fn frames_of_a_kind_that_there_is_not() {
    is_calmed(|raw| (0..MANY).for_each(|_| raw.frame(0xfa, 0, 0, &[]))).await;
}

#[tokio::test]
async fn empty_data() {
    is_calmed(|raw| {
        raw.call(1, RESOLVE_STREAM, &[]);
        (0..MANY).for_each(|_| raw.frame(DATA, 0, 1, &[]));
    })
    .await;
}

#[tokio::test]
async fn data_of_one_byte() {
    is_calmed(|raw| {
        raw.call(1, RESOLVE, &[]);
        raw.frame(DATA, 0, 1, &[0, 0, 0, 0xff, 0xff]);
        (0..MANY).for_each(|_| raw.frame(DATA, 0, 1, &[0]));
    })
    .await;
}

#[tokio::test]
async fn resets_of_one_stream() {
    is_calmed(|raw| {
        raw.call(1, RESOLVE, &[]);
        (0..MANY).for_each(|_| raw.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]));
    })
    .await;
}

#[tokio::test]
async fn headers_that_go_on() {
    is_calmed(|raw| {
        raw.frame(HEADERS, 0, 1, &[0x83]);
        (0..MANY).for_each(|_| raw.frame(CONTINUATION, 0, 1, &[]));
    })
    .await;
}

#[tokio::test]
async fn headers_that_go_on_and_grow() {
    // A field of 100 bytes in each.
    let field = [&[0, 1, b'a', 97][..], &[b'x'; 97]].concat();
    is_calmed(|raw| {
        raw.frame(HEADERS, 0, 1, &[0x83]);
        (0..MANY).for_each(|_| raw.frame(CONTINUATION, 0, 1, &field));
    })
    .await;
}

#[tokio::test]
async fn headers_that_unfold() {
    // One field of 4,000 bytes, kept by the decompressor; then named 15,000 times by one byte each.
    let field = [&[0x40, 1, b'a', 0x7f, 0xa1, 0x1e][..], &[b'x'; 4000]].concat();
    is_calmed(|raw| {
        raw.frame(HEADERS, 0, 1, &field);
        raw.frame(CONTINUATION, 0, 1, &[0xbe; 15_000]);
    })
    .await;
}

#[tokio::test]
async fn trailers_that_end_nothing() {
    // The server resets each such stream; enough of these resets end the connection.
    let server = Running::start(ServerSettings {
        max_local_error_resets: 100,
        ..ServerSettings::default()
    })
    .await;
    let mut raw = Raw::open(server.address).await;
    for n in 0..1000 {
        raw.call(2 * n + 1, RESOLVE_STREAM, &[]);
        raw.call(2 * n + 1, RESOLVE_STREAM, &[]);
    }
    let goaway = raw.send_until(GOAWAY).await.unwrap();
    assert_eq!(error_code(&goaway), ENHANCE_YOUR_CALM);
    assert_alive(&server).await;
}

#[tokio::test]
async fn twenty_thousand_streams() {
    let server = Running::start(ServerSettings::default()).await;
    let mut raw = Raw::open(server.address).await;
    (0..20_000).for_each(|n| raw.call(2 * n + 1, RESOLVE_STREAM, &[]));
    // 200 are served, some are refused, and whoever goes on is ended.
    let goaway = raw.send_until(GOAWAY).await.unwrap();
    assert_eq!(error_code(&goaway), ENHANCE_YOUR_CALM);
    assert!(server.double.seen.load(Ordering::Relaxed) <= 200);
    assert_alive(&server).await;
}

#[tokio::test]
async fn an_honest_client_that_acknowledges_much_is_left_alone() {
    let server = Running::start(ServerSettings {
        max_control_frames_per_second: 100,
        ..ServerSettings::default()
    })
    .await;
    let mut raw = Raw::open(server.address).await;
    for n in 0..500 {
        raw.call(2 * n + 1, RESOLVE, &[]);
        raw.message(2 * n + 1, &[]);
        // As grpc-go does for each answer when it measures the round trip.
        raw.frame(PING, 0, 0, &[0; 8]);
        raw.send().await;
        let trailers = |frame: &super::raw::Frame| frame.kind == HEADERS && frame.flags & 1 != 0;
        while !trailers(&raw.until(HEADERS).await.unwrap()) {}
    }
}

#[tokio::test]
async fn after_a_flood_the_next_connection_waits_and_those_there_are_do_not() {
    let server = Running::start(ServerSettings::default()).await;
    let mut there = server.health_client().await;
    let liveness = || HealthCheckRequest {
        service: "liveness".to_owned(),
    };
    there.check(liveness()).await.unwrap();
    let mut raw = Raw::open(server.address).await;
    let flooded = Instant::now();
    (0..MANY).for_each(|_| raw.frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]));
    raw.send_until(GOAWAY).await.unwrap();
    // Until it has been taken note of.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let next = async {
        let mut next = server.health_client().await;
        next.check(liveness()).await.unwrap();
        Instant::now()
    };
    let there = async {
        there.check(liveness()).await.unwrap();
        Instant::now()
    };
    let (next, there) = tokio::join!(next, there);
    assert!(next - flooded > Duration::from_millis(500));
    assert!(there < next);
}

#[tokio::test]
async fn who_leaves_before_the_limit_and_comes_back_has_gained_nothing() {
    let server = Running::start(ServerSettings::default()).await;
    for _ in 0..3 {
        let mut raw = Raw::open(server.address).await;
        (0..9000).for_each(|_| raw.frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]));
        raw.send().await;
        raw.tcp.shutdown().await.unwrap();
        // Until they have been read.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let began = Instant::now();
    let mut next = server.health_client().await;
    next.check(HealthCheckRequest::default()).await.unwrap();
    assert!(began.elapsed() > Duration::from_millis(250));
}
