//! A connection whose incoming HTTP/2 frames are counted. Frames that carry no request (PING, SETTINGS,
//! window updates, resets, priorities, empty DATA, unknown ones) cost the client next to nothing, and h2
//! works on as many as come: whoever sends far more of them than any use of the protocol explains is
//! told `ENHANCE_YOUR_CALM` and closed (`bill` has the limit). Looks at frame headers only. Called by
//! `connection`.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{bill::Tab, preface::PREFACE, seats::Account};

/// A SETTINGS frame counts as so many: h2 goes through all open streams for each, and a client needs
/// a dozen in the life of a connection (grpc-go sends one whenever it widens its windows). So do second
/// headers of a stream that do not end it, which are an error.
const COSTLY: u32 = 100;

/// So many bytes that the client was sent pay for one frame: whoever takes answers acknowledges them.
/// grpc-go sends a PING for as little as one message to learn the round trip, and a small message is
/// about this long; what a flood of PINGs is answered with pays for a quarter of it.
const BYTES_A_FRAME: f64 = 64.0;

/// A message of gRPC has a prefix of so many bytes: smaller DATA frames are crumbs.
const MESSAGE_PREFIX: usize = 5;

/// DATA of fewer bytes is small, and so is what is read in the middle of a frame.
const SMALL: usize = 64;

/// So many small DATA frames count as one: an honest stream may have sent thousands of small batches that
/// have not been answered yet.
const SMALL_A_FRAME: f64 = 8.0;

/// After so many crumbs whoever the message is for gets to take them: h2 keeps some hundred bytes for each
/// until then, and reads on without a pause as long as there is something to read.
const CRUMBS: u32 = 256;

/// Frame types and flags (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What the client is told, beside the code.
const DEBUG_DATA: &[u8] = b"too_many_control_frames";

/// A connection that ends when its client sends too many frames that carry no request.
pub(super) struct Counted<IO> {
    io: IO,
    frames: Frames,
    tab: Tab,
    /// The last write was not taken whole: a frame may be on its way.
    is_amid_write: bool,
    /// Crumbs that may yet be read before the next pause.
    crumbs: u32,
}

/// Where in the frames the reading is.
#[derive(Debug)]
struct Frames {
    head: [u8; 9],
    /// Bytes of the head that have come.
    filled: usize,
    /// Bytes of the frame before it that have not.
    rest: usize,
    last_stream: u32,
}

/// What has been read at once.
#[derive(Debug, Default)]
struct Sum {
    /// Frames without a request, or what counts like so many.
    charged: u32,
    requests: u32,
    crumbs: u32,
    small: u32,
}

/// What reading fails with once the client has sent too many; a socket's own reading never does.
pub(super) const REFUSAL: io::ErrorKind = io::ErrorKind::ConnectionAborted;

impl<IO> Counted<IO> {
    /// The connection from its first byte, before the preface, and whom its frames are charged to.
    pub(super) fn new(io: IO, account: Account) -> Self {
        Self {
            io,
            frames: Frames {
                head: [0; 9],
                filled: 0,
                // As if it belonged to a frame before the first.
                rest: PREFACE.len(),
                last_stream: 0,
            },
            tab: Tab::new(account),
            is_amid_write: false,
            crumbs: CRUMBS,
        }
    }
}

impl Sum {
    /// In frames without a request.
    fn charge(&self) -> f64 {
        f64::from(self.charged) + f64::from(self.small) / SMALL_A_FRAME
    }
}

impl Frames {
    /// Goes on through the bytes that have come. Says which frames begin in them.
    fn read(&mut self, mut bytes: &[u8]) -> Sum {
        let mut sum = Sum::default();
        if !bytes.is_empty() && bytes.len() < SMALL && bytes.len() < self.rest + self.filled {
            // Nothing but a little more of a frame, for which somebody was woken.
            sum.charged = 1;
        }
        loop {
            let skipped = self.rest.min(bytes.len());
            self.rest -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if bytes.is_empty() {
                return sum;
            }
            let whole = match (self.filled, bytes.split_first_chunk::<9>()) {
                (0, Some((head, after))) => {
                    bytes = after;
                    Some(*head)
                }
                _ => self.piece(&mut bytes),
            };
            match whole {
                Some(head) => self.frame(head, &mut sum),
                None => return sum,
            }
        }
    }

    /// A head that comes in pieces.
    fn piece(&mut self, bytes: &mut &[u8]) -> Option<[u8; 9]> {
        let room = self.head.iter_mut().skip(self.filled);
        let mut taken = 0;
        for (slot, byte) in room.zip(bytes.iter()) {
            *slot = *byte;
            taken += 1;
        }
        *bytes = bytes.get(taken..).unwrap_or_default();
        self.filled += taken;
        if self.filled < self.head.len() {
            return None;
        }
        self.filled = 0;
        Some(self.head)
    }

    fn frame(&mut self, head: [u8; 9], sum: &mut Sum) {
        let [a, b, c, kind, flags, stream @ ..] = head;
        self.rest = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
        match kind {
            DATA if self.rest >= SMALL || flags & END_STREAM != 0 => {}
            DATA if self.rest >= MESSAGE_PREFIX => sum.small += 1,
            DATA => {
                sum.charged += 1;
                sum.crumbs += 1;
            }
            HEADERS => match u32::from_be_bytes(stream) {
                // Each request may be cancelled.
                new if new > self.last_stream => {
                    self.last_stream = new;
                    sum.requests += 1;
                }
                _ if flags & END_STREAM != 0 => sum.charged += 1,
                _ => sum.charged += COSTLY,
            },
            SETTINGS => sum.charged += COSTLY,
            _ => sum.charged += 1,
        }
    }
}

impl<IO: AsyncWrite + Unpin> Counted<IO> {
    /// Says why, if that can be said in between; then the connection is done with.
    fn refuse(&mut self, cx: &mut Context<'_>) -> io::Error {
        if !self.is_amid_write {
            // Best effort: nobody waits for who floods.
            drop(Pin::new(&mut self.io).poll_write(cx, &goaway(self.frames.last_stream)));
            drop(Pin::new(&mut self.io).poll_flush(cx));
        }
        refusal()
    }

    /// Takes note of what has been written. When the client has gone, h2's last word tells why.
    fn written<'a>(
        &mut self,
        written: Poll<io::Result<usize>>,
        mut offered: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(count)) => {
                self.is_amid_write = *count < offered.map(<[u8]>::len).sum();
                let count = u32::try_from(*count).unwrap_or(u32::MAX);
                self.tab.pay(f64::from(count) / BYTES_A_FRAME);
                written
            }
            Poll::Ready(Err(_)) if offered.any(is_calming) => Poll::Ready(Err(refusal())),
            _ => written,
        }
    }
}

/// What h2 hands on of it is the kind and the text alone.
fn refusal() -> io::Error {
    io::Error::new(REFUSAL, "too many control frames")
}

/// Whether a GOAWAY with `ENHANCE_YOUR_CALM` is in what h2 writes. Where frames begin in it is not known.
fn is_calming(bytes: &[u8]) -> bool {
    let code = ENHANCE_YOUR_CALM.to_be_bytes();
    bytes.windows(17).any(|frame| {
        frame.get(3..9) == Some(&[GOAWAY, 0, 0, 0, 0, 0]) && frame.get(13..) == Some(&code)
    })
}

fn goaway(last_stream: u32) -> Vec<u8> {
    let length = u8::try_from(8 + DEBUG_DATA.len()).unwrap_or(u8::MAX);
    let mut frame = vec![0, 0, length, GOAWAY, 0, 0, 0, 0, 0];
    frame.extend_from_slice(&last_stream.to_be_bytes());
    frame.extend_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
    frame.extend_from_slice(DEBUG_DATA);
    frame
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Counted<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.crumbs == 0 {
            this.crumbs = CRUMBS;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        if read.is_pending() {
            this.crumbs = CRUMBS;
        }
        let new = buf.filled().get(before..).unwrap_or_default();
        let sum = this.frames.read(new);
        this.crumbs = this.crumbs.saturating_sub(sum.crumbs);
        let requests = f64::from(sum.requests);
        let charged = sum.charge();
        this.tab.pay((requests - charged).max(0.0));
        if this.tab.charge((charged - requests).max(0.0)) {
            // Nothing has been read, if reading has failed.
            buf.set_filled(before);
            return Poll::Ready(Err(this.refuse(cx)));
        }
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Counted<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.written(written, std::iter::once(buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.written(written, bufs.iter().map(|buf| &**buf))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
