//! `resolve`: a client of the public API, whether that is in a server or inside this process.

mod bulk;
mod connect;
mod input;
mod output;
mod progress;
mod tally;

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};

use crate::pb::identity as pb;

use super::{Ending, Failure, client::AccessArgs, setup::ConfigArgs, terminal};
use bulk::{Batch, Question};
use input::Input;
#[cfg(fuzz_hooks)]
pub use input::fuzzing;
use output::{Format, Output};
use progress::Progress;
use tally::Tally;

const EXAMPLES: &str = "\
Examples:
  feishu-id resolve --sandbox wei.wang@acme.example '+86 138 0013 8000'
  feishu-id resolve --server http://127.0.0.1:50051 --type open_id wei.wang@acme.example
  feishu-id resolve --server https://ids.example:50051 --ca-file ca.pem wei.wang@acme.example
  feishu-id resolve --file people.csv --format csv > people-with-ids.csv
  cut -d, -f3 people.csv | feishu-id resolve --file - --format json

A file has one identifier a line, or is CSV with a header (separated by comma, semicolon or
tab; UTF-8). Of a CSV the columns `email` and `mobile` are used: the e-mail if the row has
one, else the mobile number; or the column that --column names. Input of any length is
streamed, and the output keeps its order.

--format json prints a feishu.identity.v1.Resolution per identifier, in the proto's canonical
JSON. --format csv prints the input's own columns as they are, then identifier, outcome,
user_id, open_id, union_id and reason; in those last six a text that a spreadsheet would
take for a formula gets a ' in front.

Exit codes: 0 all resolved; 1 some not; 2 usage, configuration or bad input; 3 Feishu or the
server could not be reached.";

/// Resolve e-mail addresses and mobile numbers from the command line.
///
/// Asks a running server (--server), the sandbox (--sandbox), or, by default, Feishu itself with
/// the configured credentials, on a tenth of the configured quota so that a running server keeps
/// the rest.
#[derive(Args)]
#[command(
    after_help = EXAMPLES,
    group(ArgGroup::new("input").args(["identifiers", "file"]).required(true))
)]
pub(super) struct ResolveArgs {
    /// Resolve against a simulated Feishu.
    #[arg(long, conflicts_with = "server")]
    sandbox: bool,
    /// Resolve against a running server, such as 127.0.0.1:50051
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    config: ConfigArgs,
    /// The tenant, as the server or the configuration names it; without it, the default one.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// A kind of ID to return; may be given several times, and each costs calls
    #[arg(
        long = "type",
        value_enum,
        value_name = "KIND",
        default_value = "user_id"
    )]
    kinds: Vec<Kind>,
    /// Also answer for people who have left.
    #[arg(long)]
    include_resigned: bool,
    /// The form of the output.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Read identifiers from a file, or from standard input (-).
    #[arg(long, value_name = "FILE|-")]
    file: Option<PathBuf>,
    /// The file is CSV, and this column holds the identifiers.
    #[arg(long, value_name = "NAME", requires = "file")]
    column: Option<String>,
    /// E-mail addresses (anything with an @) and mobile numbers.
    #[arg(value_name = "IDENTIFIER")]
    identifiers: Vec<String>,
}

/// A kind of Feishu ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "Feishu's own words for them")]
enum Kind {
    /// The ID inside the tenant.
    UserId,
    /// The ID for the tenant's app.
    OpenId,
    /// The ID for all apps of the app's developer.
    UnionId,
}

impl Kind {
    fn on_the_wire(self) -> pb::UserIdType {
        match self {
            Self::UserId => pb::UserIdType::UserId,
            Self::OpenId => pb::UserIdType::OpenId,
            Self::UnionId => pb::UserIdType::UnionId,
        }
    }
}

pub(super) async fn run(args: ResolveArgs) -> Result<Ending, Failure> {
    let input = match args.file {
        Some(path) => Input::open(&path, args.column.as_deref())
            .map_err(|error| Failure::Usage(error.to_string()))?,
        None => Input::arguments(args.identifiers),
    };
    let kinds = args.kinds;
    let question = Question {
        tenant: args.tenant.unwrap_or_default(),
        user_id_types: kinds.iter().map(|kind| kind.on_the_wire().into()).collect(),
        include_resigned: args.include_resigned,
    };
    // Alive until the end: it may hold the service itself.
    let service = connect::open(
        args.server.as_deref(),
        &args.access,
        args.sandbox,
        args.config,
    )
    .await?;

    let mut output = Output::stdout(args.format, &kinds, input.header())?;
    let progress = Progress::start();
    let mut tally = Tally::start();
    let ended = bulk::resolve(
        service.line.clone(),
        question,
        input,
        |batch: &Batch, answer| {
            for resolution in answer {
                tally.count(resolution);
            }
            progress
                .around(answer.len(), || output.write(&batch.rows, answer))
                .map_err(|error| terminal::output_failure(&error))
        },
    )
    .await;
    progress.finish();
    // Also after a failure: what has been answered is worth having.
    let finished = output
        .finish()
        .map_err(|error| terminal::output_failure(&error));
    if !matches!(ended, Err(Failure::ReaderGone)) {
        tally.report();
    }
    ended.and(finished)?;
    Ok(tally.ending())
}
