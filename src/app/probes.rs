//! Health on a port of its own: in plaintext, open to everybody, and there before anything is served and
//! until everything has ended.

use std::net::SocketAddr;

use tokio_util::task::AbortOnDropHandle;

use crate::{
    config::Config,
    grpc::health::HealthService,
    server::{self, ServerSettings, Services},
    shutdown::Shutdown,
    trace::Tracing,
};

use super::AppError;

/// The port while it is served; gone when dropped.
pub(super) struct Probes(Option<Served>);

struct Served {
    address: Option<SocketAddr>,
    task: AbortOnDropHandle<()>,
}

impl Probes {
    /// Answers at `grpc.health_listen`, if it is set, until `shutdown` drains.
    pub(super) fn start(
        config: &Config,
        settings: &ServerSettings,
        tracing: &Tracing,
        health: &HealthService,
        shutdown: &Shutdown,
    ) -> Result<Self, AppError> {
        let Some(address) = config.grpc.health_listen else {
            return Ok(Self(None));
        };
        let listener = super::listen("grpc.health_listen", address)?;
        let address = listener.local_addr().ok();
        let settings = ServerSettings {
            tracing: tracing.clone().at(address),
            ..for_probes(settings.clone())
        };
        let health = super::health_server(health.clone());
        let services = Services::default().with(move || health.clone());
        let shutdown = shutdown.clone();
        let task = tokio::spawn(async move {
            server::serve(listener, services, settings, shutdown).await;
        });
        Ok(Self(Some(Served {
            address,
            task: AbortOnDropHandle::new(task),
        })))
    }

    /// Where it listens, if it does.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.0.as_ref().and_then(|served| served.address)
    }

    /// Completes when a drain has ended it.
    pub(super) async fn end(self) {
        if let Some(served) = self.0 {
            // A fault of its own is in the log already.
            drop(served.task.await);
        }
    }
}

/// For clients that have no certificate.
fn for_probes(settings: ServerSettings) -> ServerSettings {
    /// Connections at a time: a probe has one, for a moment.
    const MAX_CONNECTIONS: usize = 256;
    /// Of these from one address, so that a client gone wild there keeps nobody's probe out.
    const MAX_OF_PEER: usize = 32;
    ServerSettings {
        max_connections: settings.max_connections.min(MAX_CONNECTIONS),
        max_connections_per_peer: settings.max_connections_per_peer.min(MAX_OF_PEER),
        tls: None,
        // Nothing here needs a credential, and what is not here needs none to be told so.
        gate: None,
        ..settings
    }
}
