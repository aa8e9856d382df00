//! The first bytes of a connection: the 24 with which every HTTP/2 client begins, read before
//! anything is built for the connection. Called by `connection`.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::parting::part;

/// The client connection preface of HTTP/2 (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What somebody who speaks HTTP/1 reads.
const HTTP1_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain\r\ncontent-length: 59\r\nconnection: close\r\n\r\n\
    this port speaks gRPC, that is HTTP/2 with prior knowledge\n";

/// Reads the preface and gives the connection back as if it had not been read; None when it is
/// something else or the client leaves. The caller sets the time limit.
pub(super) async fn expect<IO>(mut io: IO) -> io::Result<Option<Replayed<IO>>>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut read = [0_u8; PREFACE.len()];
    let mut filled = 0;
    while let Some(rest) = read.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let count = io.read(rest).await?;
        filled += count;
        let so_far = read.get(..filled).unwrap_or_default();
        if count == 0 || !PREFACE.starts_with(so_far) {
            if count > 0 {
                let words = if is_http1(so_far) { HTTP1_ANSWER } else { &[] };
                part(&mut io, words).await;
            }
            return Ok(None);
        }
    }
    Ok(Some(Replayed { replayed: 0, io }))
}

/// Whether a request of HTTP/1 begins so. What is neither that nor HTTP/2 must get no answer (RFC 9113,
/// section 3.4).
fn is_http1(bytes: &[u8]) -> bool {
    const METHODS: [&[u8]; 6] = [
        b"GET ",
        b"POST ",
        b"HEAD ",
        b"PUT ",
        b"DELETE ",
        b"OPTIONS ",
    ];
    METHODS.iter().any(|method| bytes.starts_with(method))
}

/// A connection whose preface has been read already, and is read once more by HTTP/2.
#[derive(Debug)]
pub(super) struct Replayed<IO> {
    replayed: usize,
    io: IO,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Replayed<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match PREFACE.get(self.replayed..) {
            Some(rest) if !rest.is_empty() => {
                let (now, _) = rest.split_at(rest.len().min(buf.remaining()));
                buf.put_slice(now);
                self.replayed += now.len();
                Poll::Ready(Ok(()))
            }
            _ => Pin::new(&mut self.io).poll_read(cx, buf),
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Replayed<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
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
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn the_preface_can_come_byte_by_byte_and_is_read_again() {
        let (mut client, server) = tokio::io::duplex(1);
        let written = tokio::spawn(async move {
            client.write_all(PREFACE).await.unwrap();
            client.write_all(b"frames").await.unwrap();
        });
        let mut io = expect(server).await.unwrap().unwrap();
        let mut read = Vec::new();
        io.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, [PREFACE.as_slice(), b"frames"].concat());
        written.await.unwrap();
    }

    #[tokio::test]
    async fn http1_is_answered_in_its_own_words() {
        let (mut client, server) = tokio::io::duplex(1024);
        client
            .write_all(b"POST / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        let closed = tokio::spawn(async move { expect(server).await.unwrap().is_none() });
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{head}"
        );
        drop(client);
        assert!(closed.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn other_bytes_get_no_answer() {
        for bytes in [
            b"\x16\x03\x01\x02\x00".as_slice(),
            b"PRI * HTTP/1.1\r\n\r\n",
            b"SSH-2.0-client\r\n",
        ] {
            let (mut client, server) = tokio::io::duplex(1024);
            client.write_all(bytes).await.unwrap();
            assert!(expect(server).await.unwrap().is_none());
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            assert!(answer.is_empty());
        }
    }
}
