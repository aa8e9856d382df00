//! What happens to every request before the service that answers it: the limit on requests in flight,
//! who calls and whether they may, the request id, and the deadline. Called by `connection`.

use std::{cell::Cell, convert::Infallible, future::ready, sync::Arc};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, request::Parts,
};
use hyper::body::Incoming;
use tokio::time::Instant;
use tonic::{Status, body::Body};

use super::{
    Guard, ServerSettings, Services,
    answering::{Answering, Handled, Heard},
    place::{Full, Place, Places},
    refusal,
    services::{Answer, Lines},
    timeout::{self, TimedBody},
    upload::RequestBody,
};
use crate::{
    caller::{Call, CallerId, CertificateNames, Peer},
    deadline::Deadline,
    log_limit::LogLimit,
    trace::{RequestId, Scope},
};

/// The header in which callers send an id of their own.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id that is taken over, in bytes: room for several UUIDs, none for a log flood.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// What all requests of a server share.
pub(super) struct Shared {
    services: Services,
    settings: ServerSettings,
    places: Places,
    shed: LogLimit<()>,
}

/// The service of one connection.
pub(super) struct Requests {
    shared: Arc<Shared>,
    peer: Peer,
    /// Who looks at each of them first; without one everybody may come in.
    guard: Option<Box<dyn Guard>>,
    lines: Lines,
    places: Arc<Places>,
    /// How many requests have come by it.
    count: Cell<u64>,
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
}

// === impl Requests ===

impl Requests {
    /// Those of this connection. The names are those of the client's certificate, if TLS has verified one.
    pub(super) fn new(shared: &Arc<Shared>, peer: Peer, names: Option<CertificateNames>) -> Self {
        let gate = shared.settings.gate.as_ref();
        Self {
            guard: gate.map(|gate| gate.guard(peer, names)),
            lines: shared.services.of_connection(),
            places: shared.places.of_connection(),
            shared: Arc::clone(shared),
            peer,
            count: Cell::new(0),
        }
    }

    fn answer(&self, request: Request<Incoming>) -> Answering {
        let settings = &self.shared.settings;
        let began = Instant::now();
        let number = self.count.get() + 1;
        self.count.set(number);
        let id = match given_id(request.headers()) {
            Some(value) => RequestId::given(value.clone()),
            None => RequestId::made(settings.process, self.peer.connection, number),
        };
        let mut heard = Heard::new(Scope::of(id), &request, began, &settings.metrics);
        let Ok(mut place) = self.places.enter(request.uri().path(), began) else {
            self.shared.tell_of_shedding(self.peer);
            return Answering::refused(refusal::overloaded(), None, heard);
        };
        let (mut parts, body) = request.into_parts();
        // Before it is traced: strangers make no traces.
        let admitted = {
            let _told = heard.scope.enter();
            self.admit(&mut parts, &mut place)
        };
        let caller = match admitted {
            Ok(caller) => caller,
            Err(status) => return Answering::refused(*status, Some(place), heard),
        };
        let span = place.trace(&settings.tracing, &parts.headers);
        heard.scope.set_span(span);
        let Ok(deadline) = timeout::deadline(&parts.headers, began) else {
            return Answering::refused(refusal::malformed_timeout(), Some(place), heard);
        };
        let until =
            deadline.unwrap_or_else(|| Deadline::after_moment(began, settings.answer_timeout));
        parts.extensions.insert(Call {
            peer: self.peer,
            caller,
            deadline,
        });
        // A tunnel is no call, and hyper would hold it open for us.
        let answer = if parts.method == Method::CONNECT {
            no_tunnel()
        } else {
            let places = Arc::clone(&self.places);
            let body = RequestBody::new(body, places, settings.message_timeout);
            self.lines.call(Request::from_parts(parts, body))
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

    /// Asks the guard, if there is one, and whether that caller has a share left. Says whom fairness counts
    /// as one.
    fn admit(&self, head: &mut Parts, place: &mut Place) -> Result<CallerId, Box<Status>> {
        let by_connection = CallerId(self.peer.connection);
        let Some(guard) = &self.guard else {
            return Ok(by_connection);
        };
        let caller = guard.admit(head)?.unwrap_or(by_connection);
        place.is_of(caller).map_err(|Full| {
            guard.too_many(head);
            refusal::too_many_of_caller()
        })?;
        Ok(caller)
    }
}

/// The caller's own id of a request, if it brings one that may stand in a log.
fn given_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    let value = headers.get(X_REQUEST_ID)?;
    let fits = (1..=MAX_REQUEST_ID_BYTES).contains(&value.len());
    // No e-mail address may stand there.
    let may_stand = |b: &u8| b.is_ascii_graphic() && *b != b'@';
    (fits && value.as_bytes().iter().all(may_stand)).then_some(value)
}

fn no_tunnel() -> Answer {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    Box::pin(ready(Ok(response)))
}

impl hyper::service::Service<Request<Incoming>> for Requests {
    type Response = Response<TimedBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        self.answer(request)
    }
}
