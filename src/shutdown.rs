//! The stages of a stop, as one handle that every long-lived task holds. Knows no server and no
//! signal: `app` moves it forward, everybody else only listens.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

/// A stop in three stages. Cloning gives another handle of the same stop.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    announced: Stage,
    draining: Stage,
    forced: Stage,
}

/// One stage of it. Whether it has begun is looked at before each batch of a stream: a token would answer
/// under a lock that all of them share.
#[derive(Clone, Debug, Default)]
struct Stage {
    has_begun: Arc<AtomicBool>,
    token: CancellationToken,
}

impl Shutdown {
    /// First stage: health answers NOT_SERVING, so that balancers send no more; everything else
    /// goes on.
    pub fn announce(&self) {
        self.announced.begin();
    }

    /// Second stage: no new connections and no new requests; what is in flight finishes.
    pub fn drain(&self) {
        self.announced.begin();
        self.draining.begin();
    }

    /// Last stage: everything ends now.
    pub fn force(&self) {
        self.drain();
        self.forced.begin();
    }

    /// Completes once the first stage has begun. Cancel-safe, like the two below.
    pub fn announced(&self) -> impl Future<Output = ()> + Send + use<> {
        self.announced.begun()
    }

    /// Completes once the second stage has begun.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        self.draining.begun()
    }

    /// Completes once the last stage has begun.
    pub fn forced(&self) -> impl Future<Output = ()> + Send + use<> {
        self.forced.begun()
    }

    /// Whether the first stage has begun.
    pub fn is_announced(&self) -> bool {
        self.announced.has_begun()
    }

    /// Whether the second stage has begun.
    pub fn is_draining(&self) -> bool {
        self.draining.has_begun()
    }
}

impl Stage {
    fn begin(&self) {
        // First, so that whoever is woken sees it.
        self.has_begun.store(true, Ordering::Release);
        self.token.cancel();
    }

    fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    fn begun(&self) -> impl Future<Output = ()> + Send + use<> {
        self.token.clone().cancelled_owned()
    }
}
