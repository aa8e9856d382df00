//! The least that the API costs: tonic's own server with the same messages, answering from a filled
//! map. No deadlines, limits, health or checks. What a figure of feishu-id's is compared with.

use std::{
    collections::HashMap,
    io::{self, Write as _},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::SystemTime,
};

use clap::Parser;
use feishu_id::pb::identity::{
    Identifier, Outcome, Resolution, ResolveUserIdsRequest, ResolveUserIdsResponse,
    ResolveUserIdsStreamRequest, ResolveUserIdsStreamResponse, User, UserStatus,
    identifier::Kind,
    identity_service_server::{IdentityService, IdentityServiceServer},
    resolve_user_ids_stream_response::Result as BatchResult,
};
use prost_types::Timestamp;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXAMPLES: &str = "\
Example, in one shell and another:
  raw-server --listen 127.0.0.1:50052
  load unary --server http://127.0.0.1:50052 --in-flight 64 --connections 8 --people zipf:0:10000";

/// A bare tonic server of feishu-id's messages, answering from a filled map.
#[derive(Parser)]
#[command(name = "raw-server", after_help = EXAMPLES)]
struct Line {
    /// Where it listens; port 0 takes any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:50052")]
    listen: SocketAddr,
    /// How many people it knows, each by e-mail and mobile: those of feishu-id's sandbox.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    people: u32,
}

#[derive(Clone)]
struct Raw {
    ids: Arc<HashMap<String, String>>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let line = Line::parse();
    let incoming = TcpIncoming::bind(line.listen)?.with_nodelay(Some(true));
    let address = incoming.local_addr()?;
    let service = IdentityServiceServer::new(Raw::new(line.people));
    let _ = writeln!(io::stdout(), "raw-server listens on {address}");
    Server::builder()
        .add_service(service)
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

impl Raw {
    fn new(people: u32) -> Self {
        let ids = (0..people).flat_map(|n| {
            let id = format!("u{n:07}");
            let email = format!("load-{n}@acme.example");
            [(email, id.clone()), (format!("+86199{n:08}"), id)]
        });
        Self {
            ids: Arc::new(ids.collect()),
        }
    }

    fn answer(&self, request: ResolveUserIdsRequest) -> ResolveUserIdsResponse {
        let now = now();
        let identifiers = request.identifiers.into_iter();
        ResolveUserIdsResponse {
            resolutions: identifiers.map(|who| self.resolution(who, now)).collect(),
        }
    }

    fn resolution(&self, identifier: Identifier, now: Timestamp) -> Resolution {
        let id = match &identifier.kind {
            Some(Kind::Email(text) | Kind::Mobile(text)) => self.ids.get(text),
            None => None,
        };
        let outcome = id.map_or(Outcome::NotFound, |_| Outcome::Resolved);
        Resolution {
            identifier: Some(identifier),
            outcome: outcome.into(),
            user: id.map(|id| User {
                user_id: id.clone(),
                // The sandbox tells it of everybody.
                status: Some(UserStatus {
                    activated: true,
                    ..UserStatus::default()
                }),
                ..User::default()
            }),
            resolve_time: Some(now),
            ..Resolution::default()
        }
    }
}

#[tonic::async_trait]
impl IdentityService for Raw {
    async fn resolve_user_ids(
        &self,
        request: Request<ResolveUserIdsRequest>,
    ) -> Result<Response<ResolveUserIdsResponse>, Status> {
        Ok(Response::new(self.answer(request.into_inner())))
    }

    type ResolveUserIdsStreamStream =
        Pin<Box<dyn Stream<Item = Result<ResolveUserIdsStreamResponse, Status>> + Send>>;

    async fn resolve_user_ids_stream(
        &self,
        request: Request<Streaming<ResolveUserIdsStreamRequest>>,
    ) -> Result<Response<Self::ResolveUserIdsStreamStream>, Status> {
        let raw = self.clone();
        let answers = request.into_inner().map(move |batch| {
            let batch = batch?;
            let response = raw.answer(batch.request.unwrap_or_default());
            Ok(ResolveUserIdsStreamResponse {
                batch_id: batch.batch_id,
                result: Some(BatchResult::Response(response)),
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program of its own, without the product's clock"
)]
fn now() -> Timestamp {
    SystemTime::now().into()
}
