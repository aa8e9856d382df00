//! The API: generated services in, the resolver's words out. No generated type goes further down,
//! and no status code comes from further down.

mod convert;
pub mod health;
pub mod reflection;
mod status;
mod stream;

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::Stream;
use tonic::{Code, Request, Response, Status, Streaming, codec::CompressionEncoding};

use crate::{
    batch::WhenFull,
    caller::CallerId,
    deadline::Deadline,
    pb::identity::{
        ResolveUserIdsRequest, ResolveUserIdsResponse, ResolveUserIdsStreamRequest,
        ResolveUserIdsStreamResponse,
        identity_service_server::{IdentityService, IdentityServiceServer},
    },
    resolver::{Failure, Resolver},
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

/// The header by which a caller says what it can decompress.
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// The limits of the service.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most identifiers in a batch.
    pub max_identifiers: usize,
    /// Most batches of a stream worked on at a time.
    pub max_in_flight_batches: usize,
}

/// On what terms a batch is resolved, beside what it says itself.
#[derive(Clone, Copy, Debug)]
struct Terms {
    caller: CallerId,
    deadline: Deadline,
    when_full: WhenFull,
}

/// `feishu.identity.v1.IdentityService`.
#[derive(Clone)]
pub struct Identity {
    resolver: Arc<Resolver>,
    limits: Limits,
    shutdown: Shutdown,
}

impl Identity {
    /// The service, ready to be served.
    pub fn server(
        resolver: Arc<Resolver>,
        limits: Limits,
        shutdown: Shutdown,
    ) -> IdentityServiceServer<Self> {
        let longest = (limits.max_identifiers * REQUEST_BYTES_AN_IDENTIFIER).max(MIN_REQUEST_BYTES);
        let service = Self {
            resolver,
            limits,
            shutdown,
        };
        IdentityServiceServer::new(service)
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
        terms: Terms,
    ) -> Result<ResolveUserIdsResponse, Box<status::Rejection>> {
        let tenant = self.resolver.name_of(&request.tenant).to_owned();
        let parsed = convert::request(&request, self.limits.max_identifiers, terms)
            .map_err(|rejection| Box::new(rejection.of_tenant(&tenant)))?;
        let resolutions = self.resolver.resolve(parsed).await.map_err(|failure| {
            Box::new(status::Rejection::about_tenant(failure).of_tenant(&tenant))
        })?;
        if let Some(failure) = convert::common_failure(&resolutions) {
            tracing::info!(reason = ?failure.reason, tenant, "a request failed: {failure}");
            let rejection = status::Rejection::from(failure.clone());
            return Err(Box::new(rejection.of_tenant(&tenant)));
        }
        Ok(convert::response(request.identifiers, resolutions))
    }
}

#[tonic::async_trait]
impl IdentityService for Identity {
    async fn resolve_user_ids(
        &self,
        request: Request<ResolveUserIdsRequest>,
    ) -> Result<Response<ResolveUserIdsResponse>, Status> {
        // Saying no costs as much as an identifier does, and to most callers it need not be said.
        let takes_compressed = request.metadata().contains_key(ACCEPT_ENCODING);
        let terms = Terms {
            caller: caller(&request),
            deadline: deadline(&request).unwrap_or_else(|| Deadline::after(DEFAULT_DEADLINE)),
            when_full: WhenFull::Shed,
        };
        let response = self
            .resolve(request.into_inner(), terms)
            .await
            .map_err(|rejection| Status::from(*rejection))?;
        let is_small = response.resolutions.len() < COMPRESS_FROM;
        let mut response = Response::new(response);
        if is_small && takes_compressed {
            response.disable_compression();
        }
        Ok(response)
    }

    type ResolveUserIdsStreamStream =
        Pin<Box<dyn Stream<Item = Result<ResolveUserIdsStreamResponse, Status>> + Send>>;

    async fn resolve_user_ids_stream(
        &self,
        request: Request<Streaming<ResolveUserIdsStreamRequest>>,
    ) -> Result<Response<Self::ResolveUserIdsStreamStream>, Status> {
        let (caller, deadline) = (caller(&request), deadline(&request));
        let answers = stream::answers(self.clone(), request.into_inner(), caller, deadline);
        Ok(Response::new(Box::pin(answers)))
    }
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
