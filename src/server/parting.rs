//! The last words to a client that cannot be served. Called by whoever has read its first bytes.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

/// How long and how much a client is listened to after the last words: closing with unread bytes
/// would make the system drop the words on their way. 16 kB holds usual headers, and TLS' greeting.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: u64 = 16 * 1024;

/// Says the words, if there are any, and says goodbye. Best effort: the connection is closed whatever
/// comes of it.
pub(super) async fn part<IO: AsyncRead + AsyncWrite + Unpin>(io: &mut IO, words: &[u8]) {
    let said = async {
        io.write_all(words).await?;
        io.shutdown().await?;
        tokio::io::copy(&mut io.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    drop(timeout(LINGER, said).await);
}
