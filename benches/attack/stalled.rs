//! Streams whose client sends batches as long as it is let, and takes no answer.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::{net::TcpStream, task::JoinSet, time::sleep};

use crate::{
    Common,
    bytes::{STREAM, batch, prefixed},
};

/// Opens them, holds them, and closes them.
pub async fn hold(
    streams: u32,
    each: u32,
    unknown: bool,
    common: Common,
) -> Result<String, String> {
    let sent = Arc::new(AtomicU64::new(0));
    let mut running = JoinSet::new();
    let mut connections = JoinSet::new();
    let mut sender = None;
    for number in 0..streams {
        if number % each == 0 {
            let tcp = TcpStream::connect(common.server)
                .await
                .map_err(|error| error.to_string())?;
            let (new, connection) = h2::client::handshake(tcp)
                .await
                .map_err(|error| error.to_string())?;
            connections.spawn(connection);
            sender = Some(new);
        }
        let Some(sender) = sender.clone() else {
            continue;
        };
        running.spawn(stall(sender, u64::from(number), unknown, sent.clone()));
    }
    sleep(common.lasts()).await;
    let mut ended = 0;
    while running.try_join_next().is_some() {
        ended += 1;
    }
    let batches = sent.load(Ordering::Relaxed);
    Ok(format!(
        r#"{{"streams":{streams},"batches_sent":{batches},"ended_by_server":{ended}}}"#
    ))
}

/// One stream, until the server ends it.
async fn stall(
    sender: SendRequest<Bytes>,
    number: u64,
    unknown: bool,
    sent: Arc<AtomicU64>,
) -> Result<(), h2::Error> {
    let head = http::Request::post(format!("http://localhost{STREAM}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(());
    let Ok(head) = head else { return Ok(()) };
    let (response, mut stream) = sender.ready().await?.send_request(head, false)?;
    // Kept, and never read.
    let _body = response.await?.into_body();
    // Different people for each stream, of the sandbox's million.
    for batch_number in number * 10.. {
        let message = prefixed(&batch(batch_number % 1000, unknown));
        let mut left = Bytes::from(message);
        while !left.is_empty() {
            stream.reserve_capacity(left.len());
            let granted = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
            let Some(granted) = granted else {
                return Ok(());
            };
            let piece = left.split_to(granted?.min(left.len()));
            stream.send_data(piece, false)?;
        }
        sent.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
