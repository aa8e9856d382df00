//! `cache stats`.

mod tables;

use clap::{Args, ValueEnum};

use crate::{
    cli::{Ending, Failure, client, json::Json, terminal},
    clock,
    pb::identity::GetStatusRequest,
};

use super::{ServerArgs, bounded};

const EXAMPLES: &str = "\
Examples:
  feishu-id cache stats
  feishu-id cache stats --server http://127.0.0.1:6000 --tenant acme
  feishu-id cache stats --format json | jq '.tenants[].quotas'

--format json prints a feishu.identity.v1.GetStatusResponse, in the proto's canonical JSON, on one
line.

Exit codes: 0 all well; 2 usage, or the server refuses; 3 the server could not be reached.";

/// Show what a running server remembers, and how its tenants are.
///
/// Memory, store, and for each tenant its credentials, quota, access token and last error. Asks the
/// server alone: Feishu is not called.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct StatsArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Only this tenant, as the server names it.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// The form of the output.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One JSON object.
    Json,
}

pub(super) async fn run(args: StatsArgs) -> Result<Ending, Failure> {
    let request = GetStatusRequest {
        tenant: args.tenant.unwrap_or_default(),
    };
    let mut client = args.server.connect().await?;
    let status = client.get_status(bounded(request)).await;
    let status = status
        .map_err(|status| client::failure_of(&status))?
        .into_inner();
    let text = match args.format {
        Format::Table => tables::text(&status, clock::wall_now()),
        Format::Json => {
            let mut line = Vec::new();
            Json::of("GetStatusResponse")
                .and_then(|json| json.line(&mut line, &status))
                .map_err(|error| terminal::output_failure(&error))?;
            String::from_utf8_lossy(&line).into_owned()
        }
    };
    terminal::print(&text)?;
    Ok(Ending::Well)
}
