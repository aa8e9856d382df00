//! The API: generated services in, the resolver's words out. No generated type goes further down,
//! and no status code comes from further down.

mod access;
pub mod admin;
mod books;
mod convert;
pub mod health;
mod noted;
pub mod reflection;
mod status;
mod stream;

use std::{pin::Pin, sync::Arc, time::Duration};

use arc_swap::Guard;
use futures_util::Stream;
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status, Streaming, codec::CompressionEncoding};

pub use access::unauthenticated;
use books::Books;

use crate::{
    audit::Rpc,
    batch::WhenFull,
    caller::CallerId,
    callers::{Callers, Entered},
    deadline::Deadline,
    identity::Identifier,
    log_limit::LogLimit,
    memory::Memory,
    metrics,
    pb::identity::{
        self as pb, ResolveUserIdsRequest, ResolveUserIdsResponse, ResolveUserIdsStreamRequest,
        ResolveUserIdsStreamResponse,
        identity_service_server::{IdentityService, IdentityServiceServer},
    },
    resolver::{Answered, Failure, Reason, Resolution, Resolver, Tenants, Terms, Told},
    shutdown::Shutdown,
};

use noted::Noted;

/// What a unary call without a deadline gets. Feishu answers within a second or never.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);
/// Longest request message, in bytes, for each identifier allowed: the longest e-mail address has
/// 254, and what is too long is answered rather than refused with the rest.
const REQUEST_BYTES_AN_IDENTIFIER: usize = 1024;
/// Longest request message, at least: room for a little nonsense.
const MIN_REQUEST_BYTES: usize = 1024 * 1024;
/// Longest response message, in bytes: a request's identifiers come back in it, with their answers.
const MAX_RESPONSE_BYTES: usize = 16 * 1024 * 1024;
/// Below this many identifiers compressing costs more than it saves.
const COMPRESS_FROM: usize = 20;

/// What an identifier that must be looked up is counted as, in bytes: itself three times (in the answer,
/// on its way, in the queue), its answer, and its flight.
const BYTES_A_LOOKUP: usize = 1024;
/// When to come back after having been shed for want of memory: about as long as a full call takes, some
/// times over.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where a caller says what it can decompress.
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// The limits of the service.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most identifiers in a batch.
    pub max_identifiers: usize,
    /// Most batches of a stream worked on at a time.
    pub max_in_flight_batches: usize,
    /// What all requests together may hold.
    pub memory: Memory,
}

/// How a batch came, beside what it says itself.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    caller: CallerId,
    deadline: Deadline,
    when_full: WhenFull,
    rpc: Rpc,
}

/// `feishu.identity.v1.IdentityService`.
#[derive(Clone)]
pub struct Identity {
    resolver: Arc<Resolver>,
    callers: Callers,
    limits: Limits,
    shutdown: Shutdown,
    /// Requests that failed as a whole, by tenant.
    failed: Arc<LogLimit<(String, Reason)>>,
}

impl Identity {
    /// The service itself.
    pub fn new(
        resolver: Arc<Resolver>,
        callers: Callers,
        limits: Limits,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            resolver,
            callers,
            limits,
            shutdown,
            failed: Arc::default(),
        }
    }

    /// The service, ready to be served.
    pub fn server(
        resolver: Arc<Resolver>,
        callers: Callers,
        limits: Limits,
        shutdown: Shutdown,
    ) -> IdentityServiceServer<Self> {
        let longest = longest_request(limits.max_identifiers);
        IdentityServiceServer::new(Self::new(resolver, callers, limits, shutdown))
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .send_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size(longest)
            .max_encoding_message_size(MAX_RESPONSE_BYTES)
    }

    /// One batch, by whichever RPC it came: its answer, or what it fails with as a whole.
    async fn resolve(
        &self,
        request: ResolveUserIdsRequest,
        entered: &Entered,
        arrival: Arrival,
    ) -> Result<ResolveUserIdsResponse, Box<status::Rejection>> {
        match self.recall(request, entered, arrival)? {
            Recalled::All(response) => Ok(response),
            Recalled::Some(batch) => {
                let held = self.limits.memory.try_take(batch.bytes());
                let _held = held.ok_or_else(|| self.about(entered, &batch.tenant, no_memory()))?;
                self.find_out(*batch, entered).await
            }
        }
    }

    /// What a batch takes of what its caller may ask for. One with more than the limit is refused anyway.
    fn weight(&self, request: &ResolveUserIdsRequest) -> usize {
        request.identifiers.len().min(self.limits.max_identifiers)
    }

    /// Answers those who are known already, without waiting.
    fn recall(
        &self,
        request: ResolveUserIdsRequest,
        entered: &Entered,
        arrival: Arrival,
    ) -> Result<Recalled, Box<status::Rejection>> {
        let caller = entered.caller();
        let tenant = &request.tenant;
        let terms = convert::terms(&request, self.limits.max_identifiers, arrival)
            .map_err(|rejection| self.refuse(entered, arrival.rpc, tenant, *rejection))?;
        let tenants = self.resolver.tenants();
        let session = access::begin(&tenants, caller, tenant, &terms).map_err(|failure| {
            let rejection = status::Rejection::about_tenant(failure);
            self.refuse(entered, arrival.rpc, tenant, rejection)
        })?;
        let mut noted = Noted::begin(tenants.name_of(tenant), request.identifiers.len());
        let recalling = noted.part("recall");
        let mut resolutions = Vec::with_capacity(request.identifiers.len());
        let mut unknown = Vec::new();
        let mut books = Books::new(&session, &mut noted);
        for (place, identifier) in request.identifiers.into_iter().enumerate() {
            resolutions.push(pb::Resolution::default());
            let Some(message) = resolutions.last_mut() else {
                continue;
            };
            match convert::normal_form(&identifier) {
                Err(invalid) => {
                    let invalid = Resolution::Invalid((&invalid).into()).into();
                    books.add_answered(&invalid);
                    convert::fill(message, invalid.resolution);
                }
                Ok(who) => match session.recall(&who, message) {
                    Told::Found(source) => books.add(metrics::Outcome::Resolved, source.counted()),
                    Told::Otherwise(answered) => {
                        books.add_answered(&answered);
                        convert::fill(message, answered.resolution);
                    }
                    Told::Nothing => {
                        let who = who.into_identifier();
                        unknown.push((Asked { place, identifier }, who));
                        resolutions.pop();
                        continue;
                    }
                },
            }
            message.identifier = Some(identifier);
        }
        books.close(caller.account(), arrival.rpc, tenants.name_of(tenant));
        drop(recalling);
        if unknown.is_empty() {
            return Ok(Recalled::All(ResolveUserIdsResponse { resolutions }));
        }
        // Those to come have no room yet: it may be a minute, and thousands who wait for it.
        resolutions.shrink_to_fit();
        Ok(Recalled::Some(Box::new(Batch {
            tenants: Guard::into_inner(tenants),
            tenant: request.tenant,
            terms,
            rpc: arrival.rpc,
            known: resolutions,
            unknown,
            noted,
        })))
    }

    /// Finds out about the others.
    async fn find_out(
        &self,
        batch: Batch,
        entered: &Entered,
    ) -> Result<ResolveUserIdsResponse, Box<status::Rejection>> {
        let caller = entered.caller();
        let (known, mut noted) = (batch.known, batch.noted);
        let tenants = &batch.tenants;
        let session =
            access::begin(tenants, caller, &batch.tenant, &batch.terms).map_err(|failure| {
                let rejection = status::Rejection::about_tenant(failure);
                self.refuse(entered, batch.rpc, &batch.tenant, rejection)
            })?;
        let found_out = session.find_out(batch.unknown);
        let found_out = if noted.is_on() {
            noted.scope().wrap(found_out).await
        } else {
            found_out.await
        };
        let mut books = Books::new(&session, &mut noted);
        for (_, answered) in &found_out {
            books.add_answered(answered);
        }
        let tenant = tenants.name_of(&batch.tenant);
        books.close(caller.account(), batch.rpc, tenant);
        if known.is_empty()
            && let Some(failure) =
                convert::common_failure(found_out.iter().map(|(_, answered)| &answered.resolution))
        {
            noted.fail(failure.reason);
            self.tell(tenant, failure);
            return Err(self.about(entered, &batch.tenant, failure.clone().into()));
        }
        Ok(in_order(known, found_out))
    }

    /// The one place where a failed request is logged: many fail alike, so not each of them.
    fn tell(&self, tenant: &str, failure: &Failure) {
        let what = (tenant.to_owned(), failure.reason);
        if let Some(untold) = self.failed.tell(what, Instant::now()) {
            tracing::info!(
                reason = convert::reason_name(failure.reason),
                tenant,
                feishu.code = failure.feishu_code,
                feishu.log_id = failure.feishu_log_id,
                untold,
                "a request failed: {failure}"
            );
        }
    }

    /// A request that is refused before anybody is asked about; it is booked.
    fn refuse(
        &self,
        entered: &Entered,
        rpc: Rpc,
        tenant: &str,
        rejection: status::Rejection,
    ) -> Box<status::Rejection> {
        access::book(entered, rpc, rejection.reason());
        self.about(entered, tenant, rejection)
    }

    fn about(
        &self,
        entered: &Entered,
        tenant: &str,
        rejection: status::Rejection,
    ) -> Box<status::Rejection> {
        let tenants = self.resolver.tenants();
        let tenant = access::name_of(entered.caller(), tenant, tenants.name_of(tenant));
        Box::new(rejection.of_tenant(tenant))
    }
}

/// A batch of which those who are known are answered.
enum Recalled {
    /// Everybody.
    All(ResolveUserIdsResponse),
    /// Not everybody.
    Some(Box<Batch>),
}

/// Somebody of a request who is not known yet.
struct Asked {
    /// Where in the request.
    place: usize,
    /// As the caller wrote it.
    identifier: pb::Identifier,
}

impl Batch {
    fn len(&self) -> usize {
        self.known.len() + self.unknown.len()
    }

    /// What it is counted as.
    fn bytes(&self) -> usize {
        self.unknown.len() * BYTES_A_LOOKUP
    }
}

struct Batch {
    /// Those that there were when it began: whoever has begun is answered, also by a tenant that is no
    /// longer configured.
    tenants: Arc<Tenants>,
    tenant: String,
    terms: Terms,
    rpc: Rpc,
    /// The answers about those who were known, in the order of the request.
    known: Vec<pb::Resolution>,
    /// Whom nobody knows yet, in that order.
    unknown: Vec<(Asked, Identifier)>,
    noted: Noted,
}

/// The answers in the order of the request, from those about who was known and about who was not.
fn in_order(
    known: Vec<pb::Resolution>,
    found_out: Vec<(Asked, Answered)>,
) -> ResolveUserIdsResponse {
    let mut resolutions = Vec::with_capacity(known.len() + found_out.len());
    let mut known = known.into_iter();
    for (Asked { place, identifier }, answered) in found_out {
        let before = place.saturating_sub(resolutions.len());
        resolutions.extend(known.by_ref().take(before));
        let mut message = pb::Resolution {
            identifier: Some(identifier),
            ..pb::Resolution::default()
        };
        convert::fill(&mut message, answered.resolution);
        resolutions.push(message);
    }
    resolutions.extend(known);
    ResolveUserIdsResponse { resolutions }
}

#[tonic::async_trait]
impl IdentityService for Identity {
    async fn resolve_user_ids(
        &self,
        mut request: Request<ResolveUserIdsRequest>,
    ) -> Result<Response<ResolveUserIdsResponse>, Status> {
        let entered = access::entered(&self.callers, &mut request)?;
        let arrival = Arrival {
            caller: caller(&request),
            deadline: deadline(&request).unwrap_or_else(|| Deadline::after(DEFAULT_DEADLINE)),
            when_full: WhenFull::Shed,
            rpc: Rpc::ResolveUserIds,
        };
        let may_compress = request.metadata().contains_key(ACCEPT_ENCODING);
        let request = request.into_inner();
        if let Err(until) = entered.caller().take(self.weight(&request)) {
            let failure = access::rate_limited(until);
            access::book(&entered, arrival.rpc, failure.reason);
            return Err(status::Rejection::from(failure).into());
        }
        let response = self
            .resolve(request, &entered, arrival)
            .await
            .map_err(|rejection| Status::from(*rejection))?;
        let is_small = response.resolutions.len() < COMPRESS_FROM;
        let mut response = Response::new(response);
        // Saying so costs three allocations: it is not said to those who would not compress anyway.
        if is_small && may_compress {
            response.disable_compression();
        }
        Ok(response)
    }

    type ResolveUserIdsStreamStream =
        Pin<Box<dyn Stream<Item = Result<ResolveUserIdsStreamResponse, Status>> + Send>>;

    async fn resolve_user_ids_stream(
        &self,
        mut request: Request<Streaming<ResolveUserIdsStreamRequest>>,
    ) -> Result<Response<Self::ResolveUserIdsStreamStream>, Status> {
        let source = stream::Source {
            entered: access::entered(&self.callers, &mut request)?,
            caller: caller(&request),
            deadline: deadline(&request),
        };
        let answers = stream::answers(self.clone(), request.into_inner(), source);
        Ok(Response::new(Box::pin(answers)))
    }
}

/// There is no memory to look up more people at the moment.
fn no_memory() -> status::Rejection {
    let mut failure = Failure::new(
        crate::resolver::Reason::Overloaded,
        "the requests in flight hold as much memory as they may",
    );
    failure.retry_delay = Some(RETRY_AFTER);
    failure.into()
}

/// The longest message that a request with so many identifiers needs, in bytes.
fn longest_request(max_identifiers: usize) -> usize {
    (max_identifiers * REQUEST_BYTES_AN_IDENTIFIER).max(MIN_REQUEST_BYTES)
}

/// The caller's deadline, if one was given.
fn deadline<T>(request: &Request<T>) -> Option<Deadline> {
    request.extensions().get::<Deadline>().copied()
}

/// Who asks, as far as the server can tell.
fn caller<T>(request: &Request<T>) -> CallerId {
    request.extensions().get().copied().unwrap_or_default()
}

/// Says that this server is on its way out, for a stream that ends because of it.
fn draining() -> Status {
    let mut failure = Failure::new(
        crate::resolver::Reason::ShuttingDown,
        "the server is draining: send the batches that have no answer yet again",
    );
    failure.retry_delay = Some(Duration::from_millis(100));
    let status = Status::from(status::Rejection::from(failure));
    debug_assert_eq!(status.code(), Code::Unavailable);
    status
}
