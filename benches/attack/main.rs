//! Clients that mean no good: one kind of attack on a feishu-id server, over one connection that is made
//! again whenever the server ends it, or many connections that do nothing. What it costs the server is
//! measured from outside. Loopback only, and always bounded.

mod bomb;
mod bytes;
mod idle;
mod kinds;
mod siege;
mod stalled;
#[path = "../load/tls.rs"]
mod tls;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum as _};

use self::kinds::Kind;

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXAMPLES: &str = "\
Examples (start a server with `feishu-id serve --sandbox` first):
  As many PINGs as one connection bears, for 10 seconds:
    attack siege pings --seconds 10

  10,000 connections that do nothing:
    attack idle --connections 10000 --seconds 60

  100 streams that send batches and take no answer:
    attack stalled --streams 100 --seconds 60

  The kinds of siege there are:
    attack kinds

Prints one JSON object. Exit code: 0 done; 2 usage; 3 the server cannot be reached.";

/// Attacks a feishu-id server on this machine.
#[derive(Parser)]
#[command(name = "attack", after_help = EXAMPLES)]
struct Line {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// One kind, over one connection.
    Siege {
        /// Which; `attack kinds` lists them.
        kind: Kind,
        #[command(flatten)]
        common: Common,
    },
    /// Connections on which nothing happens; pings are answered.
    Idle {
        /// How many.
        #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
        connections: u32,
        /// Encrypted: certificates (PEM) to trust; the server's must be for localhost.
        #[arg(long, value_name = "FILE")]
        ca_file: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// Streams that send batches of 1,000 people and take no answer.
    Stalled {
        /// How many, over all connections.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        streams: u32,
        /// Streams on each connection.
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=200))]
        each: u32,
        /// People whom the server does not know, so that each batch is looked up; else malformed ones,
        /// who are answered at once.
        #[arg(long)]
        unknown: bool,
        #[command(flatten)]
        common: Common,
    },
    /// The names of all kinds, one a line.
    Kinds,
}

#[derive(Args, Clone, Copy)]
struct Common {
    /// The server; loopback only.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:50051", value_parser = loopback)]
    server: SocketAddr,
    /// How long, at most 3600.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

impl Common {
    fn lasts(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "expected an address such as 127.0.0.1:50051")?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("only a server on this machine is attacked".to_owned())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let told = match Line::parse().what {
        What::Siege { kind, common } => siege::lay(kind, common).await,
        What::Idle {
            connections,
            ca_file,
            common,
        } => idle::hold(connections, ca_file, common).await,
        What::Stalled {
            streams,
            each,
            unknown,
            common,
        } => stalled::hold(streams, each, unknown, common).await,
        What::Kinds => {
            let names = Kind::value_variants()
                .iter()
                .filter_map(Kind::to_possible_value);
            let names: Vec<_> = names.map(|name| name.get_name().to_owned()).collect();
            Ok(names.join("\n"))
        }
    };
    match told {
        Ok(text) => {
            let _ = writeln!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(3)
        }
    }
}
