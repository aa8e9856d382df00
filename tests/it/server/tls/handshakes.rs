//! The time and the room that a handshake may take, and that none is a way around a certificate.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use feishu_id::server::ServerSettings;
use rustls::{ClientConfig, HandshakeKind, pki_types::pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
    time::Instant,
};

use crate::{
    certificates::{Authority, Issued},
    server::{
        raw::Raw,
        support::{AT_ONCE, request, soon},
    },
};

use super::Secured;

/// Longer than any of these tests.
const LONG: Duration = Duration::from_mins(10);

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_cut() {
    let server = Secured::start_with(
        None,
        ServerSettings {
            handshake_timeout: Duration::from_millis(50),
            ..ServerSettings::default()
        },
    )
    .await;
    let mut silent = Raw::silent(server.address()).await;
    let mut half = Raw::silent(server.address()).await;
    half.tcp
        .write_all(b"\x16\x03\x01\x02\x00\x01")
        .await
        .unwrap();
    assert_eq!(silent.until_closed().await, 0);
    assert_eq!(half.until_closed().await, 0);
    server.until_failed("timed_out", 2).await;
}

#[tokio::test]
async fn whoever_only_looks_whether_the_port_is_open_is_no_failure() {
    let server = Secured::start().await;
    drop(Raw::silent(server.address()).await);
    // One that comes later has been counted.
    let mut garbage = Raw::silent(server.address()).await;
    garbage.tcp.write_all(b"\0").await.unwrap();
    garbage.until_closed().await;
    server.until_failed("plaintext", 1).await;
    server.until_failed("disconnected", 0).await;
}

#[tokio::test]
async fn a_drain_ends_handshakes_at_once() {
    let server = Secured::start_with(
        None,
        ServerSettings {
            handshake_timeout: LONG,
            drain_timeout: LONG,
            ..ServerSettings::default()
        },
    )
    .await;
    let mut half = Raw::silent(server.address()).await;
    half.tcp
        .write_all(b"\x16\x03\x01\x02\x00\x01")
        .await
        .unwrap();
    // Accepted after it.
    let mut client = server.client(None).await.unwrap();
    soon(client.resolve_user_ids(request(AT_ONCE)))
        .await
        .unwrap();
    drop(client);
    let begun = Instant::now();
    server.running.shutdown.drain();
    assert_eq!(server.running.ended().await.cut_connections, 0);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(half.until_closed().await, 0);
}

#[tokio::test]
async fn handshakes_count_among_the_connections() {
    let server = Secured::start_with(
        None,
        ServerSettings {
            max_connections: 1,
            handshake_timeout: LONG,
            ..ServerSettings::default()
        },
    )
    .await;
    let held = Raw::silent(server.address()).await;
    assert_eq!(Raw::silent(server.address()).await.until_closed().await, 0);
    let refused = "feishu_id_connections_refused_total{reason=\"too_many\"}";
    server.until(refused, 1).await;
    drop(held);
    soon(async { while server.client(None).await.is_err() {} }).await;
}

#[tokio::test]
async fn one_address_cannot_take_the_place_of_the_others() {
    let server = Secured::start_with(
        None,
        ServerSettings {
            max_connections_per_peer: 1,
            handshake_timeout: LONG,
            ..ServerSettings::default()
        },
    )
    .await;
    let _held = Raw::silent(server.address()).await;
    assert_eq!(Raw::silent(server.address()).await.until_closed().await, 0);
    let refused = "feishu_id_connections_refused_total{reason=\"too_many_of_peer\"}";
    server.until(refused, 1).await;
    // All of 127.0.0.0/8 is this machine.
    let other: SocketAddr = "127.0.0.2:0".parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(other).unwrap();
    let tcp = soon(socket.connect(server.address())).await.unwrap();
    let config = Arc::new(server.config(&[b"h2"]));
    let name = "localhost".try_into().unwrap();
    let connector = tokio_rustls::TlsConnector::from(config);
    soon(connector.connect(name, tcp)).await.unwrap();
}

/// Whether the second of two connections takes up the session of the first.
async fn is_resumed(server: &Secured, config: ClientConfig) -> bool {
    let config = Arc::new(config);
    let mut last = None;
    for _ in 0..2 {
        let mut io = soon(server.connect_again(&config)).await.unwrap();
        last = io.get_ref().1.handshake_kind();
        let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        io.write_all(hello).await.unwrap();
        // What a session is taken up by comes before the first frame.
        soon(io.read_u8()).await.unwrap();
    }
    last == Some(HandshakeKind::Resumed)
}

#[tokio::test]
async fn who_must_show_a_certificate_must_show_it_each_time() {
    let anybody = Secured::start().await;
    assert!(is_resumed(&anybody, anybody.config(&[b"h2"])).await);

    let clients = Authority::new();
    let server = Secured::start_with(Some(&clients), ServerSettings::default()).await;
    let Issued {
        certificate, key, ..
    } = clients.issue(&["reader.example"]);
    let chain = rustls::pki_types::CertificateDer::from_pem_slice(certificate.as_bytes());
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(server.authority.roots())
        .with_client_auth_cert(vec![chain.unwrap()], key.unwrap())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    assert!(!is_resumed(&server, config).await);
}
