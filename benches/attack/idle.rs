//! Many connections on which nothing happens.

use std::io::Write as _;

use tokio::{net::TcpStream, task::JoinSet, time::sleep};

use crate::Common;

/// Opens them, says so on standard output, holds them, and closes them.
pub async fn hold(connections: u32, common: Common) -> Result<String, String> {
    let mut held = JoinSet::new();
    let mut clients = Vec::new();
    for number in 0..connections {
        let tcp = TcpStream::connect(common.server)
            .await
            .map_err(|error| format!("connection {number}: {error}"))?;
        let (client, connection) = h2::client::handshake(tcp)
            .await
            .map_err(|error| format!("connection {number}: {error}"))?;
        clients.push(client);
        // Answers settings and pings.
        held.spawn(connection);
    }
    let _ = writeln!(std::io::stdout(), "opened {connections}");
    sleep(common.lasts()).await;
    let mut ended = 0;
    while held.try_join_next().is_some() {
        ended += 1;
    }
    Ok(format!(
        r#"{{"connections":{connections},"ended_by_server":{ended}}}"#
    ))
}
