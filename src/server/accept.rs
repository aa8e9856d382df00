//! The accept loop: takes connections within the caps, survives errors, and stops first when a drain
//! begins. Called by `serve`.

use std::{io, net::SocketAddr, time::Duration};

use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time::{Instant, sleep},
};

use super::{
    ServerSettings,
    connection::{Connections, End},
    seats::{Seat, Seats},
};
use crate::{log_limit::LogLimit, metrics::Refusal};

/// Pause after an error that the next try would meet again, such as no free file descriptor:
/// without it the loop would burn a core, and in a tenth of a second some connection has ended.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until a drain begins. The connections still running are in `running`; the listener is
/// closed when this returns.
pub(super) async fn accept_until_drain(
    listener: TcpListener,
    connections: &Connections,
    running: &mut JoinSet<End>,
) {
    let settings = connections.shared.settings();
    let draining = connections.shutdown.draining();
    tokio::pin!(draining);
    let seats = Seats::new(settings);
    let complaints = LogLimit::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut draining => return,
            Some(ended) = running.join_next() => {
                report_panic(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => match seats.take(address.ip()) {
                Ok(seat) => begin(connections, running, stream, address, seat),
                Err(reason) => {
                    settings.arrivals.refused(reason);
                    if let Some(untold) = complaints.tell(Complaint::of(reason), Instant::now()) {
                        tracing::warn!(
                            peer = %address.ip().to_canonical(),
                            reason = reason.name(),
                            untold,
                            "too many connections; closing further ones"
                        );
                    }
                }
            },
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                if let Some(untold) = complaints.tell(Complaint::Error, Instant::now()) {
                    tracing::warn!(untold, "cannot accept connections: {error}");
                }
                tokio::select! {
                    () = &mut draining => return,
                    () = sleep(ERROR_PAUSE) => {}
                }
            }
        }
    }
}

fn begin(
    connections: &Connections,
    running: &mut JoinSet<End>,
    stream: TcpStream,
    address: SocketAddr,
    seat: Seat,
) {
    let settings = connections.shared.settings();
    if let Err(error) = set_options(&stream, settings) {
        tracing::debug!(%error, "socket option refused");
    }
    let connections = connections.clone();
    // Two futures, so that one without TLS does not take up the room of one with.
    match settings.tls.clone() {
        None => running.spawn(connections.run(stream, Some(address), seat)),
        Some(tls) => running.spawn(connections.run_tls(stream, address, seat, tls)),
    };
}

/// Tells how a connection ended; its panic is a defect and is said, but takes nobody else along.
pub(super) fn report_panic(ended: Result<End, JoinError>) -> End {
    ended.unwrap_or_else(|error| {
        if error.is_panic() {
            tracing::error!("a connection's task panicked");
        }
        End::Cut
    })
}

fn set_options(stream: &TcpStream, settings: &ServerSettings) -> io::Result<()> {
    // Without it, small answers wait 40 ms for an acknowledgement.
    stream.set_nodelay(true)?;
    // A client that does not read answers no ping, and hyper does not notice: TCP must.
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_user_timeout(Some(settings.keepalive_timeout))?;
    Ok(())
}

/// Errors of a connection that died in the queue; the next one is there already.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// What is complained about over and over.
#[derive(PartialEq, Eq, Hash)]
enum Complaint {
    TooMany,
    TooManyOfPeer,
    Error,
}

impl Complaint {
    fn of(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooMany => Self::TooMany,
            Refusal::TooManyOfPeer | Refusal::Flooding => Self::TooManyOfPeer,
        }
    }
}
