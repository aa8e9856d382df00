//! TLS for the listener: what it shows to clients and what it asks of them, behind a handle by which
//! both are replaced while connections live. TLS 1.2 and 1.3 with AEAD ciphers and forward secrecy
//! alone, which is all that the library has; HTTP/2 alone. Made by `app`; called by `connection`.

mod handshake;
mod names;
mod plaintext;

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};

pub(super) use handshake::{Failure, Shaken, shake};

/// The name of HTTP/2 in TLS.
const H2: &[u8] = b"h2";

/// Why terms cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The library does not have what is asked of it.
    #[error("TLS")]
    Library(#[from] rustls::Error),
    /// Clients cannot be verified by these certificates.
    #[error("the certificates by which clients are verified")]
    ClientCa(#[from] VerifierBuilderError),
}

/// What the server shows and what it asks for. Made beforehand, so that replacing cannot fail.
pub struct TlsTerms {
    config: Arc<ServerConfig>,
    expires: u64,
}

/// The listener's terms. Cloning gives another handle of the same ones.
#[derive(Clone)]
pub struct Tls(Arc<ArcSwap<TlsTerms>>);

impl TlsTerms {
    /// With this certificate, which expires so many seconds after 1970. If there are certificates to
    /// verify clients by, a client must show one of theirs.
    ///
    /// # Errors
    /// If there are such certificates and none of them is usable.
    pub fn new(
        certified: Arc<CertifiedKey>,
        expires: u64,
        client_ca: Option<Arc<RootCertStore>>,
    ) -> Result<Self, TlsError> {
        // Named here, and not the process's default, which somebody else may set.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?;
        let asks = client_ca.is_some();
        let builder = match client_ca {
            Some(roots) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots, provider).build()?,
            ),
            None => builder.with_no_client_auth(),
        };
        let certificate = Arc::new(SingleCertAndKey::from(certified));
        let mut config = builder.with_cert_resolver(certificate);
        config.alpn_protocols = vec![H2.to_vec()];
        if asks {
            // Who takes up a session again is not verified again: a certificate would outlive its
            // end. It would save about a millisecond every half hour, the age of a connection.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Self {
            config: Arc::new(config),
            expires,
        })
    }
}

impl Tls {
    /// A handle for a listener.
    pub fn new(terms: TlsTerms) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(terms)))
    }

    /// From now on connections begin on these terms; those that are open stay as they are. No session
    /// of the old terms is taken up again.
    pub fn replace(&self, terms: TlsTerms) {
        self.0.store(Arc::new(terms));
    }

    /// When the certificate in use expires, in seconds since 1970.
    pub fn expires(&self) -> u64 {
        self.0.load().expires
    }

    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.load().config)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
