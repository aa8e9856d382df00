//! A server on a port of its own with a service that does as it is told.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use feishu_id::{
    caller::{Call, CertificateNames},
    grpc::health::{self, HealthHandle},
    pb::{
        health::{health_client::HealthClient, health_server::HealthServer},
        identity::{
            Resolution, ResolveUserIdsRequest, ResolveUserIdsResponse, ResolveUserIdsStreamRequest,
            ResolveUserIdsStreamResponse, User,
            identity_service_client::IdentityServiceClient,
            identity_service_server::{IdentityService, IdentityServiceServer},
        },
    },
    server::{ServeOutcome, ServerSettings, Services, serve},
    shutdown::Shutdown,
};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status, Streaming,
    codec::CompressionEncoding,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};

/// The answer comes at once.
pub const AT_ONCE: &str = "";
/// The answer comes when the test says so.
pub const WAIT: &str = "wait";
/// The answer comes at once, and is 100 kB long.
pub const LARGE: &str = "large";
/// The handler panics.
pub const PANIC: &str = "panic";

/// A server under test.
pub struct Running {
    pub address: SocketAddr,
    pub shutdown: Shutdown,
    pub health: HealthHandle,
    pub double: Double,
    pub task: JoinHandle<ServeOutcome>,
}

/// What the service does is chosen by the request's tenant; a stream with the metadata `flood`
/// never stops sending, others send one message and then nothing.
#[derive(Clone)]
pub struct Double {
    /// Handlers and streams alive now.
    open: watch::Sender<usize>,
    /// Calls that have reached a handler.
    pub seen: Arc<AtomicUsize>,
    /// Lets those go that wait.
    pub release: CancellationToken,
}

/// Counts as open until dropped.
struct Open(watch::Sender<usize>);

/// What is awaited comes within ten seconds, or the test fails instead of hanging.
pub async fn soon<F: Future>(awaited: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(10), awaited)
        .await
        .expect("it does not come")
}

pub fn request(tenant: &str) -> ResolveUserIdsRequest {
    ResolveUserIdsRequest {
        tenant: tenant.to_owned(),
        ..ResolveUserIdsRequest::default()
    }
}

/// The number of the connection that a call came by, as the double tells it.
pub fn connection(metadata: &MetadataMap) -> u64 {
    metadata
        .get("connection-number")
        .unwrap()
        .to_str()
        .unwrap()
        .parse()
        .unwrap()
}

/// The server still answers.
pub async fn assert_alive(server: &Running) {
    let mut client = server.identity().await;
    soon(client.resolve_user_ids(request(AT_ONCE)))
        .await
        .unwrap();
}

/// The double's and the health service's routes.
pub fn routes(double: &Double, shutdown: &Shutdown) -> (Services, HealthHandle) {
    let (handle, health) = health::new(shutdown.clone());
    let identity = IdentityServiceServer::new(double.clone())
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(1 << 20);
    let routes = Services::default()
        .with(move || identity.clone())
        .with(move || HealthServer::new(health.clone()));
    (routes, handle)
}

// === impl Running ===

impl Running {
    pub async fn start(settings: ServerSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::default();
        let double = Double::new();
        let (routes, health) = routes(&double, &shutdown);
        let task = tokio::spawn(serve(listener, routes, settings, shutdown.clone()));
        Self {
            address,
            shutdown,
            health,
            double,
            task,
        }
    }

    /// A client with a connection of its own.
    pub async fn identity(&self) -> IdentityServiceClient<Channel> {
        IdentityServiceClient::new(self.channel().await)
    }

    /// A client with a connection of its own.
    pub async fn health_client(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel().await)
    }

    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// Waits for the end of `serve`.
    pub async fn ended(self) -> ServeOutcome {
        soon(self.task).await.unwrap()
    }
}

// === impl Double ===

impl Double {
    pub fn new() -> Self {
        Self {
            open: watch::Sender::new(0),
            seen: Arc::default(),
            release: CancellationToken::new(),
        }
    }

    /// Waits until this many handlers and streams are alive.
    pub async fn until_open(&self, count: usize) {
        soon(self.open.subscribe().wait_for(|open| *open == count))
            .await
            .unwrap();
    }

    fn enter(&self) -> Open {
        self.seen.fetch_add(1, Ordering::Relaxed);
        self.open.send_modify(|open| *open += 1);
        Open(self.open.clone())
    }
}

// === impl Open ===

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

#[tonic::async_trait]
impl IdentityService for Double {
    type ResolveUserIdsStreamStream =
        Pin<Box<dyn Stream<Item = Result<ResolveUserIdsStreamResponse, Status>> + Send>>;

    async fn resolve_user_ids(
        &self,
        request: Request<ResolveUserIdsRequest>,
    ) -> Result<Response<ResolveUserIdsResponse>, Status> {
        let _open = self.enter();
        let mut response = Response::new(ResolveUserIdsResponse::default());
        let mut tell = |name: &'static str, value: String| {
            response.metadata_mut().insert(name, value.parse().unwrap());
        };
        let extensions = request.extensions();
        let call = extensions.get::<Call>().unwrap();
        let peer = call.peer;
        tell("connection-number", peer.connection.to_string());
        tell(
            "address",
            peer.address
                .map_or("none".to_owned(), |address| address.to_string()),
        );
        tell("caller", format!("{:?}", call.caller));
        if let Some(CertificateNames(names)) = extensions.get() {
            tell("certificate-names", names.join(" "));
        }
        if let Some(deadline) = call.deadline {
            tell("remaining-ms", deadline.remaining().as_millis().to_string());
        }
        match request.get_ref().tenant.as_str() {
            WAIT => self.release.cancelled().await,
            PANIC => panic!("told to"),
            AT_ONCE => {}
            LARGE => {
                let filling = Resolution {
                    user: Some(User {
                        user_id: "x".repeat(100_000),
                        ..User::default()
                    }),
                    ..Resolution::default()
                };
                response.get_mut().resolutions.push(filling);
            }
            other => return Err(Status::not_found(other)),
        }
        Ok(response)
    }

    async fn resolve_user_ids_stream(
        &self,
        request: Request<Streaming<ResolveUserIdsStreamRequest>>,
    ) -> Result<Response<Self::ResolveUserIdsStreamStream>, Status> {
        let open = self.enter();
        let flood = request.metadata().contains_key("flood");
        let message = ResolveUserIdsStreamResponse::default();
        let messages = stream::unfold((0_u64, open), move |(sent, open)| {
            let message = ResolveUserIdsStreamResponse {
                batch_id: sent,
                ..message.clone()
            };
            async move {
                if sent > 0 && !flood {
                    std::future::pending::<()>().await;
                }
                Some((Ok(message), (sent + 1, open)))
            }
        });
        Ok(Response::new(messages.boxed()))
    }
}
