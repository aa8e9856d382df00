//! Where the answers come from: a server, or the service inside this process.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::{
    app::{self, InProcess},
    cli::{
        Failure,
        setup::{self, ConfigArgs},
        terminal,
    },
    config::StoreKind,
    sandbox::Sandbox,
};

/// How long a server may take to accept the connection. A round trip around the world takes 0.3 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The share of the configured quota that a command takes beside a running server: a tenth.
const QUOTA_PARTS: u32 = 10;

/// A way to the service, and what must live as long as it is used.
pub(super) struct Service {
    pub(super) channel: Channel,
    _inside: Option<(InProcess, Option<Sandbox>)>,
}

pub(super) async fn open(
    server: Option<&str>,
    sandbox: bool,
    config: ConfigArgs,
) -> Result<Service, Failure> {
    if let Some(url) = server {
        return Ok(Service {
            channel: connect(url).await?,
            _inside: None,
        });
    }
    let loaded = config.load(Vec::new())?;
    let (mut config, sandbox) = setup::with_tenants(loaded, sandbox).await?;
    if sandbox.is_some() {
        terminal::say("SIMULATION: these people are the sandbox's, their IDs are worthless");
    } else {
        config.quota = config.quota.share(QUOTA_PARTS);
    }
    // A running server's store is that server's.
    config.cache.store = StoreKind::None;
    let inside = app::in_process(config)
        .await
        .map_err(|error| Failure::Usage(terminal::with_causes(&error)))?;
    Ok(Service {
        channel: inside.channel.clone(),
        _inside: Some((inside, sandbox)),
    })
}

async fn connect(url: &str) -> Result<Channel, Failure> {
    let url = normalise(url)?;
    let endpoint = Endpoint::from_shared(url.clone())
        .map_err(|_| Failure::Usage(format!("--server: {EXPECTED}")))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    // The timeout above covers the TCP connection alone, not a name that is slow to resolve.
    let connected = tokio::time::timeout(2 * CONNECT_TIMEOUT, endpoint.connect()).await;
    let cause = match connected {
        Ok(Ok(channel)) => return Ok(channel),
        Ok(Err(error)) => root_cause(&error),
        Err(_) => "no answer in time".to_owned(),
    };
    Err(Failure::Unreachable(format!(
        "cannot reach {url}: {cause}; is `feishu-id serve` running there?"
    )))
}

const EXPECTED: &str = "expected a URL such as http://127.0.0.1:50051";

fn normalise(url: &str) -> Result<String, Failure> {
    if url.starts_with("https://") {
        let message = "--server: https is not supported yet: use http:// on a trusted network";
        return Err(Failure::Usage(message.to_owned()));
    }
    let with_scheme = if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    };
    let authority = with_scheme
        .strip_prefix("http://")
        .map(|rest| rest.trim_end_matches('/'))
        .filter(|rest| !rest.is_empty() && !rest.contains(['/', '?', '#', '@', ' ']));
    match authority {
        Some(authority) => Ok(format!("http://{authority}")),
        None => Err(Failure::Usage(format!("--server: {EXPECTED}"))),
    }
}

/// The innermost error: the outer ones say "transport error".
pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
