//! The command line.

use std::{num::NonZeroU64, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::values::{
    Arrivals, Format, IdType, Kinds, Server, Who, not_negative, positive, seconds,
};

const EXAMPLES: &str = "\
Examples (start a server with `feishu-id serve --sandbox` first):
  As many as the server can, 64 calls at a time over 8 connections, for 10 seconds:
    load unary --in-flight 64 --connections 8 --seconds 10

  200 calls a second at random moments, each for somebody else, for a minute:
    load unary --rate 200 --seconds 60

  5,000 calls a second, most of them for the same few of 2,000 people:
    load unary --rate 5000 --people zipf:1.1:2000 --seconds 60

  10,000 people over one stream, 16 batches of 1,000 at a time:
    load stream --identifiers 1000 --batches-in-flight 16 --calls 10

  Your own people, from a file with one e-mail or mobile a line:
    load unary --file people.txt --calls 100

Exit code: 0 everything answered; 1 something failed, was lost, wrong or not sent; 2 usage; 3 the
server cannot be reached.";

/// Puts a load on a feishu-id server and says what came of it.
///
/// Closed loop (--in-flight): each caller asks again when it has its answer; measures the most that
/// can be had. Open loop (--rate): calls are due at their moments whether or not earlier ones have
/// been answered, and latency counts from the moment a call was due, so a server that stalls cannot
/// hide it; measures what callers feel.
#[derive(Parser)]
#[command(name = "load", after_help = EXAMPLES)]
pub struct Line {
    #[command(subcommand)]
    pub mode: Mode,
}

#[derive(Subcommand)]
pub enum Mode {
    /// Unary calls: `ResolveUserIds`.
    #[command(after_help = EXAMPLES)]
    Unary {
        #[command(flatten)]
        common: Common,
        /// Closed loop: callers over all connections, each with one call at a time.
        #[arg(long, value_name = "N", default_value_t = 16, conflicts_with = "rate", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        in_flight: u32,
    },
    /// Batches over `ResolveUserIdsStream`, one stream a connection. A "call" is a batch.
    #[command(after_help = EXAMPLES)]
    Stream {
        #[command(flatten)]
        common: Common,
        /// Batches at a time on each stream.
        #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        batches_in_flight: u32,
    },
}

#[derive(Args)]
pub struct Common {
    /// The server; loopback only.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:50051")]
    pub server: Server,
    /// Certificates (PEM) to trust over https.
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    pub ca_file: Option<PathBuf>,
    /// The name that the server's certificate must have.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "localhost",
        help_heading = "Access"
    )]
    pub server_name: String,
    /// A certificate (PEM) to show to the server.
    #[arg(long, value_name = "FILE", requires = "key", help_heading = "Access")]
    pub certificate: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(
        long,
        value_name = "FILE",
        requires = "certificate",
        help_heading = "Access"
    )]
    pub key: Option<PathBuf>,
    /// A file that holds an API key and nothing else.
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    pub api_key_file: Option<PathBuf>,
    /// Connections to it.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub connections: u16,
    /// Threads of this program.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub threads: u8,

    /// Open loop: calls (or batches) due each second, over all connections.
    #[arg(long, value_name = "R", value_parser = positive, help_heading = "How fast")]
    pub rate: Option<f64>,
    /// Open loop: at random moments, as from many independent callers, or at even ones.
    #[arg(long, value_enum, default_value_t = Arrivals::Poisson, help_heading = "How fast")]
    pub arrivals: Arrivals,
    /// Open loop: most calls that wait for an answer; those over it are not sent, and counted.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=200_000), help_heading = "How fast")]
    pub outstanding: u32,
    /// Stop after so many calls [default: no limit but --seconds]
    #[arg(long, value_name = "N", help_heading = "How long")]
    pub calls: Option<NonZeroU64>,
    /// Stop sending after so many seconds, at most 3600 [default: 10; with --calls: 3600]
    #[arg(long, value_name = "S", value_parser = seconds, help_heading = "How long")]
    pub seconds: Option<f64>,

    /// Identifiers in each call or batch.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "Whom")]
    pub identifiers: u32,
    /// `different`: each somebody else; `zipf:EXPONENT:PEOPLE`: so many people, the popular ones
    /// most (exponent 0: all alike); `same`: always the same one.
    #[arg(
        long,
        value_name = "WHO",
        default_value = "different",
        help_heading = "Whom"
    )]
    pub people: Who,
    /// By e-mail, by mobile, or taking turns: every other person by mobile.
    #[arg(long, value_enum, default_value_t = Kinds::Mixed, help_heading = "Whom")]
    pub kinds: Kinds,
    /// The number of the first person: where the made-up people, or the file, begin.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Whom")]
    pub first: u64,
    /// People named by a pattern of your own, `{}` being the number and `{:08}` eight digits of it;
    /// several take turns. Without it: the made-up people of the sandbox (load-N@acme.example,
    /// +86199NNNNNNNN), a million in each tenant.
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "file",
        help_heading = "Whom"
    )]
    pub pattern: Vec<String>,
    /// People from a file: one e-mail (has an @) or mobile a line; begins again at its end.
    #[arg(long, value_name = "FILE", help_heading = "Whom")]
    pub file: Option<PathBuf>,
    /// Where the dice start; the same seed asks for the same people at the same moments.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Tenant [default: the server's default one; its made-up people are those of acme]
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true,
        help_heading = "The request"
    )]
    pub tenant: String,
    /// Kind of ID to return; several times for several [default: `user_id`]
    #[arg(
        long = "type",
        value_enum,
        value_name = "KIND",
        help_heading = "The request"
    )]
    pub types: Vec<IdType>,
    /// Also people who have left.
    #[arg(long, help_heading = "The request")]
    pub include_resigned: bool,
    /// Seconds a call or batch may take.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds, help_heading = "The request")]
    pub deadline: f64,
    /// Oldest answer to accept, in seconds; 0 asks Feishu.
    #[arg(long, value_name = "S", value_parser = not_negative, help_heading = "The request")]
    pub max_age: Option<f64>,

    /// Remember who had which ID, and count answers that change, that give two people one ID, that
    /// stand in another's place, and, of the sandbox's made-up people, that are not RESOLVED.
    #[arg(long, help_heading = "What to say")]
    pub verify: bool,
    /// Write what was answered, stale and failed in each second, and how long it took, to a CSV file.
    #[arg(long, value_name = "FILE", help_heading = "What to say")]
    pub series: Option<PathBuf>,
    /// Seconds of a line of that file.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3600), help_heading = "What to say")]
    pub series_step: u32,
    /// A table for people, or one JSON object.
    #[arg(long, value_enum, default_value_t = Format::Table, help_heading = "What to say")]
    pub format: Format,
}

impl Mode {
    pub fn common(&self) -> &Common {
        match self {
            Self::Unary { common, .. } | Self::Stream { common, .. } => common,
        }
    }
}
