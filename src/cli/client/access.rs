//! What lets a command in at a server: whom it trusts, its certificate, its API key.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use clap::Args;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
    transport::{Certificate, ClientTlsConfig, Identity},
};
use zeroize::Zeroizing;

use crate::cli::Failure;

/// The variable that holds an API key. There is no flag for it: everybody on a machine can read the
/// arguments of everybody's programs.
const API_KEY: &str = "FEISHU_ID_API_KEY";

#[derive(Args)]
pub(in crate::cli) struct AccessArgs {
    /// Certificates (PEM) to trust over https, instead of the system's
    #[arg(long, value_name = "FILE", help_heading = "Access to a server")]
    ca_file: Option<PathBuf>,
    /// A certificate (PEM) to show to the server
    #[arg(
        long,
        value_name = "FILE",
        requires = "key",
        help_heading = "Access to a server"
    )]
    certificate: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(
        long,
        value_name = "FILE",
        requires = "certificate",
        help_heading = "Access to a server"
    )]
    key: Option<PathBuf>,
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Access to a server",
        help = "A file that holds an API key and nothing else; or set FEISHU_ID_API_KEY"
    )]
    api_key_file: Option<PathBuf>,
}

/// The API key that goes with every call, if there is one.
#[derive(Clone, Default)]
pub(in crate::cli) struct ApiKey(Option<MetadataValue<Ascii>>);

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ApiKey").field(&self.0.is_some()).finish()
    }
}

impl Interceptor for ApiKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("authorization", key.clone());
        }
        Ok(request)
    }
}

impl ApiKey {
    pub(super) fn is_given(&self) -> bool {
        self.0.is_some()
    }

    fn parse(text: &str, place: &str) -> Result<Self, Failure> {
        let value = Zeroizing::new(format!("Bearer {}", text.trim()));
        let key = text.trim();
        let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        let parsed = MetadataValue::try_from(value.as_str()).ok();
        match parsed.filter(|_| is_key) {
            Some(mut value) => {
                // Neither shown nor kept in the tables of HTTP/2's compression.
                value.set_sensitive(true);
                Ok(Self(Some(value)))
            }
            None => Err(Failure::Usage(format!("{place}: holds no API key"))),
        }
    }
}

impl AccessArgs {
    /// The first flag that was given, for commands that may have no use for any.
    pub(in crate::cli) fn given(&self) -> Option<&'static str> {
        [
            ("--ca-file", &self.ca_file),
            ("--certificate", &self.certificate),
            ("--key", &self.key),
            ("--api-key-file", &self.api_key_file),
        ]
        .into_iter()
        .find_map(|(flag, path)| path.as_ref().map(|_| flag))
    }

    /// Those flags that make sense over https alone.
    pub(super) fn given_for_https(&self) -> Option<&'static str> {
        self.given().filter(|flag| *flag != "--api-key-file")
    }

    /// The API key: of the file, if one is named, else of the environment.
    pub(super) fn api_key(&self) -> Result<ApiKey, Failure> {
        if let Some(path) = &self.api_key_file {
            let text = Zeroizing::new(read("--api-key-file", path)?);
            let place = format!("--api-key-file {}", path.display());
            return ApiKey::parse(&String::from_utf8_lossy(&text), &place);
        }
        match std::env::var(API_KEY).map(Zeroizing::new) {
            Ok(text) if !text.is_empty() => ApiKey::parse(&text, API_KEY),
            Ok(_) | Err(std::env::VarError::NotPresent) => Ok(ApiKey::default()),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(Failure::Usage(format!("{API_KEY}: holds no API key")))
            }
        }
    }

    /// How to speak TLS with a server.
    pub(super) fn tls(&self) -> Result<ClientTlsConfig, Failure> {
        let tls = ClientTlsConfig::new();
        let tls = match &self.ca_file {
            Some(path) => {
                tls.ca_certificate(Certificate::from_pem(certificates("--ca-file", path)?))
            }
            None => tls.with_native_roots(),
        };
        let (Some(certificate), Some(key)) = (&self.certificate, &self.key) else {
            return Ok(tls);
        };
        let chain = certificates("--certificate", certificate)?;
        let key = Zeroizing::new(read("--key", key)?);
        Ok(tls.identity(Identity::from_pem(chain, key.as_slice())))
    }
}

fn certificates(flag: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    let pem = read(flag, path)?;
    // One that is damaged is found where it is used; a wrong file is found here.
    if String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
        return Ok(pem);
    }
    Err(Failure::Usage(format!(
        "{flag}: {} holds no certificate in PEM form",
        path.display()
    )))
}

fn read(flag: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| {
        Failure::Usage(format!(
            "{flag}: {} cannot be read: {error}",
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_word_and_is_never_shown() {
        let key = ApiKey::parse("fik_secret\n", "here");
        let shown = format!("{key:?}");
        assert!(key.is_ok_and(|key| key.is_given()));
        assert!(!shown.contains("secret"), "{shown}");
        for bad in ["", "\n", "two words", "s\u{e9}cret"] {
            assert!(ApiKey::parse(bad, "here").is_err(), "{bad:?}");
        }
    }
}
