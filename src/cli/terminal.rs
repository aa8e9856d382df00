//! Standard output and standard error. Neither being closed is an error worth a panic.

use std::io::{self, Write as _};

use super::Failure;

/// Longest text in a cell, in characters; IDs have at most 64.
const MAX_CELL: usize = 120;

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

/// The same of what must not stay behind in a buffer: standard output keeps what it has printed.
pub(super) fn print_secret(parts: &[&str]) -> Result<(), Failure> {
    let write = || {
        // Unlike the standard library's handle this one has no buffer.
        let handle = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?;
        let mut stdout = std::fs::File::from(handle);
        for part in parts {
            stdout.write_all(part.as_bytes())?;
        }
        Ok(())
    };
    write().map_err(|error: io::Error| output_failure(&error))
}

/// What a failed write means for the command.
pub(super) fn output_failure(error: &io::Error) -> Failure {
    if is_broken_pipe(error) {
        return Failure::ReaderGone;
    }
    Failure::Usage(format!("cannot write the output: {error}"))
}

/// Also where the CSV writer has wrapped it.
fn is_broken_pipe(error: &io::Error) -> bool {
    let wrapped = error.get_ref().and_then(|inner| inner.downcast_ref());
    error.kind() == io::ErrorKind::BrokenPipe
        || wrapped.is_some_and(|error: &csv::Error| {
            matches!(error.kind(), csv::ErrorKind::Io(io) if io.kind() == io::ErrorKind::BrokenPipe)
        })
}

/// The same as [`clean`], and no longer than a cell.
pub(super) fn harmless(text: &str) -> String {
    match text.char_indices().nth(MAX_CELL) {
        None => clean(text),
        Some((end, _)) => clean(text.get(..end).unwrap_or_default()) + "…",
    }
}

/// A text that cannot move the cursor, colour the terminal or turn the reading direction.
pub(super) fn clean(text: &str) -> String {
    let harmless = |c: char| {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(harmless).collect()
}

/// An error with its causes, outermost first: each level says only its own part.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(cause) = inner {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        inner = cause.source();
    }
    text
}
