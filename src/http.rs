//! Metrics and probes over HTTP/1.1, for Prometheus, orchestrators and people. A listener of its own,
//! so that a busy API does not look dead. Knows no service; called by `app`.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::ServiceExt as _;

use crate::metrics::{self, Registry};

/// Connections at a time; more wait in the system's queue. Each carries one request: room for some
/// scrapers and probes.
const MAX_CONNECTIONS: usize = 64;

/// Of these from one address, so that a client gone wild keeps nobody's probe out.
const MAX_OF_PEER: usize = 16;

/// Time for a request's headers: several round trips to the other end of the world.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for a whole connection: 10 s is what Prometheus waits for a scrape.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Time at the end for what is under way: a page takes milliseconds.
const LAST_TIMEOUT: Duration = Duration::from_millis(500);

/// Longest request line and headers, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Pause after an error of the listener, such as no free file descriptor: trying at once would spin.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// What is shown.
#[derive(Clone)]
pub struct Pages {
    /// At `/metrics`.
    pub registry: Registry,
    /// At `/readyz`: whether the server takes requests.
    pub is_ready: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// Serves until `end`, then finishes what is under way within half a second. A drain is no end: who
/// probes is told of it.
pub async fn serve(listener: TcpListener, pages: Pages, end: impl Future<Output = ()>) {
    let router = router(pages);
    let mut connections = JoinSet::new();
    let peers = Peers::default();
    let accepted = async {
        loop {
            while connections.try_join_next().is_some() {}
            if connections.len() >= MAX_CONNECTIONS {
                connections.join_next().await;
                continue;
            }
            match listener.accept().await {
                Ok((stream, address)) => {
                    // Whoever has too many is closed at once.
                    if let Some(seat) = peers.take(address.ip().to_canonical()) {
                        connections.spawn(connection(stream, router.clone(), seat));
                    }
                }
                Err(_) => sleep(ERROR_PAUSE).await,
            }
        }
    };
    tokio::select! {
        () = end => {}
        () = accepted => {}
    }
    drop(listener);
    let last = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(LAST_TIMEOUT, last).await;
    connections.shutdown().await;
}

/// How many connections each address has; nobody who has none.
#[derive(Clone, Default)]
struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One of them, until it is dropped.
struct Seat {
    peers: Peers,
    peer: IpAddr,
}

impl Peers {
    fn take(&self, peer: IpAddr) -> Option<Seat> {
        let mut taken = self.lock();
        let count = taken.entry(peer).or_default();
        if *count >= MAX_OF_PEER {
            return None;
        }
        *count += 1;
        drop(taken);
        let peers = self.clone();
        Some(Seat { peers, peer })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing that can panic happens under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.peers.lock();
        if let Some(count) = taken.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.peer);
            }
        }
    }
}

fn router(pages: Pages) -> Router {
    let Pages { registry, is_ready } = pages;
    let metrics = move || async move { ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], registry.text()) };
    let ready = move || async move {
        if is_ready() {
            (StatusCode::OK, "ready\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        }
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
}

/// One request, which must have no body, and its answer.
async fn connection(stream: TcpStream, router: Router, _seat: Seat) {
    let service = service_fn(move |request| answer(router.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Whatever becomes of it: a client that went away is no news.
    let _ = timeout(CONNECTION_TIMEOUT, connection).await;
}

async fn answer(router: Router, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    if !hyper::body::Body::is_end_stream(request.body()) {
        let mut refused = Response::new(Body::from("no page here takes a body\n"));
        *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(refused);
    }
    router.oneshot(request).await
}
