//! TLS to a server on this machine: whom to trust, and what to show.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio_rustls::TlsConnector;

/// Trusts the certificates of the file `ca`; `own` is a certificate to show, and its key. The error names
/// the file.
pub fn connector(ca: &Path, own: Option<(&Path, &Path)>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots
            .add(certificate)
            .map_err(|error| in_file(ca, &error))?;
    }
    // By name: which provider is the process' own nobody has said here.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| in_file(ca, &error))?
        .with_root_certificates(roots);
    let mut config = match own {
        Some((certificate, key)) => {
            let own = PrivateKeyDer::from_pem_file(key).map_err(|error| in_file(key, &error))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, own)
                .map_err(|error| in_file(certificate, &error))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| in_file(path, &error))?;
    read.collect::<Result<_, _>>()
        .map_err(|error| in_file(path, &error))
}

fn in_file(path: &Path, why: &dyn std::fmt::Display) -> String {
    format!("{}: {why}", path.display())
}
