//! What several commands do first: load the configuration, start a sandbox for it.

use std::path::PathBuf;

use clap::Args;

use crate::{
    config::{Config, FlagSetting, Loaded, Sources, StoreKind, TenantConfig},
    sandbox::{Sandbox, SandboxSettings},
};

use super::{Failure, terminal};

/// What to do without any credentials.
const NO_TENANT: &str = "\
no tenant is configured: set FEISHU_APP_ID and FEISHU_APP_SECRET, or a [tenants.NAME] section in a \
file given by --config;
or try it without credentials: add --sandbox for a simulated Feishu";

#[derive(Args)]
pub(super) struct ConfigArgs {
    /// The configuration (TOML); see check-config.
    #[arg(
        long,
        value_name = "FILE",
        env = "FEISHU_ID_CONFIG",
        hide_env_values = true
    )]
    pub(super) config: Option<PathBuf>,
}

impl ConfigArgs {
    /// Loads and logs the warnings.
    pub(super) fn load(self, flags: Vec<FlagSetting>) -> Result<Loaded, Failure> {
        let sources = Sources {
            flags,
            ..Sources::of_process(self.config)
        };
        let loaded = Config::load(&sources).map_err(|errors| Failure::Usage(errors.to_string()))?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        Ok(loaded)
    }
}

/// A configuration that can be served from, and the sandbox to keep alive meanwhile.
pub(super) async fn with_tenants(
    loaded: Loaded,
    sandbox: bool,
) -> Result<(Config, Option<Sandbox>), Failure> {
    if !sandbox {
        if loaded.config.tenants.is_empty() {
            return Err(Failure::Usage(NO_TENANT.to_owned()));
        }
        return Ok((loaded.config, None));
    }
    refuse_tenants_beside_sandbox(&loaded)?;
    let sandbox = start_sandbox(SandboxSettings::default()).await?;
    let mut config = loaded.config;
    config.tenants = tenants_of(&sandbox);
    // What is simulated ends with the simulation.
    config.cache.store = StoreKind::None;
    Ok((config, Some(sandbox)))
}

/// Starts the simulated Feishu.
pub(super) async fn start_sandbox(settings: SandboxSettings) -> Result<Sandbox, Failure> {
    Sandbox::start(settings).await.map_err(|error| {
        let causes = terminal::with_causes(&error);
        Failure::Usage(format!("the sandbox cannot start: {causes}"))
    })
}

fn refuse_tenants_beside_sandbox(loaded: &Loaded) -> Result<(), Failure> {
    let tenants = loaded.config.tenants.iter().zip(&loaded.tenant_origins);
    let named: Vec<String> = tenants
        .map(|(tenant, origin)| format!("{} ({origin})", tenant.name))
        .collect();
    if named.is_empty() {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "--sandbox serves simulated people only, and tenants are configured: {}; leave out one or \
         the other",
        named.join(", ")
    )))
}

/// The sandbox's tenants as a configuration would name them; the first is the default.
fn tenants_of(sandbox: &Sandbox) -> Vec<TenantConfig> {
    let tenants = sandbox.tenants().iter().enumerate();
    tenants
        .map(|(index, tenant)| TenantConfig {
            default: index == 0,
            ..TenantConfig::new(
                &tenant.name,
                &tenant.app_id,
                tenant.app_secret.clone().into(),
                &sandbox.base_url(),
            )
        })
        .collect()
}
