//! How the server is reached: plainly or by TLS, and with what credentials.

use std::{net::SocketAddr, path::Path};

use http::HeaderValue;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{Failure, args::Common, tls};

/// The way to the server. Cloning is cheap.
#[derive(Clone)]
pub struct Access {
    pub address: SocketAddr,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// For the header of every request.
    pub authorization: Option<HeaderValue>,
}

/// A connection, whatever it is made of.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Access {
    pub fn new(common: &Common) -> Result<Self, Failure> {
        let server = &common.server;
        let tls = match &common.ca_file {
            Some(ca) if server.is_secure => Some(tls(common, ca)?),
            None if server.is_secure => {
                let message = "https needs --ca-file: whom to trust".to_owned();
                return Err(Failure::Usage(message));
            }
            Some(_) => return Err(Failure::Usage("--ca-file is for https alone".to_owned())),
            None => None,
        };
        let authorization = match &common.api_key_file {
            Some(path) => Some(bearer(path)?),
            None => None,
        };
        Ok(Self {
            address: server.address,
            tls,
            authorization,
        })
    }

    pub fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }

    pub async fn connect(&self) -> Result<Box<dyn Stream>, String> {
        let text = |error: std::io::Error| error.to_string();
        let stream = TcpStream::connect(self.address).await.map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        let Some((tls, name)) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let stream = tls.connect(name.clone(), stream).await.map_err(text)?;
        Ok(Box::new(stream))
    }
}

/// How TLS is spoken, and the name that the server's certificate must have.
fn tls(common: &Common, ca: &Path) -> Result<(TlsConnector, ServerName<'static>), Failure> {
    let own = common.certificate.as_deref().zip(common.key.as_deref());
    let connector = tls::connector(ca, own).map_err(Failure::Usage)?;
    let name = ServerName::try_from(common.server_name.clone())
        .map_err(|_| Failure::Usage("--server-name: no name of a server".to_owned()))?;
    Ok((connector, name))
}

fn bearer(path: &Path) -> Result<HeaderValue, Failure> {
    let key = std::fs::read_to_string(path).map_err(|error| usage(path, &error))?;
    let value = HeaderValue::try_from(format!("Bearer {}", key.trim()));
    let mut value = value.map_err(|error| usage(path, &error))?;
    value.set_sensitive(true);
    Ok(value)
}

fn usage(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::Usage(format!("{}: {why}", path.display()))
}
