//! A load generator for feishu-id: unary calls or streams, as many at a time or as many a second as
//! one says, and an honest account of what came back. Speaks HTTP/2 itself and reads answers
//! without copying them, because it usually shares the processor with the server it measures.
//! Loopback only, and always bounded.

mod access;
mod answer;
mod args;
mod connection;
mod message;
mod names;
mod pace;
mod people;
mod plan;
mod report;
mod stream;
mod tally;
mod tls;
mod unary;
mod values;
mod verify;
mod wire;
mod zipf;

use std::{
    fmt::Display,
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
};

use clap::Parser as _;

use self::{args::Line, report::Report, values::Format};

/// As in the product: the system's own allocator would be the slower of the two.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why there is no result.
pub enum Failure {
    /// The command line must be mended first.
    Usage(String),
    /// Nobody answers at the address.
    Unreachable(String),
}

fn main() -> ExitCode {
    match load(&Line::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(Failure::Usage(message)) => complain(&message, 2),
        Err(Failure::Unreachable(message)) => complain(&message, 3),
    }
}

/// Whether everything that was asked was answered.
fn load(line: &Line) -> Result<bool, Failure> {
    let common = line.mode.common();
    let threads = common.threads.into();
    let mut builder = if threads == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = builder
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|error| Failure::Usage(format!("cannot start threads: {error}")))?;
    let run = Arc::new(plan::Run::new(&line.mode)?);
    let ran = runtime.block_on(plan::carry_out(&line.mode, &run));
    // Connections that are still open are nobody's concern any more.
    runtime.shutdown_background();
    ran?;
    let report = Report::new(&line.mode, &run);
    if let Some(path) = &common.series {
        std::fs::write(path, report.series())
            .map_err(|error| Failure::Usage(format!("--series {}: {error}", path.display())))?;
    }
    let text = match common.format {
        Format::Table => report.table(),
        Format::Json => report.json(),
    };
    // A closed standard output is no error of ours.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(report.all_well())
}

fn complain(message: &dyn Display, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "error: {message}");
    ExitCode::from(code)
}
