//! Stub: the simulated Feishu is built on another branch; only its face is here.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

/// How to start.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// Where the simulated Feishu listens.
    pub listen: SocketAddr,
    /// Where its control address listens.
    pub control_listen: SocketAddr,
    /// A directory of one's own.
    pub directory: Option<PathBuf>,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen: any,
            control_listen: any,
            directory: None,
        }
    }
}

/// Why it could not start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SandboxError(pub String);

/// One simulated tenant.
#[derive(Clone, Debug)]
pub struct SandboxTenant {
    /// Its name.
    pub name: String,
    /// The app's ID.
    pub app_id: String,
    /// The app's secret.
    pub app_secret: String,
}

/// Somebody to ask for.
#[derive(Clone, Debug)]
pub struct Example {
    /// The tenant to ask in.
    pub tenant: String,
    /// The e-mail address or mobile number.
    pub identifier: String,
    /// What to expect.
    pub what: String,
}

/// A running simulation; ends when dropped.
pub struct Sandbox {
    tenants: Vec<SandboxTenant>,
}

impl Sandbox {
    /// Starts it.
    ///
    /// # Errors
    /// If an address is taken or the directory is bad.
    #[expect(clippy::unused_async, reason = "a stub")]
    pub async fn start(_settings: SandboxSettings) -> Result<Self, SandboxError> {
        Err(SandboxError("not built yet".to_owned()))
    }

    /// The simulated Feishu's address.
    pub fn base_url(&self) -> String {
        String::new()
    }

    /// The control address.
    pub fn control_url(&self) -> String {
        String::new()
    }

    /// The simulated tenants.
    pub fn tenants(&self) -> &[SandboxTenant] {
        &self.tenants
    }

    /// Some people to ask for.
    pub fn examples(&self) -> &[Example] {
        &[]
    }

    /// What to print on start.
    pub fn banner(&self) -> String {
        String::new()
    }
}
