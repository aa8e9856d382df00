//! Standard output and standard error. Neither being closed is an error worth a panic.

use std::io::{self, Write as _};

use super::Failure;

/// A line on standard error: what is not the result.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Text on standard output: the result.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| output_failure(&error))
}

/// What a failed write means for the command.
pub(super) fn output_failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::Usage(format!("cannot write the output: {error}")),
    }
}
