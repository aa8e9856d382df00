//! A request's body on its way in. What has come of a message that is not complete is charged to the
//! budget that all requests share, and it may take only so long to come: half a message on each of
//! many streams would otherwise stay as long as its client likes. Made by `request`, read by tonic.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};
use tonic::codegen::StdError;

use super::{place::Places, refusal};
use crate::memory::Held;

/// Bytes of a message that nobody is charged for: most requests are smaller, and the limit on requests in
/// flight holds for them (16,384 of these are 67 MB).
pub(super) const FREE_BYTES: usize = 4096;

/// The body of a request, as services get it.
pub struct RequestBody {
    inner: Incoming,
    framing: Framing,
    places: Arc<Places>,
    held: Option<Held>,
    timeout: Duration,
    /// Since a part of a message has been waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

/// Where in the messages of a body its end is. Each has a prefix: a flag, and its length.
#[derive(Default)]
struct Framing {
    prefix: [u8; 5],
    /// Bytes of the prefix that have come.
    filled: usize,
    /// Bytes after it that have.
    come: usize,
    /// Bytes that have not.
    rest: usize,
}

impl RequestBody {
    pub(super) fn new(inner: Incoming, places: Arc<Places>, timeout: Duration) -> Self {
        Self {
            inner,
            framing: Framing::default(),
            places,
            held: None,
            timeout,
            timer: None,
        }
    }

    /// Whoever asks for more has taken every complete message.
    fn settle(&mut self) {
        let Some(held) = &mut self.held else {
            return;
        };
        match self.framing.unfinished() {
            0 => self.held = None,
            unfinished => held.keep(unfinished),
        }
    }

    /// Charges for what has come; says whether there was room.
    fn charge(&mut self, data: &[u8]) -> bool {
        let bytes = self.framing.unfinished() + data.len();
        self.framing.read(data);
        if bytes <= FREE_BYTES {
            return true;
        }
        let had = self.held.as_ref().map_or(0, Held::bytes);
        let Some(more) = self.places.memory().try_take(bytes.saturating_sub(had)) else {
            return false;
        };
        match &mut self.held {
            Some(held) => held.add(more),
            None => self.held = Some(more),
        }
        true
    }
}

impl Framing {
    /// Bytes of the last message, if it is not complete.
    fn unfinished(&self) -> usize {
        self.filled + self.come
    }

    fn read(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.filled < self.prefix.len() {
                let mut taken = 0;
                for (slot, byte) in self.prefix.iter_mut().skip(self.filled).zip(data) {
                    *slot = *byte;
                    taken += 1;
                }
                self.filled += taken;
                data = data.get(taken..).unwrap_or_default();
                if self.filled < self.prefix.len() {
                    return;
                }
                let [_compressed, length @ ..] = self.prefix;
                self.rest = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            }
            let taken = self.rest.min(data.len());
            self.come += taken;
            self.rest -= taken;
            data = data.get(taken..).unwrap_or_default();
            if self.rest == 0 {
                (self.filled, self.come) = (0, 0);
            }
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let this = &mut *self;
        this.settle();
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let has_room = frame.data_ref().is_none_or(|data| this.charge(data));
                if this.framing.unfinished() == 0 {
                    this.timer = None;
                }
                if has_room {
                    return Poll::Ready(Some(Ok(frame)));
                }
                this.held = None;
                Poll::Ready(Some(Err(refusal::no_memory().into())))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending if this.framing.unfinished() == 0 => Poll::Pending,
            Poll::Pending => {
                let timeout = this.timeout;
                let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
                ready!(timer.as_mut().poll(cx));
                this.held = None;
                Poll::Ready(Some(Err(refusal::message_overdue().into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_each_message_is_found_however_it_is_cut() {
        let messages = [&[0, 0, 0, 0, 3, 1, 2, 3][..], &[1, 0, 0, 0, 0]].concat();
        let half = [0, 0, 0, 1, 0, 9];
        let all = [&messages[..], &messages, &half].concat();
        for size in 1..=all.len() {
            let mut framing = Framing::default();
            for piece in all.chunks(size) {
                framing.read(piece);
            }
            assert_eq!(framing.unfinished(), half.len(), "{size}");
            assert_eq!(framing.rest, 255, "{size}");
        }
    }
}
