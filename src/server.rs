//! Our own accept loop around tonic's services: TLS, connection caps and age, preface timer,
//! keep-alive, limits on streams and resets, deadlines, and a drain with a bound. tonic's own server has none
//! of these right (see ARCHITECTURE.md, "The rim"). Knows no service; called by `app`, and by
//! commands that call the public API without opening a port.

mod accept;
mod answering;
mod bill;
mod connection;
mod frames;
mod gate;
mod handlers;
mod parting;
mod piece;
mod place;
mod preface;
mod refusal;
mod request;
mod seats;
mod services;
mod settings;
mod timeout;
mod tls;
mod turns;
mod upload;
mod waiting;

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinSet,
    time::{sleep, timeout},
};

pub use gate::{Gate, Guard};
pub use services::Services;
pub use settings::ServerSettings;
pub use tls::{Tls, TlsError, TlsTerms};
pub use upload::RequestBody;

use self::{
    connection::{Connections, End},
    handlers::Handlers,
    request::Shared,
    seats::Seats,
};
use crate::shutdown::Shutdown;

/// How long handlers may take to notice that their connection is gone: they are dropped when next
/// polled, so only one that blocks its thread is not gone by then.
const HANDLERS_TIMEOUT: Duration = Duration::from_millis(250);

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeOutcome {
    /// Connections that had something open when the drain's bound was reached, and were cut.
    pub cut_connections: usize,
}

/// Serves until `shutdown` drains. Then the listener closes at once, every connection gets GOAWAY,
/// calls in flight finish, and after `drain_timeout` (or when the stop is forced) the rest is cut.
pub async fn serve(
    listener: TcpListener,
    services: Services,
    settings: ServerSettings,
    shutdown: Shutdown,
) -> ServeOutcome {
    let connections = Connections::new(services, settings, shutdown);
    let mut running = JoinSet::new();
    accept::accept_until_drain(listener, &connections, &mut running).await;
    let outcome = ServeOutcome {
        cut_connections: connections.drained(&mut running).await,
    };
    // Aborts what has not even kept its own bound.
    running.shutdown().await;
    connections.handlers_gone().await;
    outcome
}

/// Serves one connection that is not from a listener, such as one half of [`tokio::io::duplex`],
/// until its client leaves or `shutdown` drains.
pub async fn serve_io<IO>(io: IO, services: Services, settings: ServerSettings, shutdown: Shutdown)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let seat = Seats::new(&settings).only();
    let connections = Connections::new(services, settings, shutdown);
    connections.clone().run(io, None, seat).await;
    connections.handlers_gone().await;
}

impl Connections {
    fn new(services: Services, settings: ServerSettings, shutdown: Shutdown) -> Self {
        Self {
            handlers: Handlers::new(settings.stall_timeout),
            shared: Arc::new(Shared::new(services, settings)),
            shutdown,
        }
    }

    /// Waits until every connection has ended and counts those that were cut. Each keeps the
    /// drain's bound itself; the one here is for a connection that cannot.
    async fn drained(&self, running: &mut JoinSet<End>) -> usize {
        let mut cut = 0;
        let all = async {
            while let Some(ended) = running.join_next().await {
                cut += usize::from(accept::report_panic(ended) == End::Cut);
            }
        };
        let bound = self.shared.settings().drain_timeout + HANDLERS_TIMEOUT;
        let forced = async {
            self.shutdown.forced().await;
            sleep(HANDLERS_TIMEOUT).await;
        };
        tokio::select! {
            () = all => {}
            () = sleep(bound) => {}
            () = forced => {}
        }
        cut + running.len()
    }

    /// Waits, within a bound, until no handler runs any more.
    async fn handlers_gone(&self) {
        if timeout(HANDLERS_TIMEOUT, self.handlers.gone())
            .await
            .is_err()
        {
            tracing::warn!("a request's handler did not end with its connection");
        }
    }
}
