//! One connection from its first byte to its end: TLS, preface, HTTP/2, age, drain. Called by the accept
//! loop and by `serve_io`.

use std::{
    error::Error as _,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    ServerSettings,
    frames::{Counted, REFUSAL},
    handlers::{Driven, Handlers},
    preface,
    request::{Requests, Shared},
    seats::Seat,
    tls::{self, Failure, Shaken, Tls},
};
use crate::{
    caller::{CertificateNames, Peer},
    metrics::{HandshakeFailure, Rpcs},
    shutdown::Shutdown,
};

/// How long a connection on which nothing is open waits for its client to acknowledge GOAWAY: several
/// round trips to the other end of the world, and time to send the last 64 kB of an answer to it.
const UNACKNOWLEDGED: Duration = Duration::from_secs(2);

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, or with everything answered.
    Done,
    /// With something still open, because a bound was reached.
    Cut,
    /// By us, because its client sent what only costs: the next one of that peer has to wait.
    Flooded,
}

/// What every connection of a server needs. Cloning is cheap.
#[derive(Clone)]
pub(super) struct Connections {
    pub(super) shared: Arc<Shared>,
    pub(super) shutdown: Shutdown,
    pub(super) handlers: Handlers,
}

/// Counts as an open connection until it is dropped.
struct Open(Rpcs);

impl Open {
    fn new(metrics: Rpcs) -> Self {
        metrics.connected();
        Self(metrics)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}

impl Connections {
    /// Serves one connection until it ends, is too old, or is drained.
    pub(super) async fn run<IO>(self, io: IO, address: Option<SocketAddr>, seat: Seat) -> End
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let _open = Open::new(self.shared.settings().metrics.clone());
        if !self.has_turn(&seat).await {
            return End::Done;
        }
        self.begin(io, address, None, &seat).await
    }

    /// The same with TLS in between.
    pub(super) async fn run_tls(
        self,
        tcp: TcpStream,
        address: SocketAddr,
        seat: Seat,
        tls: Tls,
    ) -> End {
        let settings = self.shared.settings();
        let _open = Open::new(settings.metrics.clone());
        if !self.has_turn(&seat).await {
            return End::Done;
        }
        let shaken = tokio::select! {
            biased;
            () = self.shutdown.draining() => return End::Done,
            shaken = timeout(settings.handshake_timeout, tls::shake(&tls, tcp)) => shaken,
        };
        // A connection lasts: it needs no handle of what later ones begin with.
        drop(tls);
        let failure = match shaken {
            Ok(Ok(Shaken { io, names })) => {
                return self.begin(io, Some(address), names, &seat).await;
            }
            Ok(Err(failure)) => failure,
            Err(_elapsed) => Failure::Failed(HandshakeFailure::TimedOut),
        };
        if let Failure::Failed(reason) = failure {
            settings.arrivals.handshake_failed(reason);
            if let Some(gate) = &settings.gate {
                gate.turned_away(address, reason);
            }
            let peer = address.ip().to_canonical();
            tracing::debug!(%peer, reason = reason.name(), "TLS handshake failed");
        }
        End::Done
    }

    /// Waits until the connection may begin; false if it may not.
    async fn has_turn(&self, seat: &Seat) -> bool {
        let turn = tokio::select! {
            biased;
            turn = seat.turn() => turn,
            // Whoever has said nothing yet has nothing to lose.
            () = self.shutdown.draining() => return false,
        };
        if let Err(reason) = turn {
            self.shared.settings().arrivals.refused(reason);
        }
        turn.is_ok()
    }

    async fn begin<IO>(
        self,
        io: IO,
        address: Option<SocketAddr>,
        names: Option<CertificateNames>,
        seat: &Seat,
    ) -> End
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let end = self
            .expect(Counted::new(io, seat.account()), address, names)
            .await;
        if end == End::Flooded {
            shared.settings().metrics.flooded();
            seat.flooded();
        }
        end
    }

    async fn expect<IO>(
        self,
        io: IO,
        address: Option<SocketAddr>,
        names: Option<CertificateNames>,
    ) -> End
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let preface_timeout = self.shared.settings().preface_timeout;
        let begun = tokio::select! {
            biased;
            // Whoever has said nothing yet has nothing to lose.
            () = self.shutdown.draining() => return End::Done,
            begun = timeout(preface_timeout, preface::expect(io)) => begun,
        };
        match begun {
            Ok(Ok(Some(io))) => self.serve(io, address, names).await,
            Ok(Ok(None)) => {
                tracing::debug!("connection closed: its first bytes are not HTTP/2");
                End::Done
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "connection failed before its first request");
                End::Done
            }
            Err(_elapsed) => {
                tracing::debug!("connection closed: it did not begin in time");
                End::Done
            }
        }
    }

    async fn serve<IO>(
        self,
        io: IO,
        address: Option<SocketAddr>,
        names: Option<CertificateNames>,
    ) -> End
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let settings = self.shared.settings();
        let peer = Peer {
            address,
            connection: next_number(),
        };
        let requests = Requests::new(&self.shared, peer, names);
        let handlers = self.handlers.of_connection();
        let connection =
            http2_builder(settings, handlers.clone()).serve_connection(TokioIo::new(io), requests);
        let mut driven = Driven::new(connection, handlers.clone());
        let bound = tokio::select! {
            biased;
            () = self.shutdown.draining() => settings.drain_timeout,
            ended = &mut driven => return done(ended),
            () = sleep(settings.jittered_age()) => settings.max_connection_age_grace,
        };
        // GOAWAY: what is in flight finishes, new calls go elsewhere.
        driven.connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            ended = &mut driven => return done(ended),
            () = self.end_of_grace(bound) => {}
            // It has not even acknowledged GOAWAY, or it would have ended.
            () = handlers.idle_for(UNACKNOWLEDGED) => {
                tracing::debug!("connection closed: nothing was open, and its client did not answer");
                return End::Done;
            }
        }
        tracing::debug!("connection cut: something was still open at the end of its grace");
        End::Cut
    }

    /// Completes after `bound`, but when a drain begins meanwhile, at the end of that.
    async fn end_of_grace(&self, bound: Duration) {
        let drained = async {
            self.shutdown.draining().await;
            sleep(self.shared.settings().drain_timeout).await;
        };
        tokio::select! {
            () = self.shutdown.forced() => {}
            () = sleep(bound) => {}
            () = drained => {}
        }
    }
}

fn done(ended: hyper::Result<()>) -> End {
    let Err(error) = ended else {
        return End::Done;
    };
    // Says which limit was broken, or that the client has gone; nothing of its content.
    let why = error.source().map(tracing::field::display);
    tracing::debug!(%error, why, "connection ended with an error");
    if is_flood(&error) {
        End::Flooded
    } else {
        End::Done
    }
}

/// Whether h2 or `frames` had enough of it. Other errors may be a client's that does not know better.
fn is_flood(error: &hyper::Error) -> bool {
    let Some(why) = error.source() else {
        return false;
    };
    let by_h2 = why.downcast_ref::<h2::Error>().is_some_and(|error| {
        error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) && !error.is_remote()
    });
    let by_frames = why.downcast_ref::<io::Error>();
    by_h2 || by_frames.is_some_and(|error| error.kind() == REFUSAL)
}

fn http2_builder(settings: &ServerSettings, handlers: Handlers) -> http2::Builder<Handlers> {
    let mut builder = http2::Builder::new(handlers);
    builder
        .timer(TokioTimer::new())
        // No part of gRPC, and a fifth of a small answer's bytes.
        .auto_date_header(false)
        .keep_alive_interval(settings.keepalive_interval)
        .keep_alive_timeout(settings.keepalive_timeout)
        .max_concurrent_streams(settings.max_concurrent_streams)
        .max_local_error_reset_streams(settings.max_local_error_resets)
        .max_pending_accept_reset_streams(settings.max_pending_accept_resets)
        .max_header_list_size(settings.max_header_list_bytes)
        .initial_stream_window_size(settings.stream_window_bytes)
        .initial_connection_window_size(settings.connection_window_bytes)
        .max_send_buf_size(settings.max_send_buffer_bytes);
    builder
}

/// One sequence for the process, so that a connection's number names it in every log and queue.
fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
