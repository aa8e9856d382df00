//! The settings: from flags, the environment, a TOML file and defaults, in this order, checked and
//! complete. Plain data: knows neither the server nor Feishu. `cli` loads it, `app` maps it to the
//! settings of each part.
//!
//! Loading never stops at the first mistake: whoever mends a configuration wants to see them all.

mod at_run_time;
mod cache;
mod callers;
mod data;
mod drain;
mod effective;
mod error;
mod grpc;
mod http;
mod layers;
mod log;
mod quota;
mod reader;
mod telemetry;
mod tenants;
mod tls;
mod upstream;
mod value;
mod watched;

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

pub use cache::{CacheConfig, StoreKind};
pub use callers::{CallerConfig, IdKind};
pub use data::DataConfig;
pub use drain::DrainConfig;
pub use effective::Effective;
pub use error::{ConfigError, ConfigErrors, Origin};
pub use grpc::GrpcConfig;
pub use http::HttpConfig;
pub use log::LogConfig;
pub use quota::QuotaConfig;
pub use telemetry::TelemetryConfig;
pub use tenants::TenantConfig;
pub use tls::TlsConfig;
pub use upstream::UpstreamConfig;
pub use watched::Fingerprint;

use layers::Layers;
use reader::Reader;

/// Everything that can be set. The default has no tenant.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The gRPC listener and what a caller may ask of it.
    pub grpc: GrpcConfig,
    /// How the gRPC listener is encrypted, if it is.
    pub tls: Option<TlsConfig>,
    /// The listener for metrics and probes.
    pub http: HttpConfig,
    /// The tenants by name; empty if none is configured.
    pub tenants: Vec<TenantConfig>,
    /// Who may call; everybody, if it is empty.
    pub callers: Vec<CallerConfig>,
    /// How Feishu is called.
    pub upstream: UpstreamConfig,
    /// This service's share of what Feishu allows.
    pub quota: QuotaConfig,
    /// Where this service keeps what outlives it.
    pub data: DataConfig,
    /// How long answers are given again.
    pub cache: CacheConfig,
    /// How the service stops.
    pub drain: DrainConfig,
    /// What is logged.
    pub log: LogConfig,
    /// Traces for a collector.
    pub telemetry: TelemetryConfig,
}

/// Where settings come from. Nothing else is read, so tests need no process environment. `Debug` shows
/// no value: secrets are among them, and everything else in the environment.
#[derive(Clone, Default)]
pub struct Sources {
    /// The TOML file, if any.
    pub file: Option<PathBuf>,
    /// The environment; variables of other programs are ignored.
    pub env: Vec<(OsString, OsString)>,
    /// Settings from the command line.
    pub flags: Vec<FlagSetting>,
}

/// One setting from the command line. `Debug` does not show its value.
#[derive(Clone)]
pub struct FlagSetting {
    /// The flag as the user writes it, such as `--listen`.
    pub flag: &'static str,
    /// The key it sets, such as `grpc.listen`.
    pub key: &'static str,
    /// The value as written.
    pub value: String,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("env", &self.env.len())
            .field("flags", &self.flags)
            .finish()
    }
}

impl fmt::Debug for FlagSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlagSetting")
            .field("flag", &self.flag)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// A configuration without errors, and what is to be said about it.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// What is legal and yet probably not meant, for the log.
    pub warnings: Vec<String>,
    /// Where each tenant was configured, in the order of [`Config::tenants`].
    pub tenant_origins: Vec<Origin>,
    /// Every file that was read: the configuration's own, and those that it names.
    pub files: Vec<PathBuf>,
    /// What these files held.
    pub fingerprint: Fingerprint,
    effective: Effective,
}

/// What came of reading a configuration.
#[derive(Debug)]
pub struct Reading {
    /// Every file that was read, or should have been.
    pub files: Vec<PathBuf>,
    /// The configuration, if it has no mistake.
    pub outcome: Result<Loaded, ConfigErrors>,
}

impl Loaded {
    /// Every key with its value and where that came from; secrets are masked.
    pub fn effective(&self) -> &Effective {
        &self.effective
    }
}

impl Config {
    /// Reads and checks all sources.
    ///
    /// # Errors
    /// Every mistake found, each naming the key and the file or variable it stands in.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
        Self::read(sources).outcome
    }

    /// The same, saying which files that took whatever came of it.
    pub fn read(sources: &Sources) -> Reading {
        let mut reader = Reader::new(Layers::collect(sources));
        let data = DataConfig::read(&mut reader);
        let config = Self {
            grpc: GrpcConfig::read(&mut reader),
            tls: TlsConfig::read(&mut reader),
            http: HttpConfig::read(&mut reader),
            upstream: UpstreamConfig::read(&mut reader),
            quota: QuotaConfig::read(&mut reader),
            cache: CacheConfig::read(&mut reader, &data),
            data,
            drain: DrainConfig::read(&mut reader),
            log: LogConfig::read(&mut reader),
            telemetry: TelemetryConfig::read(&mut reader),
            tenants: tenants::read(&mut reader),
            callers: callers::read(&mut reader),
        };
        callers::check_tenants(&mut reader, &config);
        let grpc = &config.grpc;
        let listeners = [
            ("grpc.listen", Some(grpc.listen)),
            ("grpc.health_listen", grpc.health_listen),
        ];
        for (key, address) in listeners {
            config.http.check_port(&mut reader, key, address);
        }
        let place = |tenant: &TenantConfig| reader.place(&format!("tenants.{}", tenant.name));
        let tenant_origins = config.tenants.iter().map(place).collect();
        let (files, fingerprint) = reader.take_watched().finish();
        let loaded = |(effective, warnings)| Loaded {
            config,
            warnings,
            tenant_origins,
            files: files.clone(),
            fingerprint,
            effective,
        };
        let outcome = reader.finish().map(loaded);
        Reading { files, outcome }
    }

    /// The tenant that an empty tenant name means: the only one, or the one marked as default.
    pub fn default_tenant(&self) -> Option<&TenantConfig> {
        match self.tenants.as_slice() {
            [only] => Some(only),
            several => several.iter().find(|tenant| tenant.default),
        }
    }
}

impl Sources {
    /// The environment of this process and the given file.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        Self {
            file,
            env: std::env::vars_os().collect(),
            flags: Vec::new(),
        }
    }
}

/// A relative path in the configuration file counts from where that file lies, so that both can
/// move together; anywhere else from the working directory.
fn beside(path: &Path, origin: &Origin) -> PathBuf {
    match origin {
        Origin::File { path: config, .. } => match config.parent() {
            Some(directory) => directory.join(path),
            None => path.to_owned(),
        },
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
