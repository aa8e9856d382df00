//! What happens to every request around the service that answers it: who calls, the request id, the
//! deadline, the limit on requests in flight, and a panic's answer. Called by `connection`.

use std::{convert::Infallible, net::SocketAddr, panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status, body::Body, codegen::Service as _, service::Routes};
use tracing::Instrument as _;

use super::{
    ServerSettings,
    place::{Full, Place, Places},
    refusal, timeout,
    timeout::TimedBody,
};
use crate::{
    caller::{CallerId, Origin},
    deadline::Deadline,
};

/// The header in which callers send an id of their own.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id that is taken over, in bytes: room for several UUIDs, none for a log flood.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// Who is at the other end of the connection; an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The address; none for a caller inside this process.
    pub address: Option<SocketAddr>,
    /// The connection's number, never used twice while the process lives.
    pub connection: u64,
}

/// The caller's own id of a request (`x-request-id`); an extension of a request that brought one of
/// at most 128 visible ASCII characters. It is sent back with the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

/// What all requests of a server share.
pub(super) struct Shared {
    routes: Routes,
    settings: ServerSettings,
    places: Arc<Places>,
}

/// The service of one connection.
pub(super) struct Requests {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: Peer,
}

// === impl RequestId ===

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Only visible ASCII gets in, so this is never empty.
        self.0.to_str().unwrap_or_default()
    }

    fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(X_REQUEST_ID)?;
        let fits = (1..=MAX_REQUEST_ID_BYTES).contains(&value.len());
        (fits && value.as_bytes().iter().all(u8::is_ascii_graphic)).then(|| Self(value.clone()))
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(routes: Routes, settings: ServerSettings) -> Self {
        Self {
            routes: routes.prepare(),
            places: Places::new(&settings),
            settings,
        }
    }

    pub(super) fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    async fn answer(&self, peer: Peer, mut request: Request<Incoming>) -> Response<TimedBody> {
        let request_id = RequestId::from_headers(request.headers());
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(CallerId(peer.connection));
        let ip = peer.address.map(|address| address.ip());
        request.extensions_mut().insert(Origin::of(ip));
        if let Some(id) = &request_id {
            request.extensions_mut().insert(id.clone());
        }
        // So that every log line of the handler carries the caller's id.
        let span = request_id.as_ref().map_or_else(tracing::Span::none, |id| {
            tracing::info_span!("request", id = id.as_str())
        });
        let path =
            tracing::enabled!(tracing::Level::DEBUG).then(|| request.uri().path().to_owned());
        let began = Instant::now();
        let mut response = match self.places.enter(request.uri().path(), began) {
            Ok(place) => self.timed(request, place).instrument(span.clone()).await,
            Err(Full) => refusal::response(&refusal::overloaded()),
        };
        span.in_scope(|| {
            // A stream's status comes later, in its trailers.
            let status = response.headers().get(Status::GRPC_STATUS);
            let status = status.and_then(|code| code.to_str().ok());
            let duration_ms = began.elapsed().as_millis();
            tracing::debug!(path, status, duration_ms, "answered");
        });
        if let Some(RequestId(id)) = request_id {
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        response
    }

    /// The service's answer, or what there is in its place; its body keeps the place.
    async fn timed(&self, request: Request<Incoming>, mut place: Place) -> Response<TimedBody> {
        match self.serve(request, place.began()).await {
            Ok((mut response, deadline)) => {
                refusal::explain(response.headers_mut());
                let code = response.headers().get(Status::GRPC_STATUS);
                let code = code.map(|code| Code::from_bytes(code.as_bytes()));
                response.map(|body| TimedBody::new(body, deadline, place, code))
            }
            Err(status) => {
                place.ends_with(status.code());
                refusal::response(&status)
            }
        }
    }

    async fn serve(
        &self,
        mut request: Request<Incoming>,
        began: Instant,
    ) -> Result<(Response<Body>, Option<Deadline>), Status> {
        // A tunnel is no call, and hyper would hold it open for us.
        if request.method() == Method::CONNECT {
            let mut response = Response::new(Body::default());
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            return Ok((response, None));
        }
        let deadline = timeout::deadline(request.headers(), began)
            .map_err(|timeout::Malformed| refusal::malformed_timeout())?;
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(deadline);
        }
        let answered = AssertUnwindSafe(self.routed(request)).catch_unwind();
        let until =
            deadline.unwrap_or_else(|| Deadline::after_moment(began, self.settings.answer_timeout));
        match timeout_at(until.instant(), answered).await {
            Ok(Ok(response)) => Ok((response, deadline)),
            Ok(Err(_panic)) => Err(refusal::panicked()),
            Err(_elapsed) if deadline.is_none() => Err(refusal::answer_overdue()),
            Err(_elapsed) => Err(refusal::deadline_exceeded()),
        }
    }

    async fn routed(&self, request: Request<Incoming>) -> Response<Body> {
        // A router is always ready, and cloning one clones an `Arc`.
        match self.routes.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

// === impl Requests ===

impl hyper::service::Service<Request<Incoming>> for Requests {
    type Response = Response<TimedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        let peer = self.peer;
        Box::pin(async move { Ok(shared.answer(peer, request).await) })
    }
}
