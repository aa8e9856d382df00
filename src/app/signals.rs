//! The signals that stop the service.

use std::{io, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

use crate::shutdown::Shutdown;

/// What tells the process to stop.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Completes with the next one. Cancel-safe.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The first one drains, a second one ends at once.
    pub(super) async fn stop(mut self, shutdown: Shutdown, delay: Duration) {
        self.next().await;
        tracing::info!("draining; a second signal ends at once");
        shutdown.announce();
        tokio::select! {
            () = sleep(delay) => shutdown.drain(),
            () = self.next() => shutdown.force(),
        }
        self.next().await;
        shutdown.force();
    }
}
