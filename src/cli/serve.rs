//! `serve`: the server.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use clap::{Args, ValueEnum as _};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    app::{self, Asks, Listening, Reloading, ServeOptions},
    config::{CallerConfig, Config, FlagSetting},
    sandbox::Sandbox,
    telemetry::{LogFormat, LogLevel, Volume},
};

use super::{
    Ending, Failure, LogArgs,
    setup::{self, ConfigArgs, Simulated},
    terminal,
};

const EXAMPLES: &str = "\
Examples:
  feishu-id serve --sandbox

  export FEISHU_APP_ID=cli_... FEISHU_APP_SECRET=...
  feishu-id serve

  feishu-id serve --config feishu-id.toml --listen 127.0.0.1:6000

An app at Feishu needs two scopes: contact:user.id:readonly and, for user_id,
contact:user.employee_id:readonly. See `feishu-id check-config --help` for all settings.
Stops on SIGTERM or SIGINT, after answering what is in flight. Reads its configuration again
on SIGHUP, or by itself when one of its files has changed, while it goes on serving; a
configuration with mistakes is refused as a whole.";

/// Run the server.
///
/// Needs a Feishu app's credentials, from the environment or a file, or --sandbox.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Serve from a simulated Feishu; no credentials needed.
    #[arg(long)]
    sandbox: bool,
    /// Where the gRPC API listens; port 0 takes any free one [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where metrics and probes are, over HTTP; "off" for nowhere [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    http_listen: Option<String>,
}

/// From here on a SIGHUP is never the end of the process. One that comes before [`run`] is not heard: the
/// configuration is about to be read anyway.
pub(super) fn outlive_hangups() -> io::Result<()> {
    // The handler belongs to the process and stays, whatever becomes of this runtime.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let _inside = runtime.enter();
    signal(SignalKind::hangup()).map(drop)
}

pub(super) async fn run(args: ServeArgs, log: LogArgs, volume: Volume) -> Result<Ending, Failure> {
    let hangups = signal(SignalKind::hangup())
        .map_err(|error| Failure::Usage(format!("cannot listen for signals: {error}")))?;
    let flags = [
        ("--log-level", "log.level", log_level_flag(log.log_level)),
        ("--listen", "grpc.listen", args.listen),
        ("--http-listen", "http.listen", args.http_listen),
    ];
    let flags = flags
        .into_iter()
        .filter_map(|(flag, key, value)| value.map(|value| FlagSetting { flag, key, value }));
    let sources = args.config.sources(flags.collect());
    let loaded = setup::load(&sources)?;
    volume.set(loaded.config.log.level);
    let started_with = (&loaded).into();
    let sandbox = setup::sandbox(args.sandbox, &loaded).await?;
    let simulated = sandbox.as_ref().map(Simulated::by);
    let config = setup::complete(loaded, simulated.as_ref())
        .map_err(Failure::Usage)?
        .config;
    let banner = sandbox.as_ref().map(Sandbox::banner);
    let example = example(sandbox.as_ref());
    let asks_for_key = asks_for_key(&config);
    let options = ServeOptions {
        on_listening: Box::new(move |listening| {
            // Beside JSON logs there is a machine, which has no use for a text to paste.
            if log.log_format == LogFormat::Text {
                // A closed standard output does not stop a server.
                let _ = terminal::print(&greeting(
                    listening,
                    &example,
                    asks_for_key,
                    banner.as_deref(),
                ));
            }
        }),
        reloading: Some(Reloading {
            read: Arc::new(move || setup::read(&sources, simulated.as_ref())),
            started_with,
            hangups,
            volume,
        }),
    };
    let served = app::serve(config, options).await;
    drop(sandbox);
    match served {
        Ok(()) => Ok(Ending::Well),
        Err(error) => Err(Failure::Usage(terminal::with_causes(&error))),
    }
}

/// The level, if a flag gave it: of a variable the configuration knows by itself.
fn log_level_flag(level: Option<LogLevel>) -> Option<String> {
    let value = level?.to_possible_value()?;
    let name = value.get_name();
    let variable = std::env::var_os("FEISHU_ID_LOG_LEVEL");
    (variable.as_deref() != Some(name.as_ref())).then(|| name.to_owned())
}

/// Where it listens, and some lines to paste into another shell.
fn greeting(
    listening: &Listening,
    example: &str,
    asks_for_key: bool,
    banner: Option<&str>,
) -> String {
    let grpc = reachable(listening.grpc);
    let health = reachable(listening.health.unwrap_or(listening.grpc));
    let (flags, probe_flags) = match listening.tls {
        None => ("-plaintext", ""),
        Some(Asks::ForNone) => ("-cacert ca.pem", " -tls -tls-ca-cert=ca.pem"),
        Some(Asks::ForCertificate) => (
            "-cacert ca.pem -cert client.pem -key client.key",
            " -tls -tls-ca-cert=ca.pem -tls-client-cert=client.pem -tls-client-key=client.key",
        ),
    };
    // grpcurl itself puts the key in: the arguments of a program can be read by everybody on a machine.
    let key = if asks_for_key {
        " -expand-headers -H 'authorization: Bearer ${FEISHU_ID_API_KEY}'"
    } else {
        ""
    };
    // That port is for those without a certificate.
    let probe_flags = listening.health.map_or(probe_flags, |_| "");
    let banner = banner.map(|text| format!("{}\n\n", text.trim_end()));
    let banner = banner.unwrap_or_default();
    let http = listening.http.map(|http| {
        let http = reachable(http);
        format!("curl http://{http}/metrics\n")
    });
    let http = http.unwrap_or_default();
    format!(
        "{banner}feishu-id listens on {}\n\nTry it:\n\
         grpcurl {flags}{key} {grpc} list\n\
         grpcurl {flags}{key} -d '{example}' {grpc} \
         feishu.identity.v1.IdentityService/ResolveUserIds\n\
         grpc-health-probe{probe_flags} -addr={health}\n{http}\n",
        listening.grpc
    )
}

/// Whether there is no other way in: a certificate is enough for whoever has one.
fn asks_for_key(config: &Config) -> bool {
    let by_certificate = |caller: &CallerConfig| !caller.certificate_identity.is_empty();
    !config.callers.is_empty() && !config.callers.iter().any(by_certificate)
}

/// Somebody to ask for, as the API wants them: of the sandbox's first tenant, else a placeholder.
fn example(sandbox: Option<&Sandbox>) -> String {
    let example = sandbox.and_then(|sandbox| sandbox.examples().first());
    let identifier = example.map_or("someone@your-company.example", |e| e.identifier.as_str());
    let kind = if identifier.contains('@') {
        "email"
    } else {
        "mobile"
    };
    format!(r#"{{"identifiers":[{{"{kind}":"{identifier}"}}]}}"#)
}

/// An address to call a listener by that may listen on all addresses.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
