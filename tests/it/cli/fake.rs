//! A server of the public API that answers by script, on a thread of its own. It makes happen what a
//! good server seldom does.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use feishu_id::{
    pb::identity::{
        ErrorReason, FlushCacheRequest, FlushCacheResponse, GetStatusRequest, GetStatusResponse,
        Identifier, Outcome, Resolution, ResolveError, ResolveUserIdsRequest,
        ResolveUserIdsResponse, ResolveUserIdsStreamRequest, ResolveUserIdsStreamResponse, User,
        admin_service_server::{AdminService, AdminServiceServer},
        flush_cache_request::Target,
        identifier::Kind,
        identity_service_server::{IdentityService, IdentityServiceServer},
        resolve_user_ids_stream_response::Result as Answer,
    },
    server::{self, ServerSettings, Services},
    shutdown::Shutdown,
};
use futures_util::stream::BoxStream;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

/// What the server does beside answering.
#[derive(Clone, Copy, Default)]
pub(super) struct Script {
    /// Answers every second batch before the one in front of it.
    pub(super) overtake: bool,
    /// Breaks off the first stream after that many answers.
    pub(super) break_off_after: Option<usize>,
    /// Fails every batch as a whole.
    pub(super) fail: Option<ErrorReason>,
}

/// A running server; ends when dropped.
pub(super) struct Fake {
    pub(super) url: String,
    pub(super) seen: Arc<Seen>,
    shutdown: Shutdown,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What was asked of it.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) streams: AtomicUsize,
    pub(super) batches: AtomicUsize,
    pub(super) largest_batch: AtomicUsize,
    /// What the last stream brought as its `authorization`.
    pub(super) authorization: Mutex<Option<String>>,
}

impl Fake {
    pub(super) fn start(script: Script) -> Self {
        let seen = Arc::new(Seen::default());
        let service = Service {
            script,
            seen: Arc::clone(&seen),
        };
        let service = IdentityServiceServer::new(service);
        Self::serve(Services::default().with(move || service.clone()), seen)
    }

    /// A server whose administration answers like this: each flush with the next one's status, and
    /// after the last one with what it would have flushed.
    pub(super) fn administration(failing: Vec<Option<Status>>) -> Self {
        let flushes = Flushes(Mutex::new(failing.into()));
        let service = AdminServiceServer::new(flushes);
        Self::serve(
            Services::default().with(move || service.clone()),
            Arc::default(),
        )
    }

    fn serve(services: Services, seen: Arc<Seen>) -> Self {
        let shutdown = Shutdown::default();
        let (address, bound) = std::sync::mpsc::channel::<SocketAddr>();
        let stop = shutdown.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                address.send(listener.local_addr().unwrap()).unwrap();
                server::serve(listener, services, ServerSettings::default(), stop).await;
            });
        });
        Self {
            url: format!("http://{}", bound.recv().unwrap()),
            seen,
            shutdown,
            thread: Some(thread),
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shutdown.force();
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed, and the test has seen no answer.
            let _ = thread.join();
        }
    }
}

struct Flushes(Mutex<VecDeque<Option<Status>>>);

#[tonic::async_trait]
impl AdminService for Flushes {
    async fn flush_cache(
        &self,
        request: Request<FlushCacheRequest>,
    ) -> Result<Response<FlushCacheResponse>, Status> {
        if let Some(Some(status)) = self.0.lock().unwrap().pop_front() {
            return Err(status);
        }
        let people = match request.into_inner().target {
            Some(Target::Identifiers(list)) => list.identifiers.len(),
            _ => 1_000_000,
        };
        let flushed = i64::try_from(people).unwrap();
        Ok(Response::new(FlushCacheResponse {
            flushed_entries: flushed,
            flushed_records: 2 * flushed,
        }))
    }

    async fn get_status(
        &self,
        _: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        Err(Status::unimplemented("only flushes are asked for"))
    }
}

struct Service {
    script: Script,
    seen: Arc<Seen>,
}

type Answers = mpsc::Sender<Result<ResolveUserIdsStreamResponse, Status>>;

#[tonic::async_trait]
impl IdentityService for Service {
    type ResolveUserIdsStreamStream =
        BoxStream<'static, Result<ResolveUserIdsStreamResponse, Status>>;

    async fn resolve_user_ids(
        &self,
        _: Request<ResolveUserIdsRequest>,
    ) -> Result<Response<ResolveUserIdsResponse>, Status> {
        Err(Status::unimplemented("the command line uses the stream"))
    }

    async fn resolve_user_ids_stream(
        &self,
        request: Request<Streaming<ResolveUserIdsStreamRequest>>,
    ) -> Result<Response<Self::ResolveUserIdsStreamStream>, Status> {
        let first = self.seen.streams.fetch_add(1, Ordering::SeqCst) == 0;
        let authorization = request.metadata().get("authorization");
        let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
        *self.seen.authorization.lock().unwrap() = authorization;
        let (sender, receiver) = mpsc::channel(16);
        let (script, seen) = (self.script, Arc::clone(&self.seen));
        tokio::spawn(answer_all(
            script,
            seen,
            first,
            request.into_inner(),
            sender,
        ));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

async fn answer_all(
    script: Script,
    seen: Arc<Seen>,
    first: bool,
    mut batches: Streaming<ResolveUserIdsStreamRequest>,
    answers: Answers,
) {
    let mut held = None;
    let mut answered = 0;
    while let Some(Ok(batch)) = batches.next().await {
        if first && script.break_off_after == Some(answered) {
            let _ = answers.send(Err(Status::unavailable("draining"))).await;
            return;
        }
        let request = batch.request.unwrap_or_default();
        seen.batches.fetch_add(1, Ordering::SeqCst);
        let length = request.identifiers.len();
        seen.largest_batch.fetch_max(length, Ordering::SeqCst);
        let answer = ResolveUserIdsStreamResponse {
            batch_id: batch.batch_id,
            result: Some(result(script, request)),
        };
        if script.overtake && held.is_none() {
            held = Some(answer);
            continue;
        }
        let _ = answers.send(Ok(answer)).await;
        if let Some(held) = held.take() {
            let _ = answers.send(Ok(held)).await;
        }
        answered += 1;
    }
    if let Some(held) = held {
        let _ = answers.send(Ok(held)).await;
    }
}

fn result(script: Script, request: ResolveUserIdsRequest) -> Answer {
    if let Some(reason) = script.fail {
        return Answer::Error(ResolveError {
            reason: reason.into(),
            message: "as the script says".to_owned(),
            ..ResolveError::default()
        });
    }
    let resolutions = request.identifiers.into_iter().map(resolution).collect();
    Answer::Response(ResolveUserIdsResponse { resolutions })
}

/// Knows everybody but those whose address starts with `nobody`.
fn resolution(identifier: Identifier) -> Resolution {
    let text = match &identifier.kind {
        Some(Kind::Email(text) | Kind::Mobile(text)) => text.clone(),
        None => "nobody".to_owned(),
    };
    let known = !text.starts_with("nobody");
    let outcome = if known {
        Outcome::Resolved
    } else {
        Outcome::NotFound
    };
    Resolution {
        identifier: Some(identifier),
        outcome: outcome.into(),
        user: known.then(|| User {
            user_id: format!("id-of-{text}"),
            ..User::default()
        }),
        ..Resolution::default()
    }
}
