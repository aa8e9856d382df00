//! Who speaks something else than the port.

use feishu_id::server::ServerSettings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::server::{
    raw::{GOAWAY, Raw, SETTINGS, error_code},
    support::{AT_ONCE, Running, request, soon},
};

use super::Secured;

/// Error code of HTTP/2 (RFC 9113, section 7).
const INADEQUATE_SECURITY: u32 = 0xc;

/// A record of TLS that holds a fatal alert.
const ALERT: u8 = 21;

/// A greeting of TLS 1.1, which offers h2 and knows signatures.
const TLS_1_1: &[u8] = b"\x16\x03\x01\x00\x40\
    \x01\x00\x00\x3c\x03\x02\
    0123456789abcdef0123456789abcdef\
    \x00\x00\x02\x00\x2f\x01\x00\
    \x00\x11\
    \x00\x0d\x00\x04\x00\x02\x04\x03\
    \x00\x10\x00\x05\x00\x03\x02h2";

async fn answer_to(server: &Secured, bytes: &[u8]) -> Vec<u8> {
    let mut raw = Raw::silent(server.address()).await;
    raw.tcp.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    soon(raw.tcp.read_to_end(&mut answer)).await.unwrap();
    answer
}

async fn assert_alive(server: &Secured) {
    let mut client = server.client(None).await.unwrap();
    soon(client.resolve_user_ids(request(AT_ONCE)))
        .await
        .unwrap();
}

#[tokio::test]
async fn http1_in_plaintext_is_told_that_this_port_speaks_tls() {
    let server = Secured::start().await;
    let answer = answer_to(&server, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("over TLS"), "{answer}");
    server.until_failed("plaintext", 1).await;
    assert_alive(&server).await;
}

#[tokio::test]
async fn http2_in_plaintext_is_told_that_this_port_speaks_tls() {
    let server = Secured::start().await;
    let mut raw = Raw::open(server.address()).await;
    raw.until(SETTINGS).await.unwrap();
    let goaway = raw.until(GOAWAY).await.unwrap();
    assert_eq!(error_code(&goaway), INADEQUATE_SECURITY);
    assert_eq!(&goaway.payload[8..], b"this port speaks TLS: use https");
    assert_eq!(raw.until_closed().await, 0);
    assert_alive(&server).await;
}

#[tokio::test]
async fn other_bytes_get_no_answer() {
    let server = Secured::start().await;
    assert!(answer_to(&server, b"\0\0\0\0\0").await.is_empty());
    server.until_failed("plaintext", 1).await;
    // It begins like TLS and goes on otherwise.
    let answer = answer_to(&server, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00").await;
    assert_eq!(answer.first(), Some(&ALERT));
    server.until_failed("malformed", 1).await;
    assert_alive(&server).await;
}

#[tokio::test]
async fn an_old_version_is_refused() {
    let server = Secured::start().await;
    let answer = answer_to(&server, TLS_1_1).await;
    assert_eq!(answer.first(), Some(&ALERT), "{answer:?}");
    server.until_failed("incompatible", 1).await;
}

#[tokio::test]
async fn whoever_does_not_offer_http2_is_refused_as_tls_has_it() {
    let server = Secured::start().await;
    for protocols in [&[b"http/1.1" as &[u8]][..], &[]] {
        let refused = soon(server.connect(server.config(protocols))).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    }
    server.until_failed("no_http2", 2).await;
}

#[tokio::test]
async fn tls_at_a_plaintext_port_ends_without_a_reset() {
    let plaintext = Running::start(ServerSettings::default()).await;
    let mut secured = Secured::start().await;
    let config = secured.config(&[b"h2"]);
    secured.running.address = plaintext.address;
    let ended = soon(secured.connect(config)).await.unwrap_err();
    assert_eq!(ended.kind(), std::io::ErrorKind::UnexpectedEof, "{ended}");
}
