//! `sandbox`: only the simulated Feishu, for trying other clients on it.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::sandbox::SandboxSettings;

use super::{Ending, Failure, setup, terminal};

const EXAMPLES: &str = "\
Examples:
  feishu-id sandbox
  feishu-id sandbox --directory people.csv

  # in another shell, with what the first one printed:
  export FEISHU_BASE_URL=http://127.0.0.1:8090 FEISHU_APP_ID=... FEISHU_APP_SECRET=...
  feishu-id resolve wei.wang@acme.example
  curl http://127.0.0.1:8091/stats      # what was asked of it
  curl http://127.0.0.1:8091/faults     # what can be made to go wrong

A directory has a header with any of: tenant,name,email,mobile,user_id,open_id,union_id,
enterprise_email,department,status,visible";

/// Run only the simulated Feishu, to try any client on it.
///
/// Prints the address and app credentials to use, and some people to ask for. Keeps nothing: every
/// start is the same. Runs until SIGINT (Ctrl-C) or SIGTERM.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SandboxArgs {
    /// Where the simulated Feishu listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Where its control address listens: statistics, history, faults.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8091")]
    control_listen: SocketAddr,
    /// The people, instead of the made-up ones.
    #[arg(long, value_name = "FILE.csv")]
    directory: Option<PathBuf>,
}

pub(super) async fn run(args: SandboxArgs) -> Result<Ending, Failure> {
    for (flag, address) in [
        ("--listen", args.listen),
        ("--control-listen", args.control_listen),
    ] {
        if !address.ip().is_loopback() {
            tracing::warn!(
                "{flag} {address}: the sandbox can be reached from other machines, and anybody who \
                 can reach it can read and change it; use a loopback address"
            );
        }
    }
    // Before the start, so that no signal falls in between.
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let sandbox = setup::start_sandbox(SandboxSettings {
        listen: args.listen,
        control_listen: args.control_listen,
        directory: args.directory,
    })
    .await?;
    terminal::print(&sandbox.banner())?;
    // No bound: running until told otherwise is what was asked for.
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(Ending::Well)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn no_signals(error: std::io::Error) -> Failure {
    Failure::Usage(format!("cannot listen for signals: {error}"))
}
