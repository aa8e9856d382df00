//! `grpc.health.v1.Health` by its canonical protocol: passive, latched at a drain. Knows no other
//! service; built by `app`, which says when everything is up.

use std::{collections::HashMap, pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::status::DOMAIN;
use crate::{
    pb::health::{
        HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
        health_check_response::ServingStatus, health_server::Health,
    },
    shutdown::Shutdown,
};

/// The names that follow the server's readiness: the server as a whole, the product's service, and
/// one for probes.
const READINESS_NAMES: [&str; 3] = ["", "feishu.identity.v1.IdentityService", "readiness"];

/// The name that is SERVING until the process ends, so that a drain is not taken for a hang.
const LIVENESS_NAME: &str = "liveness";

/// Watch streams at a time. Each costs about 24 kB; a client holds one a connection.
const MAX_WATCHES: usize = 1000;

/// Says that the server is up. Cloning gives another handle of the same server.
#[derive(Clone, Debug)]
pub struct HealthHandle {
    ready: CancellationToken,
}

/// The health service. Cloning gives the same service.
#[derive(Clone, Debug)]
pub struct HealthService {
    ready: CancellationToken,
    shutdown: Shutdown,
    watches: Arc<Semaphore>,
}

/// What a name follows.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Readiness,
    Liveness,
    Unknown,
}

/// One open Watch stream.
struct Watch {
    health: HealthService,
    kind: Kind,
    /// The last status sent.
    sent: Option<ServingStatus>,
    _place: OwnedSemaphorePermit,
}

/// A health service that is NOT_SERVING until its handle says otherwise, and again from the first
/// moment of a stop.
pub fn new(shutdown: Shutdown) -> (HealthHandle, HealthService) {
    let ready = CancellationToken::new();
    let handle = HealthHandle {
        ready: ready.clone(),
    };
    let watches = Arc::new(Semaphore::new(MAX_WATCHES));
    (
        handle,
        HealthService {
            ready,
            shutdown,
            watches,
        },
    )
}

// === impl HealthHandle ===

impl HealthHandle {
    /// Listeners, configuration and store are up: SERVING from now on. Without effect once a stop
    /// has been announced.
    pub fn ready(&self) {
        self.ready.cancel();
    }
}

// === impl HealthService ===

impl HealthService {
    /// Whether the server takes requests: what `readiness` answers.
    pub fn is_serving(&self) -> bool {
        self.ready.is_cancelled() && !self.shutdown.is_announced()
    }

    fn status(&self, kind: Kind) -> ServingStatus {
        match kind {
            Kind::Liveness => ServingStatus::Serving,
            Kind::Readiness if self.is_serving() => ServingStatus::Serving,
            Kind::Readiness => ServingStatus::NotServing,
            Kind::Unknown => ServingStatus::ServiceUnknown,
        }
    }

    /// Completes when the next thing happens that can change a status.
    async fn changed(&self) {
        tokio::select! {
            () = self.ready.cancelled(), if !self.ready.is_cancelled() => {}
            () = self.shutdown.announced(), if !self.shutdown.is_announced() => {}
            () = self.shutdown.draining() => {}
        }
    }
}

// === impl Kind ===

impl Kind {
    fn of(name: &str) -> Self {
        match name {
            LIVENESS_NAME => Self::Liveness,
            name if READINESS_NAMES.contains(&name) => Self::Readiness,
            _ => Self::Unknown,
        }
    }
}

// === impl Watch ===

impl Watch {
    /// The next message and what follows it; None after the end.
    async fn next(mut self) -> (Result<HealthCheckResponse, Status>, Option<Self>) {
        loop {
            let status = self.health.status(self.kind);
            if self.sent != Some(status) {
                self.sent = Some(status);
                return (Ok(response(status)), Some(self));
            }
            if self.health.shutdown.is_draining() {
                let gone = error(
                    Code::Unavailable,
                    "SHUTTING_DOWN",
                    "the server is shutting down",
                );
                return (Err(gone), None);
            }
            self.health.changed().await;
        }
    }
}

#[tonic::async_trait]
impl Health for HealthService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match Kind::of(&request.get_ref().service) {
            Kind::Unknown => Err(error(
                Code::NotFound,
                "HEALTH_NAME_NOT_FOUND",
                "no such name; List tells those that there are",
            )),
            kind => Ok(Response::new(response(self.status(kind)))),
        }
    }

    async fn list(
        &self,
        _request: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        let names = READINESS_NAMES.into_iter().chain([LIVENESS_NAME]);
        let statuses: HashMap<_, _> = names
            .map(|name| (name.to_owned(), response(self.status(Kind::of(name)))))
            .collect();
        Ok(Response::new(HealthListResponse { statuses }))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let place = Arc::clone(&self.watches).try_acquire_owned().map_err(|_| {
            error(
                Code::ResourceExhausted,
                "OVERLOADED",
                "too many Watch streams; use Check",
            )
        })?;
        let watch = Watch {
            health: self.clone(),
            kind: Kind::of(&request.get_ref().service),
            sent: None,
            _place: place,
        };
        let messages = stream::unfold(Some(watch), async |watch| Some(watch?.next().await));
        Ok(Response::new(messages.boxed()))
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

fn error(code: Code, reason: &str, message: &str) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    if matches!(code, Code::Unavailable | Code::ResourceExhausted) {
        // Another server is there by then, or this one again.
        details.set_retry_info(Some(Duration::from_secs(1)));
    }
    Status::with_error_details(code, message, details)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn watches_are_bounded_and_places_come_back() {
        let (_handle, health) = new(Shutdown::default());
        let watch = async || {
            health
                .watch(Request::new(HealthCheckRequest::default()))
                .await
        };
        let mut open = Vec::new();
        for _ in 0..MAX_WATCHES {
            open.push(watch().await.unwrap());
        }
        let refused = watch().await.err().unwrap();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        open.pop();
        watch().await.unwrap();
    }
}
