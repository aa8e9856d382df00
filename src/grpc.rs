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
mod work;

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::Stream;
use tonic::{Code, Request, Response, Status, Streaming, codec::CompressionEncoding};

pub use access::unauthenticated;
use work::Arrival;

use crate::{
    audit::Rpc,
    batch::WhenFull,
    caller::{Call, CallerId},
    callers::Callers,
    deadline::Deadline,
    log_limit::LogLimit,
    memory::Memory,
    pb::identity::{
        ResolveUserIdsRequest, ResolveUserIdsResponse, ResolveUserIdsStreamRequest,
        ResolveUserIdsStreamResponse,
        identity_service_server::{IdentityService, IdentityServiceServer},
    },
    resolver::{Failure, Reason, Resolver},
    shutdown::Shutdown,
};

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

    /// The service, ready to be served; each with handles of its own of what they share.
    pub fn server(&self) -> IdentityServiceServer<Self> {
        let longest = longest_request(self.limits.max_identifiers);
        IdentityServiceServer::new(self.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .send_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size(longest)
            .max_encoding_message_size(MAX_RESPONSE_BYTES)
    }
}

#[tonic::async_trait]
impl IdentityService for Identity {
    async fn resolve_user_ids(
        &self,
        mut request: Request<ResolveUserIdsRequest>,
    ) -> Result<Response<ResolveUserIdsResponse>, Status> {
        let entered = access::entered(&self.callers, &mut request)?;
        let (caller, deadline) = call(&request);
        let arrival = Arrival {
            caller,
            deadline: deadline.unwrap_or_else(|| Deadline::after(DEFAULT_DEADLINE)),
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
        let (caller, deadline) = call(&request);
        let source = stream::Source {
            entered: access::entered(&self.callers, &mut request)?,
            caller,
            deadline,
        };
        let answers = stream::answers(self.clone(), request.into_inner(), source);
        Ok(Response::new(Box::pin(answers)))
    }
}

/// The longest message that a request with so many identifiers needs, in bytes.
fn longest_request(max_identifiers: usize) -> usize {
    (max_identifiers * REQUEST_BYTES_AN_IDENTIFIER).max(MIN_REQUEST_BYTES)
}

/// Who asks, as far as the server can tell, and until when they wait, if they have said so.
fn call<T>(request: &Request<T>) -> (CallerId, Option<Deadline>) {
    let call = request.extensions().get::<Call>();
    call.map_or_else(Default::default, |call| (call.caller, call.deadline))
}

/// Says that this server is on its way out, for a stream that ends because of it.
fn draining() -> Status {
    let mut failure = Failure::new(
        Reason::ShuttingDown,
        "the server is draining: send the batches that have no answer yet again",
    );
    failure.retry_delay = Some(Duration::from_millis(100));
    let status = Status::from(status::Rejection::from(failure));
    debug_assert_eq!(status.code(), Code::Unavailable);
    status
}
