//! Accepts connections and serves HTTP/1.1 on them. Its own loop, because a simulated Feishu must be
//! able to close a connection instead of answering. Knows no address it serves.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

/// Most connections at once; more wait in the system's queue. Far above what one client opens.
const MAX_CONNECTIONS: usize = 4096;
/// How long a connection may be silent between calls: what nginx keeps by default.
const IDLE: Duration = Duration::from_secs(75);
/// Pause when the system cannot accept (out of file descriptors): trying at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Put into a response's extensions, closes the connection in place of sending it.
#[derive(Clone, Copy, Debug)]
pub(super) struct HangUp;

impl fmt::Display for HangUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is closed on purpose")
    }
}

impl std::error::Error for HangUp {}

/// Serves until it is dropped; then its connections end as well.
pub(super) async fn accept(listener: TcpListener, app: Router) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(serve(stream, app.clone()));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve(stream: TcpStream, app: Router) {
    // Without it an answer may wait 40 ms for the client's acknowledgement. Failing is no harm.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(app.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        // `X-Tt-Logid`, as Feishu writes it: the official Python SDK minds the case.
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    // An error is a client that went away, or a fault that was asked for.
    let _ = connection.await;
}

async fn answer(app: Router, request: Request<Incoming>) -> Result<Response<Body>, HangUp> {
    let response = match app.oneshot(request).await {
        Ok(response) => response,
        Err(never) => {
            let never: Infallible = never;
            match never {}
        }
    };
    if response.extensions().get::<HangUp>().is_some() {
        return Err(HangUp);
    }
    Ok(response)
}
