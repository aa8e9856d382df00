//! Clients that speak plaintext to a port that speaks TLS: what they read is in their own words, so
//! that whoever set them up finds the fault. Called by `handshake`.

use tokio::{io::AsyncReadExt as _, net::TcpStream};

use crate::server::parting::part;

/// How HTTP/2 begins.
const HTTP2: &[u8] = b"PRI ";

/// An empty SETTINGS, and a GOAWAY with the code `INADEQUATE_SECURITY` and a text that gRPC clients show.
const HTTP2_ANSWER: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x27\x07\0\0\0\0\0\
    \0\0\0\0\0\0\0\x0c\
    this port speaks TLS: use https";

/// What somebody who speaks HTTP/1 reads.
const HTTP1_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain\r\ncontent-length: 42\r\nconnection: close\r\n\r\n\
    this port speaks gRPC over TLS: use https\n";

/// Answers by what comes first, which is there already.
pub(super) async fn answer(tcp: &mut TcpStream) {
    let mut read = [0; HTTP2.len()];
    let count = tcp.read(&mut read).await.unwrap_or_default();
    let words = match read.get(..count).unwrap_or_default() {
        HTTP2 => HTTP2_ANSWER,
        // As every method of HTTP/1 does.
        [first, ..] if first.is_ascii_uppercase() => HTTP1_ANSWER,
        _ => &[],
    };
    part(tcp, words).await;
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_lengths_in_the_answers_are_theirs() {
        let (_settings, goaway) = HTTP2_ANSWER.split_at(9);
        let (head, payload) = goaway.split_at(9);
        assert_eq!(
            head.get(..3),
            Some(&[0, 0, u8::try_from(payload.len()).unwrap()][..])
        );
        let text = std::str::from_utf8(HTTP1_ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
