//! What happens to every request before the service that answers it: the limit on requests in flight,
//! who calls and whether they may, the request id, and the deadline. Called by `connection`.

use std::{
    convert::Infallible,
    future::ready,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::Instant;
use tonic::{Status, body::Body};

use super::{
    ServerSettings, Services,
    answering::{Answering, Handled, Heard},
    place::{Full, Place, Places},
    refusal,
    services::Answer,
    timeout::{self, TimedBody},
    upload::RequestBody,
};
use crate::{
    caller::{CallerId, CertificateNames, Origin},
    deadline::Deadline,
    log_limit::LogLimit,
    trace::{self, Scope},
};

/// The header in which callers send an id of their own.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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
/// at most 128 visible ASCII characters, none of them an @. It is sent back with the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

/// What all requests of a server share.
pub(super) struct Shared {
    services: Services,
    settings: ServerSettings,
    places: Arc<Places>,
    shed: LogLimit<()>,
}

/// The service of one connection.
pub(super) struct Requests {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: Peer,
    /// Those of the client's certificate, if TLS has verified one.
    pub(super) names: Option<CertificateNames>,
    /// How many requests have come by it.
    pub(super) count: AtomicU64,
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
        // It stands in the log, where no e-mail address may stand.
        let may_stand = |b: &u8| b.is_ascii_graphic() && *b != b'@';
        (fits && value.as_bytes().iter().all(may_stand)).then(|| Self(value.clone()))
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(services: Services, settings: ServerSettings) -> Self {
        Self {
            services,
            places: Places::new(&settings),
            shed: LogLimit::default(),
            settings,
        }
    }

    pub(super) fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    /// One line for many: whose request it is this time is as good as any.
    fn tell_of_shedding(&self, peer: Peer) {
        if let Some(untold) = self.shed.tell((), Instant::now()) {
            let most = self.settings.max_requests_in_flight;
            let peer = peer.address.map(|address| address.ip().to_canonical());
            let peer = peer.map(tracing::field::display);
            tracing::warn!(
                peer,
                most,
                untold,
                "requests turned away: grpc.max_requests_in_flight are being worked on"
            );
        }
    }

    /// Asks the gate, if there is one, and whether that caller has a share left.
    fn admit(
        &self,
        peer: Peer,
        request: Request<Incoming>,
        place: &mut Place,
    ) -> Result<Admitted, Box<Status>> {
        let by_connection = CallerId(peer.connection);
        let Some(gate) = &self.settings.gate else {
            return Ok((request, by_connection));
        };
        let (mut head, body) = request.into_parts();
        let caller = gate.admit(peer, &mut head)?.unwrap_or(by_connection);
        place.is_of(caller).map_err(|Full| {
            gate.too_many(peer, &head);
            refusal::too_many_of_caller()
        })?;
        Ok((Request::from_parts(head, body), caller))
    }

    fn answer(
        &self,
        peer: Peer,
        names: Option<&CertificateNames>,
        number: u64,
        mut request: Request<Incoming>,
    ) -> Answering {
        let began = Instant::now();
        let given = RequestId::from_headers(request.headers());
        let id = match &given {
            Some(RequestId(value)) => trace::RequestId::given(value.clone()),
            None => trace::RequestId::made(self.settings.process, peer.connection, number),
        };
        let mut heard = Heard::new(Scope::of(id), &request, began, &self.settings.metrics);
        let Ok(mut place) = self.places.enter(request.uri().path(), began) else {
            self.tell_of_shedding(peer);
            return Answering::refused(refusal::overloaded(), None, heard);
        };
        if let Some(names) = names {
            request.extensions_mut().insert(names.clone());
        }
        // Before it is traced: strangers make no traces.
        let admitted = {
            let _told = heard.scope.enter();
            self.admit(peer, request, &mut place)
        };
        let caller = match admitted {
            Ok((admitted, caller)) => {
                request = admitted;
                caller
            }
            Err(status) => return Answering::refused(*status, Some(place), heard),
        };
        let span = place.trace(&self.settings.tracing, request.headers());
        heard.scope.set_span(span);
        let deadline = match timeout::deadline(request.headers(), began) {
            Ok(deadline) => deadline,
            Err(timeout::Malformed) => {
                return Answering::refused(refusal::malformed_timeout(), Some(place), heard);
            }
        };
        let until =
            deadline.unwrap_or_else(|| Deadline::after_moment(began, self.settings.answer_timeout));
        let extensions = request.extensions_mut();
        extensions.insert(peer);
        extensions.insert(caller);
        let ip = peer.address.map(|address| address.ip());
        extensions.insert(Origin::of(ip));
        if let Some(deadline) = deadline {
            extensions.insert(deadline);
        }
        if let Some(id) = given {
            extensions.insert(id);
        }
        // A tunnel is no call, and hyper would hold it open for us.
        let answer = if request.method() == Method::CONNECT {
            no_tunnel()
        } else {
            let (memory, timeout) = (&self.settings.memory, self.settings.message_timeout);
            let body = |body| RequestBody::new(body, memory.clone(), timeout);
            self.services.call(request.map(body))
        };
        let handled = Handled {
            answer,
            place,
            deadline,
            until,
            timer: None,
        };
        Answering::handled(handled, heard)
    }
}

/// A request that may come in, and whom fairness counts as one.
type Admitted = (Request<Incoming>, CallerId);

fn no_tunnel() -> Answer {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    Box::pin(ready(Ok(response)))
}

// === impl Requests ===

impl hyper::service::Service<Request<Incoming>> for Requests {
    type Response = Response<TimedBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let names = self.names.as_ref();
        self.shared.answer(self.peer, names, number + 1, request)
    }
}
