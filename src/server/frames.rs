//! A connection whose incoming HTTP/2 frames are counted. Frames that carry no request (PING, SETTINGS,
//! window updates, resets, priorities, empty DATA, unknown ones) cost the client next to nothing, and h2
//! works on as many as come: whoever sends far more of them than any use of the protocol explains is
//! told `ENHANCE_YOUR_CALM` and closed. Looks at frame headers only. Called by `connection`.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::preface::PREFACE;

/// What the limit counts in.
const WINDOW: Duration = Duration::from_secs(1);

/// A SETTINGS frame counts as so many: h2 goes through all open streams for each, and a client needs
/// a dozen in the life of a connection (grpc-go sends one whenever it widens its windows).
const SETTINGS_COST: u32 = 100;

/// So many bytes that the client was sent pay for one frame: whoever takes answers acknowledges them.
/// grpc-go sends a PING for as little as one message to learn the round trip, and a small message is
/// about this long; what a flood of PINGs is answered with pays for a quarter of it.
const BYTES_A_FRAME: usize = 64;

/// A message of gRPC has a prefix of so many bytes: smaller DATA frames are crumbs.
const MESSAGE_PREFIX: usize = 5;

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
    bill: Bill,
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

/// What a client owes.
#[derive(Debug)]
struct Bill {
    most: u32,
    owed: u32,
    since: Instant,
    is_over: bool,
}

/// What reading fails with once the client has sent too many; a socket's own reading never does.
pub(super) const REFUSAL: io::ErrorKind = io::ErrorKind::ConnectionAborted;

impl<IO> Counted<IO> {
    /// The connection from its first byte, before the preface; `most` frames a second.
    pub(super) fn new(io: IO, most: u32) -> Self {
        Self {
            io,
            frames: Frames {
                head: [0; 9],
                filled: 0,
                // As if it belonged to a frame before the first.
                rest: PREFACE.len(),
                last_stream: 0,
            },
            bill: Bill {
                most,
                owed: 0,
                since: Instant::now(),
                is_over: false,
            },
            is_amid_write: false,
            crumbs: CRUMBS,
        }
    }
}

impl Frames {
    /// Goes on through the bytes that have come. Says how many crumbs begin in them.
    fn read(&mut self, mut bytes: &[u8], bill: &mut Bill) -> u32 {
        let mut crumbs = 0;
        loop {
            let skipped = self.rest.min(bytes.len());
            self.rest -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if bytes.is_empty() {
                return crumbs;
            }
            let whole = match (self.filled, bytes.split_first_chunk::<9>()) {
                (0, Some((head, after))) => {
                    bytes = after;
                    Some(*head)
                }
                _ => self.piece(&mut bytes),
            };
            match whole {
                Some(head) => crumbs += u32::from(self.frame(head, bill)),
                None => return crumbs,
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

    /// Says whether it is a crumb.
    fn frame(&mut self, head: [u8; 9], bill: &mut Bill) -> bool {
        let [a, b, c, kind, flags, stream @ ..] = head;
        self.rest = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
        match kind {
            DATA if self.rest >= MESSAGE_PREFIX || flags & END_STREAM != 0 => {}
            DATA => {
                bill.charge(1);
                return true;
            }
            // Each request may be cancelled.
            HEADERS => {
                self.last_stream = self.last_stream.max(u32::from_be_bytes(stream));
                bill.pay(1);
            }
            SETTINGS => bill.charge(SETTINGS_COST),
            _ => bill.charge(1),
        }
        false
    }
}

impl Bill {
    fn pay(&mut self, frames: u32) {
        self.owed = self.owed.saturating_sub(frames);
    }

    /// The clock is read only by those who owe much.
    fn charge(&mut self, frames: u32) {
        self.owed = self.owed.saturating_add(frames);
        if self.owed <= self.most {
            return;
        }
        let now = Instant::now();
        if now.saturating_duration_since(self.since) < WINDOW {
            self.is_over = true;
        }
        self.owed = frames;
        self.since = now;
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
        // Of which h2 hands on the kind and the text alone.
        io::Error::new(REFUSAL, "too many control frames")
    }

    fn written(&mut self, written: &Poll<io::Result<usize>>, offered: usize) {
        if let Poll::Ready(Ok(written)) = *written {
            self.is_amid_write = written < offered;
            let pays = u32::try_from(written / BYTES_A_FRAME).unwrap_or(u32::MAX);
            self.bill.pay(pays);
        }
    }
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
        let crumbs = this.frames.read(new, &mut this.bill);
        this.crumbs = this.crumbs.saturating_sub(crumbs);
        if this.bill.is_over {
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
        self.written(&written, buf.len());
        written
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
        self.written(&written, bufs.iter().map(|buf| buf.len()).sum());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        time::advance,
    };

    use super::*;

    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;
    const RST_STREAM: u8 = 3;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend_from_slice(&[kind, flags, 0, 0, 0, 5]);
        frame.resize(9 + payload, 0);
        frame
    }

    /// A client, and the server's side with room for ten frames a second, past the preface.
    async fn connection() -> (DuplexStream, Counted<DuplexStream>) {
        let (mut client, server) = duplex(1 << 20);
        let mut server = Counted::new(server, 10);
        client.write_all(PREFACE).await.unwrap();
        server.read_exact(&mut [0; PREFACE.len()]).await.unwrap();
        (client, server)
    }

    /// Whether the connection bears these frames, read so many bytes at a time.
    async fn bears(frames: &[Vec<u8>], at_a_time: usize) -> bool {
        let (mut client, mut server) = connection().await;
        client.write_all(&frames.concat()).await.unwrap();
        drop(client);
        let mut piece = vec![0; at_a_time];
        loop {
            match server.read(&mut piece).await {
                Ok(0) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn frames_without_a_request_are_counted_however_they_are_read() {
        for kind in [PING, WINDOW_UPDATE, RST_STREAM, GOAWAY, 2, 9, 0xfa] {
            for at_a_time in [1, 8, 10, 4096] {
                let frames = vec![frame(kind, 0, 13); 10];
                assert!(bears(&frames, at_a_time).await, "{kind} {at_a_time}");
                let frames = vec![frame(kind, 0, 13); 11];
                assert!(!bears(&frames, at_a_time).await, "{kind} {at_a_time}");
            }
        }
        assert!(!bears(&[frame(SETTINGS, 0, 6)], 4096).await);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_and_their_messages_cost_nothing() {
        let request = [frame(HEADERS, 4, 60), frame(DATA, 0, 5), frame(DATA, 1, 0)];
        assert!(bears(&vec![request.concat(); 1000], 4096).await);
        let cancelled = [frame(HEADERS, 4, 60), frame(RST_STREAM, 0, 4)];
        assert!(bears(&vec![cancelled.concat(); 1000], 4096).await);
        assert!(!bears(&vec![frame(DATA, 0, 0); 11], 4096).await);
        assert!(!bears(&vec![frame(DATA, 0, 4); 11], 4096).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_spread_over_time_or_acknowledges_answers_is_borne() {
        let (mut client, mut server) = connection().await;
        let ten = vec![frame(PING, 0, 8); 10].concat();
        let mut read = vec![0; ten.len()];
        for _ in 0..10 {
            client.write_all(&ten).await.unwrap();
            server.read_exact(&mut read).await.unwrap();
            advance(WINDOW).await;
        }
        for _ in 0..100 {
            server.write_all(&[0; 10 * BYTES_A_FRAME]).await.unwrap();
            client.write_all(&ten).await.unwrap();
            server.read_exact(&mut read).await.unwrap();
        }
    }

    #[tokio::test]
    async fn whoever_sends_crumbs_pauses_between_and_nobody_else() {
        for (size, turns) in [(1, 4), (MESSAGE_PREFIX, 1)] {
            let (mut client, server) = duplex(1 << 20);
            let mut server = Counted::new(server, 10_000);
            client.write_all(PREFACE).await.unwrap();
            server.read_exact(&mut [0; PREFACE.len()]).await.unwrap();
            let sent = frame(DATA, 0, size).repeat(1024);
            client.write_all(&sent).await.unwrap();
            let (mut left, mut told) = (sent.len(), 1);
            while left > 0 {
                // Of so many frames at a time.
                let mut piece = vec![0; 64 * (9 + size)];
                match futures_util::poll!(Box::pin(server.read(&mut piece))) {
                    Poll::Ready(read) => left -= read.unwrap(),
                    Poll::Pending => told += 1,
                }
            }
            assert_eq!(told, turns, "{size}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_closed_is_told_why() {
        let (mut client, mut server) = connection().await;
        let flood = vec![frame(PING, 0, 8); 11].concat();
        client.write_all(&flood).await.unwrap();
        server.read_to_end(&mut Vec::new()).await.unwrap_err();
        drop(server);
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.unwrap();
        assert_eq!(told, goaway(0));
    }
}
