//! `[tls]`: the certificate of the gRPC listener, and whose clients it lets in.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    Error, InconsistentKeys, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::{CertifiedKey, SigningKey},
};
use x509_parser::{certificate::Validity, parse_x509_certificate};
use zeroize::Zeroizing;

use super::{Origin, beside, reader::Reader, tenants::files::MAX_CERTIFICATES};
use crate::clock;

const CERTIFICATE: &str = "tls.certificate";
const KEY: &str = "tls.key";
const CLIENT_CA: &str = "tls.client_ca";

const UNREADABLE: &str = "holds a certificate that cannot be read";

/// Most that is read of a key's file, in bytes. The longest in use, of RSA with 8192 bits, has 6.5 kB.
const MAX_KEY: u64 = 64 * 1024;

/// How the listener is encrypted: what the files said when they were read.
#[derive(Clone)]
pub struct TlsConfig {
    /// The certificate with those between it and its root, and its key.
    pub certified: Arc<CertifiedKey>,
    /// When the first of those certificates expires, in seconds since 1970.
    pub expires: u64,
    /// By which clients' certificates are verified. If there are any, a client must have one.
    pub client_ca: Option<Arc<RootCertStore>>,
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("certificates", &self.certified.cert.len())
            .field("expires", &self.expires)
            .field("client_ca", &self.client_ca.is_some())
            .finish_non_exhaustive()
    }
}

/// Certificates, and from when to when all of them are valid, in seconds since 1970.
struct Dated {
    chain: Vec<CertificateDer<'static>>,
    begins: i64,
    expires: i64,
}

/// A file that a key names, and where.
struct Named {
    path: PathBuf,
    origin: Origin,
}

/// Whether the listener is encrypted, as far as is known before the files are read.
pub(super) fn is_configured(reader: &Reader) -> bool {
    reader.origin(CERTIFICATE).is_some()
}

impl TlsConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let certificate = named(reader, CERTIFICATE);
        let key = named(reader, KEY);
        let client_ca = named(reader, CLIENT_CA);
        check_together(reader);
        // Each is read even if another is bad, so that all mistakes are told.
        let dated = certificate.as_ref().and_then(|named| {
            let read = read_dated(reader, &named.path);
            told(reader, CERTIFICATE, named, read)
        });
        let signing = key.as_ref().and_then(|named| {
            let read = read_key(reader, &named.path);
            told(reader, KEY, named, read)
        });
        let is_asked_for = client_ca.is_some();
        let client_ca = client_ca.and_then(|named| {
            let read = read_roots(reader, &named.path);
            told(reader, CLIENT_CA, &named, read)
        });
        if is_asked_for && client_ca.is_none() {
            return None;
        }
        let (dated, signing, certificate, key) = (dated?, signing?, certificate?, key?);
        warn_of_time(reader, &certificate, &dated);
        let expires = u64::try_from(dated.expires).unwrap_or_default();
        let matched = matched(dated.chain, signing, &certificate.path);
        Some(Self {
            certified: Arc::new(told(reader, KEY, &key, matched)?),
            expires,
            client_ca,
        })
    }
}

fn named(reader: &mut Reader, key: &str) -> Option<Named> {
    let (path, origin) = reader.optional::<PathBuf>(key)?;
    let path = beside(&path, &origin);
    Some(Named { path, origin })
}

/// A certificate is nothing without its key, and the other keys nothing without a certificate.
fn check_together(reader: &mut Reader) {
    for (key, other) in [
        (CERTIFICATE, KEY),
        (KEY, CERTIFICATE),
        (CLIENT_CA, CERTIFICATE),
    ] {
        if let (Some(origin), None) = (reader.origin(key).cloned(), reader.origin(other)) {
            reader.error(other, &origin, format!("is missing: {key} needs it"));
        }
    }
}

/// The value, or its mistake put down to the key.
fn told<T>(reader: &mut Reader, key: &str, named: &Named, read: Result<T, String>) -> Option<T> {
    read.map_err(|message| reader.error(key, &named.origin, message))
        .ok()
}

fn about(path: &Path, why: &str) -> String {
    format!("{} {why}", path.display())
}

fn read_chain(reader: &mut Reader, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = reader.file(path, MAX_CERTIFICATES)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => {
            let why = "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)";
            Err(about(path, why))
        }
        // What the library says may repeat the file.
        Err(_) => Err(about(path, "is damaged: it cannot be read as PEM")),
    }
}

fn read_dated(reader: &mut Reader, path: &Path) -> Result<Dated, String> {
    let chain = read_chain(reader, path)?;
    let (mut begins, mut expires) = (i64::MIN, i64::MAX);
    for certificate in &chain {
        let Ok((_, certificate)) = parse_x509_certificate(certificate) else {
            return Err(about(path, UNREADABLE));
        };
        let Validity {
            not_before,
            not_after,
        } = certificate.validity();
        begins = begins.max(not_before.timestamp());
        expires = expires.min(not_after.timestamp());
    }
    Ok(Dated {
        chain,
        begins,
        expires,
    })
}

fn read_key(reader: &mut Reader, path: &Path) -> Result<Arc<dyn SigningKey>, String> {
    let pem = Zeroizing::new(reader.file(path, MAX_KEY)?);
    let Ok(key) = PrivateKeyDer::from_pem_slice(&pem) else {
        let is_encrypted = pem.windows(9).any(|word| word == b"ENCRYPTED");
        return Err(about(
            path,
            if is_encrypted {
                "is encrypted, and nobody is there to say its passphrase: store it decrypted, \
                 readable by this service alone"
            } else {
                "holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)"
            },
        ));
    };
    let provider = aws_lc_rs::default_provider();
    let loaded = provider.key_provider.load_private_key(key);
    loaded.map_err(|_| {
        let why = "holds a key that cannot be used: expected ECDSA (P-256, P-384 or P-521), \
                   Ed25519, or RSA with 2048 to 8192 bits";
        about(path, why)
    })
}

fn read_roots(reader: &mut Reader, path: &Path) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(reader, path)? {
        let added = roots.add(certificate);
        added.map_err(|_| about(path, UNREADABLE))?;
    }
    Ok(Arc::new(roots))
}

fn matched(
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
    certificate: &Path,
) -> Result<CertifiedKey, String> {
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // Some keys do not tell which certificate is theirs.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        // A certificate that cannot be read has been told of.
        Err(_) => Err(format!(
            "is not the key of the first certificate in {}",
            certificate.display()
        )),
    }
}

/// Clients refuse it, and yet a server that runs is better than none: it may only need a reload.
fn warn_of_time(reader: &mut Reader, certificate: &Named, dated: &Dated) {
    let Dated {
        begins, expires, ..
    } = *dated;
    let now = clock::wall_now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    });
    let (moment, what) = if now > expires {
        (expires, "expired on")
    } else if now < begins {
        (begins, "is not valid before")
    } else {
        return;
    };
    let moment = Duration::from_secs(u64::try_from(moment).unwrap_or_default());
    let moment = humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + moment);
    let Named { path, origin } = certificate;
    reader.warn(format!(
        "{origin}: {CERTIFICATE}: {} {what} {moment}: clients will refuse it; renew it",
        path.display()
    ));
}
