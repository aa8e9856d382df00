//! TLS: who gets through, what the others are told, and that nobody notices a new certificate.

mod clients;
mod foreign;
mod handshakes;
mod replacing;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use feishu_id::{
    caller::{CallerId, CertificateNames, Peer},
    metrics::{Arrivals, HandshakeFailure, Registry},
    pb::identity::identity_service_client::IdentityServiceClient,
    server::{Gate, Guard, ServerSettings, Tls, TlsTerms},
};
use http::request::Parts;
use rustls::{ClientConfig, crypto::aws_lc_rs, pki_types::ServerName};
use tokio::{net::TcpStream, time::sleep};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{
    Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error, Identity},
};

use crate::certificates::{Authority, HERE, Issued};

use super::support::Running;

/// A server behind TLS, and what it counts.
struct Secured {
    running: Running,
    tls: Tls,
    registry: Registry,
    /// Vouches for the server.
    authority: Authority,
}

/// Lets everybody in, and tells the service what names they have.
struct Names(Option<CertificateNames>);

impl Gate for Names {
    fn guard(&self, _: Peer, names: Option<CertificateNames>) -> Box<dyn Guard> {
        Box::new(Self(names))
    }

    fn turned_away(&self, _: SocketAddr, _: HandshakeFailure) {}
}

impl Guard for Names {
    fn admit(&self, request: &mut Parts) -> Result<Option<CallerId>, Box<Status>> {
        if let Some(names) = &self.0 {
            request.extensions.insert(names.clone());
        }
        Ok(None)
    }

    fn too_many(&self, _: &Parts) {}
}

fn terms(certificate: &Issued, clients: Option<&Authority>) -> TlsTerms {
    TlsTerms::new(certificate.certified(), 0, clients.map(Authority::roots)).unwrap()
}

impl Secured {
    async fn start() -> Self {
        Self::start_with(None, ServerSettings::default()).await
    }

    /// Lets in only clients whom this authority vouches for, if there is one.
    async fn start_with(clients: Option<&Authority>, settings: ServerSettings) -> Self {
        let authority = Authority::new();
        let tls = Tls::new(terms(&authority.issue(&HERE), clients));
        let registry = Registry::new();
        let running = Running::start(ServerSettings {
            tls: Some(tls.clone()),
            arrivals: Arrivals::new(&registry),
            gate: Some(Arc::new(Names(None))),
            ..settings
        })
        .await;
        Self {
            running,
            tls,
            registry,
            authority,
        }
    }

    fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// A client with a connection of its own, and a certificate if it has one.
    async fn client(
        &self,
        identity: Option<&Issued>,
    ) -> Result<IdentityServiceClient<Channel>, Error> {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.authority.pem()))
            .domain_name("localhost");
        if let Some(Issued {
            certificate, key, ..
        }) = identity
        {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address()))?;
        let channel = endpoint.tls_config(tls)?.connect().await?;
        Ok(IdentityServiceClient::new(channel))
    }

    /// A connection of TLS alone.
    async fn connect(&self, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_again(&Arc::new(config)).await
    }

    async fn connect_again(
        &self,
        config: &Arc<ClientConfig>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address()).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(config.clone()).connect(name, tcp).await
    }

    /// Of one who trusts the server and offers these protocols.
    fn config(&self, protocols: &[&[u8]]) -> ClientConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.authority.roots())
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        config
    }

    /// Until a metric has that value.
    async fn until(&self, series: &str, value: u64) {
        let line = format!("{series} {value}");
        for _ in 0..500 {
            if self.registry.text().lines().any(|l| l == line) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("{line} does not come: {}", self.registry.text());
    }

    /// Until so many handshakes have failed for this reason.
    async fn until_failed(&self, reason: &str, count: u64) {
        let series = format!("feishu_id_tls_handshakes_failed_total{{reason=\"{reason}\"}}");
        self.until(&series, count).await;
    }
}
