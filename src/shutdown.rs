//! The stages of a stop, as one handle that every long-lived task holds. Knows no server and no
//! signal: `app` moves it forward, everybody else only listens.

use std::future::Future;

use tokio_util::sync::CancellationToken;

/// A stop in three stages. Cloning gives another handle of the same stop.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    announced: CancellationToken,
    draining: CancellationToken,
    forced: CancellationToken,
}

impl Shutdown {
    /// First stage: health answers NOT_SERVING, so that balancers send no more; everything else
    /// goes on.
    pub fn announce(&self) {
        self.announced.cancel();
    }

    /// Second stage: no new connections and no new requests; what is in flight finishes.
    pub fn drain(&self) {
        self.announced.cancel();
        self.draining.cancel();
    }

    /// Last stage: everything ends now.
    pub fn force(&self) {
        self.drain();
        self.forced.cancel();
    }

    /// Completes once the first stage has begun. Cancel-safe, like the two below.
    pub fn announced(&self) -> impl Future<Output = ()> + Send + use<> {
        self.announced.clone().cancelled_owned()
    }

    /// Completes once the second stage has begun.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        self.draining.clone().cancelled_owned()
    }

    /// Completes once the last stage has begun.
    pub fn forced(&self) -> impl Future<Output = ()> + Send + use<> {
        self.forced.clone().cancelled_owned()
    }

    /// Whether the first stage has begun.
    pub fn is_announced(&self) -> bool {
        self.announced.is_cancelled()
    }

    /// Whether the second stage has begun.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }
}
