//! `/livez`, `/readyz`, and what the listener refuses.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::server::Server;

#[tokio::test]
async fn ready_ends_with_the_first_moment_of_a_drain_and_alive_does_not() {
    let mut server = Server::start(&[("FEISHU_ID_DRAIN__DELAY", "2s")]);
    assert_eq!(server.page("/livez").await.0, 200);
    assert_eq!(server.page("/readyz").await.0, 200);
    server.terminate();
    let mut ready = 200;
    for _ in 0..100 {
        ready = server.page("/readyz").await.0;
        if ready != 200 {
            break;
        }
    }
    assert_eq!(ready, 503);
    assert_eq!(server.page("/livez").await.0, 200);
    assert_eq!(server.page("/metrics").await.0, 200);
    assert_eq!(server.exit_code().await, Some(0));
}

#[tokio::test]
async fn it_takes_no_body_no_other_method_and_knows_no_other_page() {
    let server = Server::start(&[]);
    assert_eq!(server.page("/").await.0, 404);
    let said = |request: &'static str| async move {
        let mut stream = TcpStream::connect(server.http).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        timeout(Duration::from_secs(15), read)
            .await
            .unwrap()
            .unwrap();
        answer
    };
    let body = said("GET /livez HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n").await;
    assert!(body.starts_with("HTTP/1.1 413 "), "{body}");
    let post = said("POST /metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await;
    assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
    // Half a request: closed after some seconds.
    let half = said("GET /livez HTTP/1.1\r\nhost:").await;
    assert!(!half.contains("200"), "{half}");
}

#[tokio::test]
async fn one_address_keeps_nobody_elses_probe_out() {
    let server = Server::start(&[]);
    let mut silent = Vec::new();
    for _ in 0..100 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        silent.push(socket.connect(server.http).await.unwrap());
    }
    let page = timeout(Duration::from_secs(3), server.page("/livez"));
    assert_eq!(page.await.unwrap().0, 200);
}

#[tokio::test]
async fn an_address_that_was_asked_for_must_be_free() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_feishu-id"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--http-listen",
            &address,
        ])
        .env("FEISHU_APP_ID", "cli_a")
        .env("FEISHU_APP_SECRET", "s")
        .env("FEISHU_ID_CACHE__STORE", "none")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(2), "{told}");
    assert!(
        told.contains("http.listen") && told.contains(&address),
        "{told}"
    );
}
