//! What requests may hold together, over all connections.

use std::time::Duration;

use feishu_id::{
    memory::Memory,
    pb::{
        health::HealthCheckRequest,
        identity::{Identifier, ResolveUserIdsRequest, identifier::Kind},
    },
    server::ServerSettings,
};
use tonic::{Code, Status, codec::CompressionEncoding};
use tonic_types::StatusExt as _;

use super::{
    raw::{DATA, RESOLVE, RST_STREAM, Raw, SETTINGS},
    support::{AT_ONCE, LARGE, Running, request, soon},
};

const MIB: usize = 1024 * 1024;

async fn server(bytes: usize) -> (Running, Memory) {
    let memory = Memory::new(bytes);
    let settings = ServerSettings {
        memory: memory.clone(),
        stall_timeout: Duration::from_millis(300),
        ..ServerSettings::default()
    };
    (Running::start(settings).await, memory)
}

/// A request of about so many bytes.
fn long(bytes: usize) -> ResolveUserIdsRequest {
    let long = Identifier {
        kind: Some(Kind::Email("x".repeat(bytes))),
    };
    ResolveUserIdsRequest {
        identifiers: vec![long],
        ..request(AT_ONCE)
    }
}

async fn until_held(memory: &Memory, is_as_wanted: impl Fn(usize) -> bool) {
    let held = async {
        while !is_as_wanted(memory.held()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let held = tokio::time::timeout(Duration::from_secs(10), held).await;
    assert!(held.is_ok(), "{} bytes are held", memory.held());
}

fn assert_shed(status: &Status) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "OVERLOADED");
    let retry = status.get_details_retry_info().unwrap();
    assert_eq!(retry.retry_delay, Some(Duration::from_secs(1)));
    let pushback = status.metadata().get("grpc-retry-pushback-ms");
    assert_eq!(pushback.unwrap(), "1000");
}

#[tokio::test]
async fn a_large_request_over_the_budget_is_shed_at_once_and_small_ones_and_health_are_not() {
    let (server, memory) = server(MIB).await;
    let mut client = server.identity().await;
    soon(client.resolve_user_ids(long(MIB / 2))).await.unwrap();
    until_held(&memory, |held| held == 0).await;
    let everything = memory.try_take(MIB).unwrap();
    let shed = soon(client.resolve_user_ids(long(MIB / 2))).await;
    assert_shed(&shed.unwrap_err());
    soon(client.resolve_user_ids(long(1000))).await.unwrap();
    let mut health = server.health_client().await;
    soon(health.check(HealthCheckRequest::default()))
        .await
        .unwrap();
    drop(everything);
    soon(client.resolve_user_ids(long(MIB / 2))).await.unwrap();
}

#[tokio::test]
async fn half_messages_on_many_streams_and_connections_hold_no_more_than_the_budget() {
    let (server, memory) = server(MIB).await;
    let mut attackers = Vec::new();
    for _ in 0..4 {
        let mut raw = Raw::wide(server.address).await;
        for n in 0..200 {
            raw.call(2 * n + 1, RESOLVE, &[("grpc-timeout", "1H")]);
            // 1 MiB is announced, and 15 kB of it come: 12 MB in all.
            raw.frame(DATA, 0, 2 * n + 1, &[0, 0, 0x10, 0, 0]);
            raw.frame(DATA, 0, 2 * n + 1, &[0; 15_000]);
        }
        raw.send().await;
        attackers.push(raw);
    }
    until_held(&memory, |held| held > MIB - 16_000).await;
    let mut client = server.identity().await;
    for _ in 0..10 {
        soon(client.resolve_user_ids(request(AT_ONCE)))
            .await
            .unwrap();
        assert!(memory.held() <= MIB);
    }
    assert_shed(
        &soon(client.resolve_user_ids(long(MIB / 2)))
            .await
            .unwrap_err(),
    );
    drop(attackers);
    until_held(&memory, |held| held == 0).await;
    soon(client.resolve_user_ids(long(MIB / 2))).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_charged_and_ends_with_patience_or_the_deadline() {
    // No window at all, and one byte of it: half of the answer's way.
    for window in [0, 1] {
        for fields in [&[][..], &[("grpc-timeout", "1S")]] {
            let (server, memory) = server(MIB).await;
            let mut raw = Raw::open(server.address).await;
            raw.frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, window]);
            for n in 0..5 {
                raw.call(2 * n + 1, RESOLVE, fields);
                // `tenant`, the first field.
                let message = [&[0x0a, 5][..], LARGE.as_bytes()].concat();
                raw.message(2 * n + 1, &message);
            }
            raw.send().await;
            until_held(&memory, |held| held >= 5 * 100_000).await;
            for _ in 0..5 {
                raw.until(RST_STREAM).await.unwrap();
            }
            until_held(&memory, |held| held == 0).await;
        }
    }
}

#[tokio::test]
async fn an_answer_for_which_there_is_no_memory_is_shed() {
    let (server, memory) = server(MIB).await;
    let mut client = server.identity().await;
    let _everything = memory.try_take(MIB).unwrap();
    let shed = soon(client.resolve_user_ids(request(LARGE))).await;
    assert_shed(&shed.unwrap_err());
}

#[tokio::test]
async fn what_unfolds_to_more_than_a_message_may_have_is_refused() {
    let (server, _memory) = server(16 * MIB).await;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let client = server.identity().await;
        let mut client = client.send_compressed(encoding);
        // Some kilobytes on the wire.
        let bomb = soon(client.resolve_user_ids(long(30 * MIB))).await;
        assert_eq!(bomb.unwrap_err().code(), Code::ResourceExhausted);
        soon(client.resolve_user_ids(long(1000))).await.unwrap();
    }
}

#[tokio::test]
async fn a_message_that_is_too_long_is_refused_by_what_it_announces() {
    let (server, memory) = server(MIB).await;
    let mut client = server.identity().await;
    let refused = soon(client.resolve_user_ids(long(2 * MIB))).await;
    assert_eq!(refused.unwrap_err().code(), Code::OutOfRange);
    until_held(&memory, |held| held == 0).await;
}
