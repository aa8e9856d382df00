//! Many connections on which nothing happens.

use std::{io::Write as _, net::SocketAddr, path::PathBuf};

use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};
use tokio_rustls::TlsConnector;

use crate::{Common, tls};

/// What encrypted ones trust; the server is called `localhost`.
const NAME: &str = "localhost";

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opens them, says so on standard output, holds them, and closes them.
pub async fn hold(connections: u32, ca: Option<PathBuf>, common: Common) -> Result<String, String> {
    let tls = ca.map(|ca| tls::connector(&ca, None)).transpose()?;
    let mut held = JoinSet::new();
    let mut clients = Vec::new();
    for number in 0..connections {
        let opened = async {
            let stream = open(common.server, tls.as_ref()).await?;
            let shaken = h2::client::handshake(stream).await;
            shaken.map_err(|error| error.to_string())
        };
        let opened = opened.await;
        let (client, connection) =
            opened.map_err(|error| format!("connection {number}: {error}"))?;
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

async fn open(server: SocketAddr, tls: Option<&TlsConnector>) -> Result<Box<dyn Stream>, String> {
    let tcp = TcpStream::connect(server).await;
    let tcp = tcp.map_err(|error| error.to_string())?;
    let Some(tls) = tls else {
        return Ok(Box::new(tcp));
    };
    let name = ServerName::try_from(NAME).map_err(|error| error.to_string())?;
    let stream = tls.connect(name, tcp).await;
    Ok(Box::new(stream.map_err(|error| error.to_string())?))
}
