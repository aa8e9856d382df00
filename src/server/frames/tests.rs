#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    time::advance,
};

use super::*;
use crate::server::{ServerSettings, seats::Seats};

const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const RST_STREAM: u8 = 3;

fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
    frame_of(kind, flags, 5, &vec![0; payload])
}

fn frame_of(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length.split_at(1).1.to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn account(frames_a_second: u32) -> Account {
    let settings = ServerSettings {
        max_control_frames_per_second: frames_a_second,
        ..ServerSettings::default()
    };
    Seats::new(&settings).only().account()
}

/// A client, and the server's side with room for eleven frames a second, past the preface.
async fn connection() -> (DuplexStream, Counted<DuplexStream>) {
    connection_of(account(10)).await
}

async fn connection_of(account: Account) -> (DuplexStream, Counted<DuplexStream>) {
    let (mut client, server) = duplex(1 << 20);
    let mut server = Counted::new(server, account);
    client.write_all(PREFACE).await.unwrap();
    server.read_exact(&mut [0; PREFACE.len()]).await.unwrap();
    (client, server)
}

/// The kind, flags and length of frames, and these again and again, each time on another stream.
fn on_new_streams(frames: &[(u8, u8, usize)], times: u32) -> Vec<Vec<u8>> {
    let on = |n: u32| {
        let frame = |(kind, flags, payload)| frame_of(kind, flags, 2 * n + 1, &vec![0; payload]);
        frames.iter().copied().map(frame).collect::<Vec<_>>()
    };
    (0..times).flat_map(on).collect()
}

/// Whether the connection bears these frames, read so many bytes at a time.
async fn bears(frames: &[Vec<u8>], at_a_time: usize) -> bool {
    let (mut client, mut server) = connection().await;
    client.write_all(&frames.concat()).await.unwrap();
    drop(client);
    let mut piece = vec![0; at_a_time];
    loop {
        match server.read(&mut piece).await {
            Ok(0) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn frames_without_a_request_are_counted_however_they_are_read() {
    for kind in [PING, WINDOW_UPDATE, RST_STREAM, GOAWAY, 2, 9, 0xfa] {
        for at_a_time in [64, 100, 4096] {
            let frames = vec![frame(kind, 0, 200); 11];
            assert!(bears(&frames, at_a_time).await, "{kind} {at_a_time}");
            let frames = vec![frame(kind, 0, 200); 12];
            assert!(!bears(&frames, at_a_time).await, "{kind} {at_a_time}");
        }
    }
    assert!(!bears(&[frame(SETTINGS, 0, 6)], 4096).await);
}

#[tokio::test(start_paused = true)]
async fn requests_and_their_messages_cost_nothing() {
    let request = [(HEADERS, 4, 60), (DATA, 0, 5), (DATA, 1, 0)];
    assert!(bears(&on_new_streams(&request, 1000), 4096).await);
    let cancelled = [(HEADERS, 4, 60), (RST_STREAM, 0, 4)];
    assert!(bears(&on_new_streams(&cancelled, 1000), 4096).await);
    let with_trailers = [(HEADERS, 4, 60), (HEADERS, 5, 60)];
    assert!(bears(&on_new_streams(&with_trailers, 1000), 4096).await);
    assert!(!bears(&vec![frame(DATA, 0, 0); 12], 4096).await);
    assert!(!bears(&vec![frame(DATA, 0, 4); 12], 4096).await);
    let small = |times| frame(DATA, 0, 35).repeat(times);
    assert!(bears(&[small(88)], 4096).await);
    assert!(!bears(&[small(89)], 4096).await);
    assert!(bears(&[frame(DATA, 0, 64).repeat(1000)], 4096).await);
    let twice = [(HEADERS, 4, 60), (HEADERS, 4, 60)];
    assert!(!bears(&on_new_streams(&twice, 1), 4096).await);
}

#[tokio::test(start_paused = true)]
async fn frames_that_come_in_crumbs_are_counted_by_those() {
    let long = [frame(0xfa, 0, 1000)];
    assert!(bears(&long, SMALL).await);
    assert!(!bears(&long, SMALL - 1).await);
    assert!(!bears(&long, 1).await);
}

#[tokio::test(start_paused = true)]
async fn what_is_spread_over_time_or_acknowledges_answers_is_borne() {
    let (mut client, mut server) = connection_of(account(100)).await;
    let hundred = frame(PING, 0, 8).repeat(100);
    for _ in 0..10 {
        client.write_all(&hundred).await.unwrap();
        server
            .read_exact(&mut vec![0; hundred.len()])
            .await
            .unwrap();
        advance(Duration::from_secs(1)).await;
    }
    let ten = frame(PING, 0, 8).repeat(10);
    let mut read = vec![0; ten.len()];
    for _ in 0..100 {
        server.write_all(&[0; 640]).await.unwrap();
        client.write_all(&ten).await.unwrap();
        server.read_exact(&mut read).await.unwrap();
    }
}

#[tokio::test]
async fn whoever_sends_crumbs_pauses_between_and_nobody_else() {
    for (size, turns) in [(1, 4), (MESSAGE_PREFIX, 1)] {
        let (mut client, server) = duplex(1 << 20);
        let mut server = Counted::new(server, account(10_000));
        client.write_all(PREFACE).await.unwrap();
        server.read_exact(&mut [0; PREFACE.len()]).await.unwrap();
        let sent = frame(DATA, 0, size).repeat(1024);
        client.write_all(&sent).await.unwrap();
        let (mut left, mut told) = (sent.len(), 1);
        while left > 0 {
            // Of so many frames at a time.
            let mut piece = vec![0; 64 * (9 + size)];
            match futures_util::poll!(Box::pin(server.read(&mut piece))) {
                Poll::Ready(read) => left -= read.unwrap(),
                Poll::Pending => told += 1,
            }
        }
        assert_eq!(told, turns, "{size}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_closed_is_told_why() {
    let (mut client, mut server) = connection().await;
    let flood = vec![frame(PING, 0, 8); 12].concat();
    client.write_all(&flood).await.unwrap();
    server.read_to_end(&mut Vec::new()).await.unwrap_err();
    drop(server);
    let mut told = Vec::new();
    client.read_to_end(&mut told).await.unwrap();
    assert_eq!(told, goaway(0));
}

#[tokio::test(start_paused = true)]
async fn connections_of_a_peer_share_what_goes_beyond_the_first() {
    let account = account(100);
    let mut held = Vec::new();
    // Each may send ten, and all of them a hundred more.
    for (sent, bears) in [(60, true), (60, true), (10, true), (11, false), (10, true)] {
        let (mut client, mut server) = connection_of(account.clone()).await;
        let frames = frame(PING, 0, 8).repeat(sent);
        client.write_all(&frames).await.unwrap();
        let mut read = vec![0; frames.len()];
        assert_eq!(server.read_exact(&mut read).await.is_ok(), bears, "{sent}");
        held.push((client, server));
    }
    advance(Duration::from_millis(500)).await;
    let (mut client, mut server) = held.swap_remove(0);
    let frames = frame(PING, 0, 8).repeat(30);
    client.write_all(&frames).await.unwrap();
    server.read_exact(&mut vec![0; frames.len()]).await.unwrap();
}

#[tokio::test]
async fn h2s_last_word_to_a_client_that_has_gone_tells_why() {
    for (code, kind) in [(ENHANCE_YOUR_CALM, REFUSAL), (0, io::ErrorKind::BrokenPipe)] {
        let (client, mut server) = connection().await;
        drop(client);
        let word = [[0; 4], code.to_be_bytes()].concat();
        let words = [frame(RST_STREAM, 0, 4), frame_of(GOAWAY, 0, 0, &word)].concat();
        let error = server.write_all(&words).await.unwrap_err();
        assert_eq!(error.kind(), kind);
    }
}
