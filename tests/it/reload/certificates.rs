//! Certificates that change while the server runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use feishu_id::pb::identity::{
    Identifier, ResolveUserIdsRequest, identifier::Kind,
    identity_service_client::IdentityServiceClient,
};
use futures_util::future::join_all;
use rustls::{ClientConfig, crypto::aws_lc_rs, pki_types::CertificateDer};
use tokio::{net::TcpStream, time::sleep};
use tokio_rustls::TlsConnector;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error};

use crate::certificates::{Authority, HERE};

use super::server::{Folder, Server};

/// How often the certificate is replaced.
const TIMES: u32 = 100;

/// A server behind TLS whose certificate lies in a folder of its own.
struct Secured {
    server: Server,
    certificates: Folder,
    authority: Authority,
    /// The section of its configuration.
    section: String,
}

impl Secured {
    async fn start(name: &str) -> Self {
        let certificates = Folder::new(&format!("{name}-certificates"));
        let authority = Authority::new();
        authority
            .issue(&HERE)
            .write(&certificates.path(""), "server");
        let path = |name| certificates.path(name).display().to_string();
        let (certificate, key) = (path("server.pem"), path("server.key"));
        let section = format!("[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
        Self {
            server: Server::start(name, &section).await,
            certificates,
            authority,
            section,
        }
    }

    async fn client(&self) -> Result<IdentityServiceClient<Channel>, Error> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.authority.pem()))
            .domain_name("localhost");
        let endpoint = Endpoint::from_shared(format!("https://{}", self.server.grpc))?;
        let channel = endpoint.tls_config(tls)?.connect().await?;
        Ok(IdentityServiceClient::new(channel))
    }

    /// Calls until told to stop, by new connections if so wanted. None may fail.
    async fn call(&self, is_over: &AtomicBool, calls: &AtomicUsize, connects_anew: bool) {
        let mut client = self.client().await.unwrap();
        while !is_over.load(Ordering::Relaxed) {
            if connects_anew {
                client = self.client().await.unwrap();
            }
            let answer = client.resolve_user_ids(request()).await;
            answer.unwrap_or_else(|failed| panic!("{failed}: {}", self.server.log()));
            calls.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// The certificate that a new connection sees.
    async fn shown(&self) -> CertificateDer<'static> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.authority.roots())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tcp = TcpStream::connect(self.server.grpc).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let name = "localhost".try_into().unwrap();
        let io = connector.connect(name, tcp).await.unwrap();
        io.get_ref().1.peer_certificates().unwrap()[0].clone()
    }
}

fn request() -> ResolveUserIdsRequest {
    ResolveUserIdsRequest {
        identifiers: vec![Identifier {
            kind: Some(Kind::Email("wei.wang@acme.example".to_owned())),
        }],
        ..ResolveUserIdsRequest::default()
    }
}

#[tokio::test]
async fn a_hundred_certificates_and_configurations_under_load_fail_no_call() {
    let secured = Secured::start("tls-hundred").await;
    let (is_over, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    let replacing = async {
        let mut last = None;
        for n in 1..=TIMES {
            let issued = secured.authority.issue(&HERE);
            secured.certificates.write("server.key", &issued.key);
            secured
                .certificates
                .write("server.pem", &issued.certificate);
            let (section, per_second) = (&secured.section, 40 + n % 10);
            let changed = format!("{section}[quota]\nper_second = {per_second}");
            secured.server.configure(&changed);
            secured.server.signal("-HUP");
            secured.server.until_reloads("applied", f64::from(n)).await;
            last = Some(issued);
        }
        is_over.store(true, Ordering::Relaxed);
        last.unwrap()
    };
    let callers = (0..4).map(|n| secured.call(&is_over, &calls, n % 2 == 0));
    let (last, _) = tokio::join!(replacing, join_all(callers));
    let calls = calls.into_inner();
    assert!(calls > 200, "{calls}");
    assert_eq!(&secured.shown().await, last.der());
}

#[tokio::test]
async fn a_key_of_another_certificate_is_refused_and_the_pair_before_stays() {
    let secured = Secured::start("tls-mismatch").await;
    let before = secured.shown().await;
    let other = secured.authority.issue(&HERE);
    secured.certificates.write("server.key", &other.key);
    secured.server.signal("-HUP");
    secured.server.until_reloads("refused", 1.0).await;
    secured
        .server
        .until_said("is not the key of the first certificate")
        .await;
    assert_eq!(secured.shown().await, before);
    // The certificate that goes with it mends it, without a word of anybody.
    secured.certificates.write("server.pem", &other.certificate);
    secured.server.until_reloads("applied", 1.0).await;
    assert_eq!(&secured.shown().await, other.der());
}

#[tokio::test]
async fn tls_is_not_switched_off_while_the_server_runs() {
    let secured = Secured::start("tls-off").await;
    secured.server.configure("");
    secured.server.signal("-HUP");
    secured.server.until_reloads("refused", 1.0).await;
    secured
        .server
        .until_said("[tls] cannot be added or taken away")
        .await;
    let mut client = secured.client().await.unwrap();
    client.resolve_user_ids(request()).await.unwrap();
}
