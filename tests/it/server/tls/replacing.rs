//! A certificate is replaced while calls are made.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use feishu_id::server::ServerSettings;
use futures_util::future::join_all;
use tokio::time::sleep;

use crate::{
    certificates::{Authority, HERE},
    server::support::{AT_ONCE, request, soon},
};

use super::{Secured, terms};

/// Each by a certificate of its own.
const REPLACEMENTS: usize = 30;

/// Calls until told to stop, each time by a new connection if so wanted.
async fn call(
    server: Arc<Secured>,
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    connects_anew: bool,
) {
    let mut client = server.client(None).await.unwrap();
    while !stop.load(Ordering::Relaxed) {
        if connects_anew {
            client = server.client(None).await.unwrap();
        }
        client.resolve_user_ids(request(AT_ONCE)).await.unwrap();
        calls.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn no_call_fails_on_old_or_new_connections_while_certificates_are_replaced() {
    let server = Arc::new(Secured::start().await);
    let stop = Arc::new(AtomicBool::new(false));
    let (old, new) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut callers = Vec::new();
    for _ in 0..4 {
        callers.push(tokio::spawn(call(
            server.clone(),
            stop.clone(),
            old.clone(),
            false,
        )));
        callers.push(tokio::spawn(call(
            server.clone(),
            stop.clone(),
            new.clone(),
            true,
        )));
    }
    let mut last = None;
    for _ in 0..REPLACEMENTS {
        let certificate = server.authority.issue(&HERE);
        server.tls.replace(terms(&certificate, None));
        last = Some(certificate);
        sleep(Duration::from_millis(10)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for ended in soon(join_all(callers)).await {
        ended.unwrap();
    }
    for calls in [old, new] {
        let calls = calls.load(Ordering::Relaxed);
        assert!(calls > REPLACEMENTS, "{calls}");
    }
    // Whoever comes now sees the last one.
    let io = server.connect(server.config(&[b"h2"])).await.unwrap();
    let shown = io.get_ref().1.peer_certificates().unwrap();
    assert_eq!(&shown[0], last.unwrap().der());
}

#[tokio::test]
async fn clients_of_an_authority_that_was_replaced_keep_their_connections_and_get_no_more() {
    let (before, after) = (Authority::new(), Authority::new());
    let server = Secured::start_with(Some(&before), ServerSettings::default()).await;
    let reader = before.issue(&["reader.example"]);
    let mut open = server.client(Some(&reader)).await.unwrap();
    open.resolve_user_ids(request(AT_ONCE)).await.unwrap();
    let certificate = server.authority.issue(&HERE);
    server.tls.replace(terms(&certificate, Some(&after)));
    open.resolve_user_ids(request(AT_ONCE)).await.unwrap();
    if let Ok(mut client) = server.client(Some(&reader)).await {
        let refused = soon(client.resolve_user_ids(request(AT_ONCE))).await;
        refused.unwrap_err();
    }
    server.until_failed("certificate_refused", 1).await;
}
