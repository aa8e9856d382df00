//! `cache`: what a running server remembers, seen and flushed through its administration service.

mod flush;
mod stats;

use std::time::Duration;

use clap::{Args, Subcommand};
use tonic::Request;

use crate::pb::identity::admin_service_client::AdminServiceClient;

use super::{
    Ending, Failure,
    client::{self, AccessArgs, Line},
};

/// Where `serve` listens unless told otherwise.
const DEFAULT_SERVER: &str = "http://127.0.0.1:50051";

/// How long a server may take to answer: to flush, it looks at everything that it remembers.
const TIMEOUT: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "\
Examples:
  feishu-id cache stats
  feishu-id cache flush wei.wang@acme.example
  feishu-id cache flush --tenant acme --negative
  feishu-id cache stats --server https://ids.example:50051 --ca-file ca.pem

A server with callers configured answers these to a key with the permission admin (--api-key-file,
FEISHU_ID_API_KEY); one without, to callers on its own machine.";

/// See and flush what a running server remembers.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CacheArgs {
    #[command(subcommand)]
    command: CacheCommand,
}

#[derive(Subcommand)]
enum CacheCommand {
    Flush(flush::FlushArgs),
    Stats(stats::StatsArgs),
}

#[derive(Args)]
struct ServerArgs {
    /// The server.
    #[arg(long, value_name = "URL", default_value = DEFAULT_SERVER)]
    server: String,
    #[command(flatten)]
    access: AccessArgs,
}

pub(super) async fn run(args: CacheArgs) -> Result<Ending, Failure> {
    match args.command {
        CacheCommand::Flush(args) => flush::run(args).await,
        CacheCommand::Stats(args) => stats::run(args).await,
    }
}

impl ServerArgs {
    async fn connect(&self) -> Result<AdminServiceClient<Line>, Failure> {
        let line = client::connect(&self.server, &self.access).await?;
        Ok(AdminServiceClient::new(line))
    }
}

/// A call that ends in time.
fn bounded<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(TIMEOUT);
    request
}
