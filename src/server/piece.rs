//! A large piece of an answer on its way out: charged to the budget of all requests until HTTP/2 has
//! written the last of it, and known to have gone, so that the next is made only then. Without that, an
//! answer that its client does not take would be nobody's once its handler is done. Called by `timeout`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;

use crate::memory::Held;

/// Pieces up to this size are on their way without further ado: an answer for about 200 people. 200
/// streams of them that nobody takes are 3 MB.
pub(super) const SMALL: usize = 16 * 1024;

/// Tells when the piece has gone.
#[derive(Debug)]
pub(super) struct Leaving(Arc<Signal>);

#[derive(Debug, Default)]
struct Signal {
    has_gone: AtomicBool,
    waker: AtomicWaker,
}

/// The piece; whoever drops it has written it, or given it up.
struct Piece {
    bytes: Bytes,
    signal: Arc<Signal>,
    _held: Held,
}

/// The bytes, and what tells when they have gone.
pub(super) fn leaving(bytes: Bytes, held: Held) -> (Bytes, Leaving) {
    let signal = Arc::new(Signal::default());
    let leaving = Leaving(Arc::clone(&signal));
    let piece = Piece {
        bytes,
        signal,
        _held: held,
    };
    (Bytes::from_owner(piece), leaving)
}

impl Leaving {
    /// Ready once the piece has gone.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Self(signal) = self;
        // Before looking, so that it cannot go in between unnoticed.
        signal.waker.register(cx.waker());
        if signal.has_gone.load(Ordering::Acquire) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.signal.has_gone.store(true, Ordering::Release);
        self.signal.waker.wake();
    }
}
