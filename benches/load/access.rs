//! How the server is reached: plainly or by TLS, and with what credentials.

use std::{net::SocketAddr, path::Path, sync::Arc};

use http::HeaderValue;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{Failure, args::Common};

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
            Some(ca) if server.is_secure => Some(connector(common, ca)?),
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

fn connector(common: &Common, ca: &Path) -> Result<(TlsConnector, ServerName<'static>), Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        let added = roots.add(certificate);
        added.map_err(|error| usage(ca, &error))?;
    }
    // By name: which provider is the process' own nobody has said here.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| usage(ca, &error))?
        .with_root_certificates(roots);
    let mut config = match (&common.certificate, &common.key) {
        (Some(certificate), Some(key)) => {
            let own = PrivateKeyDer::from_pem_file(key).map_err(|error| usage(key, &error))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, own)
                .map_err(|error| usage(certificate, &error))?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from(common.server_name.clone())
        .map_err(|_| Failure::Usage("--server-name: no name of a server".to_owned()))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| usage(path, &error))?;
    read.collect::<Result<_, _>>()
        .map_err(|error| usage(path, &error))
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
