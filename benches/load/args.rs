//! The command line.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU64,
    path::PathBuf,
    str::FromStr,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use feishu_id::pb::identity::UserIdType;

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
    /// Write what was answered and failed in each second to a CSV file.
    #[arg(long, value_name = "FILE", help_heading = "What to say")]
    pub series: Option<PathBuf>,
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

#[derive(Clone, Copy, ValueEnum)]
pub enum Arrivals {
    Poisson,
    Even,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Kinds {
    Email,
    Mobile,
    Mixed,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Format {
    Table,
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "Feishu's names")]
pub enum IdType {
    UserId,
    OpenId,
    UnionId,
}

impl From<IdType> for UserIdType {
    fn from(kind: IdType) -> Self {
        match kind {
            IdType::UserId => Self::UserId,
            IdType::OpenId => Self::OpenId,
            IdType::UnionId => Self::UnionId,
        }
    }
}

/// Who is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Who {
    Different,
    Zipf { exponent: f64, people: u32 },
    Same,
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let zipf = || {
            let (exponent, people) = text.strip_prefix("zipf:")?.split_once(':')?;
            let exponent: f64 = exponent.parse().ok()?;
            let people: u32 = people.parse().ok()?;
            ((0.0..=10.0).contains(&exponent) && (1..=1_000_000).contains(&people))
                .then_some(Self::Zipf { exponent, people })
        };
        match text {
            "different" => Ok(Self::Different),
            "same" => Ok(Self::Same),
            _ => zipf().ok_or_else(|| {
                "takes different, same, or zipf:EXPONENT:PEOPLE with an exponent of 0 to 10 and \
                 1 to 1000000 people, as zipf:1.1:2000"
                    .to_owned()
            }),
        }
    }
}

/// An address on this machine: this program must not be turned on anybody else's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Server(pub SocketAddr);

impl FromStr for Server {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        if url.starts_with("https://") {
            return Err("https is not supported".to_owned());
        }
        let authority = url.strip_prefix("http://").unwrap_or(url);
        let authority = authority.trim_end_matches('/');
        let address = match authority.strip_prefix("localhost:").map(str::parse) {
            Some(Ok(port)) => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
            _ => authority.parse().ok(),
        };
        match address {
            Some(address) if address.ip().is_loopback() => Ok(Self(address)),
            _ => Err("only loopback addresses, as http://127.0.0.1:50051".to_owned()),
        }
    }
}

fn number(text: &str, range: std::ops::RangeInclusive<f64>) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| range.contains(value));
    value.ok_or_else(|| format!("takes {} to {}", range.start(), range.end()))
}

fn positive(text: &str) -> Result<f64, String> {
    number(text, 0.001..=1_000_000.0)
}

fn seconds(text: &str) -> Result<f64, String> {
    number(text, 0.001..=3600.0)
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text, 0.0..=1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loaded() {
        for here in [
            "http://127.0.0.1:1",
            "127.9.9.9:1/",
            "localhost:1",
            "http://[::1]:1",
        ] {
            assert!(here.parse::<Server>().is_ok(), "{here}");
        }
        for there in [
            "http://10.0.0.1:1",
            "example.com:1",
            "https://127.0.0.1:1",
            "localhost.x:1",
            "",
        ] {
            assert!(there.parse::<Server>().is_err(), "{there}");
        }
    }

    #[test]
    fn people_are_said_in_words() {
        let zipf = Who::Zipf {
            exponent: 1.1,
            people: 2000,
        };
        assert_eq!("zipf:1.1:2000".parse(), Ok(zipf));
        assert_eq!("same".parse(), Ok(Who::Same));
        for wrong in [
            "zipf",
            "zipf:1",
            "zipf:1:0",
            "zipf:NaN:1",
            "zipf:11:5",
            "all",
        ] {
            assert!(wrong.parse::<Who>().is_err(), "{wrong}");
        }
    }
}
