//! Where the answers come from: a server, or the service inside this process.

use crate::{
    app::{self, InProcess},
    cli::{
        Failure,
        client::{self, AccessArgs, Line},
        setup::{self, ConfigArgs, Simulated},
        terminal,
    },
    config::StoreKind,
    sandbox::Sandbox,
};

/// The share of the configured quota that a command takes beside a running server: a tenth.
const QUOTA_PARTS: u32 = 10;

/// A way to the service, and what must live as long as it is used.
pub(super) struct Service {
    pub(super) line: Line,
    _inside: Option<(InProcess, Option<Sandbox>)>,
}

pub(super) async fn open(
    server: Option<&str>,
    access: &AccessArgs,
    sandbox: bool,
    config: ConfigArgs,
) -> Result<Service, Failure> {
    if let Some(url) = server {
        return Ok(Service {
            line: client::connect(url, access).await?,
            _inside: None,
        });
    }
    if let Some(flag) = access.given() {
        let message = format!("{flag} is for a server: give --server too");
        return Err(Failure::Usage(message));
    }
    let loaded = setup::load(&config.sources(Vec::new()))?;
    let sandbox = setup::sandbox(sandbox, &loaded).await?;
    let simulated = sandbox.as_ref().map(Simulated::by);
    let loaded = setup::complete(loaded, simulated.as_ref()).map_err(Failure::Usage)?;
    let mut config = loaded.config;
    if sandbox.is_some() {
        terminal::say("SIMULATION: these people are the sandbox's, their IDs are worthless");
    } else {
        config.quota = config.quota.share(QUOTA_PARTS);
    }
    // A running server's store is that server's.
    config.cache.store = StoreKind::None;
    // Whoever has the tenants' own credentials needs nobody's leave.
    config.callers.clear();
    let inside = app::in_process(config)
        .await
        .map_err(|error| Failure::Usage(terminal::with_causes(&error)))?;
    Ok(Service {
        line: client::inside(inside.channel.clone()),
        _inside: Some((inside, sandbox)),
    })
}
