//! HTTP/2 frames and gRPC messages by hand.

use feishu_id::pb::identity::{
    Identifier, ResolveUserIdsRequest, ResolveUserIdsStreamRequest, identifier::Kind,
};
use prost::Message;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const ACK: u8 = 1;

pub const UNARY: &str = "/feishu.identity.v1.IdentityService/ResolveUserIds";
pub const STREAM: &str = "/feishu.identity.v1.IdentityService/ResolveUserIdsStream";

/// Bytes on their way out.
#[derive(Default)]
pub struct Out(pub Vec<u8>);

impl Out {
    /// The preface and empty settings.
    pub fn hello() -> Self {
        let mut out = Self(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec());
        out.frame(SETTINGS, 0, 0, &[]);
        out
    }

    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes();
        self.0
            .extend_from_slice(length.get(1..).unwrap_or_default());
        self.0.extend_from_slice(&[kind, flags]);
        self.0.extend_from_slice(&stream.to_be_bytes());
        self.0.extend_from_slice(payload);
    }

    /// The headers of a call.
    pub fn call(&mut self, stream: u32, path: &str) {
        // Indexed: POST, http; then literals that the other side is not to remember.
        let mut block = vec![0x83, 0x86];
        for (name, value) in [
            (":path", path),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-timeout", "1H"),
        ] {
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len().min(126)).unwrap_or_default());
                block.extend_from_slice(text.as_bytes());
            }
        }
        self.frame(HEADERS, END_HEADERS, stream, &block);
    }

    /// A message, in frames of at most 16 kB.
    pub fn message(&mut self, stream: u32, message: &[u8], is_last: bool) {
        let message = prefixed(message);
        let mut pieces = message.chunks(16_384).peekable();
        while let Some(piece) = pieces.next() {
            let ends = is_last && pieces.peek().is_none();
            self.frame(DATA, if ends { END_STREAM } else { 0 }, stream, piece);
        }
    }
}

/// The message with gRPC's prefix.
pub fn prefixed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    [&[0], &length[..], message].concat()
}

/// 1,000 malformed addresses: the largest answer there is that costs no call to Feishu.
pub fn malformed() -> Vec<u8> {
    request((0..1000).map(|_| "a@@".to_owned())).encode_to_vec()
}

/// A batch of 1,000: malformed ones, or made-up people of the sandbox from that number on.
pub fn batch(number: u64, unknown: bool) -> Vec<u8> {
    let people = (0..1000).map(|n| {
        if unknown {
            format!("load-{}@acme.example", number * 1000 + n)
        } else {
            "a@@".to_owned()
        }
    });
    ResolveUserIdsStreamRequest {
        batch_id: number,
        request: Some(request(people)),
        timeout: None,
    }
    .encode_to_vec()
}

fn request(emails: impl Iterator<Item = String>) -> ResolveUserIdsRequest {
    let identifiers = emails.map(|email| Identifier {
        kind: Some(Kind::Email(email)),
    });
    ResolveUserIdsRequest {
        identifiers: identifiers.collect(),
        ..ResolveUserIdsRequest::default()
    }
}
