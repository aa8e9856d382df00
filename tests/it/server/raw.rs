//! HTTP/2 by hand, for clients that break its rules.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::support::soon;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const ACK: u8 = 1;

/// Error codes (RFC 9113, section 7).
pub const NO_ERROR: u32 = 0;
pub const REFUSED_STREAM: u32 = 7;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const RESOLVE: &str = "/feishu.identity.v1.IdentityService/ResolveUserIds";
pub const RESOLVE_STREAM: &str = "/feishu.identity.v1.IdentityService/ResolveUserIdsStream";

/// A frame as it came.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A client that sends exactly what it is told and answers nothing by itself.
pub struct Raw {
    pub tcp: TcpStream,
    out: Vec<u8>,
}

impl Raw {
    /// A connection without a byte on it.
    pub async fn silent(address: SocketAddr) -> Self {
        Self {
            tcp: TcpStream::connect(address).await.unwrap(),
            out: Vec::new(),
        }
    }

    /// A connection with the preface and empty settings.
    pub async fn open(address: SocketAddr) -> Self {
        let mut raw = Self::silent(address).await;
        raw.out
            .extend_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        raw.frame(SETTINGS, 0, 0, &[]);
        raw.send().await;
        raw
    }

    /// The same, once the server has said that it takes more than the protocol's first 64 kB.
    pub async fn wide(address: SocketAddr) -> Self {
        let mut raw = Self::open(address).await;
        raw.until(WINDOW_UPDATE).await.unwrap();
        raw
    }

    /// Puts a frame into the outgoing bytes.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        self.out.extend_from_slice(&length[1..]);
        self.out.extend_from_slice(&[kind, flags]);
        self.out.extend_from_slice(&stream.to_be_bytes());
        self.out.extend_from_slice(payload);
    }

    /// The header frame of a call, with further fields.
    pub fn call(&mut self, stream: u32, path: &str, fields: &[(&str, &str)]) {
        // Indexed: POST, http; then literals without indexing.
        let mut block = vec![0x83, 0x86];
        literal(&mut block, ":path", path);
        literal(&mut block, ":authority", "localhost");
        literal(&mut block, "content-type", "application/grpc");
        literal(&mut block, "te", "trailers");
        for (name, value) in fields {
            literal(&mut block, name, value);
        }
        self.frame(HEADERS, END_HEADERS, stream, &block);
    }

    /// One gRPC message of these bytes, and the end of the request.
    pub fn message(&mut self, stream: u32, message: &[u8]) {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        self.frame(
            DATA,
            END_STREAM,
            stream,
            &[&[0], &length[..], message].concat(),
        );
    }

    /// Sends what has been put together. A connection that is gone is no error: the test looks at
    /// what came back.
    pub async fn send(&mut self) {
        let out = std::mem::take(&mut self.out);
        drop(soon(self.tcp.write_all(&out)).await);
    }

    /// Sends it, and reads meanwhile until a frame of this kind; None if the connection ends before.
    pub async fn send_until(&mut self, kind: u8) -> Option<Frame> {
        let out = std::mem::take(&mut self.out);
        let (mut from, mut to) = self.tcp.split();
        let found = async {
            loop {
                let frame = frame(&mut from).await?;
                if frame.kind == kind {
                    return Some(frame);
                }
            }
        };
        tokio::select! {
            biased;
            found = found => found,
            // It has been sent, or could not be: what came back is still to be read.
            () = async { drop(to.write_all(&out).await); std::future::pending().await } => None,
        }
    }

    /// The next frame; None once the connection has ended.
    pub async fn next(&mut self) -> Option<Frame> {
        frame(&mut self.tcp).await
    }

    /// Reads until a frame of this kind; None if the connection ends before. Pings are answered.
    pub async fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == PING && frame.flags & ACK == 0 {
                self.frame(PING, ACK, 0, &frame.payload);
                self.send().await;
            }
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Waits until the server has closed the connection, without answering anything, and tells how
    /// many bytes came before.
    pub async fn until_closed(&mut self) -> usize {
        let mut bytes = Vec::new();
        // A reset counts as closed.
        drop(soon(self.tcp.read_to_end(&mut bytes)).await);
        bytes.len()
    }
}

async fn frame(from: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let mut head = [0; 9];
    soon(from.read_exact(&mut head)).await.ok()?;
    let [a, b, c, kind, flags, stream @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    soon(from.read_exact(&mut payload)).await.ok()?;
    let stream = u32::from_be_bytes(stream);
    Some(Frame {
        kind,
        flags,
        stream,
        payload,
    })
}

/// The error code of a GOAWAY or `RST_STREAM` frame.
pub fn error_code(frame: &Frame) -> u32 {
    let code = frame.payload.last_chunk::<4>().unwrap();
    if frame.kind == GOAWAY {
        return u32::from_be_bytes(frame.payload[4..8].try_into().unwrap());
    }
    u32::from_be_bytes(*code)
}

/// A moment in which a test expects that nothing happens. It can only make a test pass too easily,
/// never fail.
pub const A_MOMENT: Duration = Duration::from_millis(50);

fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        assert!(text.len() < 127, "a length of one byte");
        block.push(u8::try_from(text.len()).unwrap());
        block.extend_from_slice(text.as_bytes());
    }
}
