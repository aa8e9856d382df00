//! The accept loop: takes connections within the cap, survives errors, and stops first when a drain
//! begins. Called by `serve`.

use std::{io, time::Duration};

use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time::{Instant, sleep},
};

use super::{
    ServerSettings,
    connection::{Connections, End},
};
use crate::log_limit::LogLimit;

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
            Ok(_) if running.len() >= settings.max_connections => {
                if let Some(untold) = complaints.tell(Complaint::TooMany, Instant::now()) {
                    tracing::warn!(untold, "too many connections; closing further ones");
                }
            }
            Ok((stream, address)) => {
                if let Err(error) = set_options(&stream, settings) {
                    tracing::debug!(%error, "socket option refused");
                }
                running.spawn(connections.clone().run(stream, Some(address)));
            }
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
    Error,
}
