//! What several commands do first: load the configuration, start a sandbox for it.

use std::path::PathBuf;

use clap::Args;

use crate::{
    config::{
        Config, ConfigError, ConfigErrors, FlagSetting, Loaded, Reading, Sources, StoreKind,
        TenantConfig,
    },
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
    /// Where settings come from: this file, these flags, and the environment.
    pub(super) fn sources(self, flags: Vec<FlagSetting>) -> Sources {
        Sources {
            flags,
            ..Sources::of_process(self.config)
        }
    }
}

/// Loads and logs the warnings.
pub(super) fn load(sources: &Sources) -> Result<Loaded, Failure> {
    let loaded = Config::load(sources).map_err(|errors| Failure::Usage(errors.to_string()))?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(loaded)
}

/// The tenants of a simulated Feishu, which stand in for configured ones.
pub(super) struct Simulated(Vec<TenantConfig>);

/// The simulated Feishu, if it is wanted.
pub(super) async fn sandbox(wanted: bool, loaded: &Loaded) -> Result<Option<Sandbox>, Failure> {
    if !wanted {
        return Ok(None);
    }
    refuse_tenants_beside_sandbox(loaded).map_err(Failure::Usage)?;
    let sandbox = start_sandbox(SandboxSettings::default()).await?;
    Ok(Some(sandbox))
}

/// A configuration that can be served from.
pub(super) fn complete(
    mut loaded: Loaded,
    simulated: Option<&Simulated>,
) -> Result<Loaded, String> {
    let Some(Simulated(tenants)) = simulated else {
        if loaded.config.tenants.is_empty() {
            return Err(NO_TENANT.to_owned());
        }
        return Ok(loaded);
    };
    refuse_tenants_beside_sandbox(&loaded)?;
    loaded.config.tenants.clone_from(tenants);
    loaded.config.check_callers()?;
    // What is simulated ends with the simulation.
    loaded.config.cache.store = StoreKind::None;
    Ok(loaded)
}

/// The same, read again while it is served from.
pub(super) fn read(sources: &Sources, simulated: Option<&Simulated>) -> Reading {
    let Reading { files, outcome } = Config::read(sources);
    let outcome = outcome.and_then(|loaded| {
        complete(loaded, simulated).map_err(|message| {
            ConfigErrors(vec![ConfigError {
                place: "the configuration".to_owned(),
                key: None,
                message,
            }])
        })
    });
    Reading { files, outcome }
}

/// Starts the simulated Feishu.
pub(super) async fn start_sandbox(settings: SandboxSettings) -> Result<Sandbox, Failure> {
    Sandbox::start(settings).await.map_err(|error| {
        let causes = terminal::with_causes(&error);
        Failure::Usage(format!("the sandbox cannot start: {causes}"))
    })
}

fn refuse_tenants_beside_sandbox(loaded: &Loaded) -> Result<(), String> {
    let tenants = loaded.config.tenants.iter().zip(&loaded.tenant_origins);
    let named: Vec<String> = tenants
        .map(|(tenant, origin)| format!("{} ({origin})", tenant.name))
        .collect();
    if named.is_empty() {
        return Ok(());
    }
    Err(format!(
        "--sandbox serves simulated people only, and tenants are configured: {}; leave out one or \
         the other",
        named.join(", ")
    ))
}

impl Simulated {
    /// As a configuration would name them; the first is the default.
    pub(super) fn by(sandbox: &Sandbox) -> Self {
        Self(tenants_of(sandbox))
    }
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
