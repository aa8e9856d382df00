//! The identifiers to resolve, one at a time: from arguments, a file of lines, or CSV. Never holds
//! more of a file than a row. Knows nothing of what becomes of them.

#[cfg(fuzz_hooks)]
pub mod fuzzing;
mod lines;
mod table;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};

use csv::ByteRecord;

use crate::{
    cli::client::identifier,
    pb::identity::{Identifier, identifier::Kind},
};

/// Longest line, and longest row of a CSV, in bytes. An e-mail address has at most 254; this leaves
/// room for wide tables and still stops at a file that is no text.
const MAX_ROW: usize = 64 * 1024;

/// One identifier and where it came from.
pub(super) struct Row {
    /// The CSV row it stands in; empty for other inputs.
    pub(super) own: ByteRecord,
    /// The identifier. Of a CSV row without any it is empty: the server says so in its answer.
    pub(super) identifier: Identifier,
}

impl Row {
    /// The identifier's text.
    pub(super) fn text(&self) -> &str {
        match &self.identifier.kind {
            Some(Kind::Email(text) | Kind::Mobile(text)) => text,
            None => "",
        }
    }
}

/// Why input cannot be read. Names the file and the line, never what stands there.
#[derive(Debug, thiserror::Error)]
#[error("{name}{}: {message}", .line.map(|line| format!(":{line}")).unwrap_or_default())]
pub(super) struct InputError {
    name: String,
    line: Option<u64>,
    message: String,
}

/// A source of identifiers.
pub(super) enum Input {
    /// From the command line.
    Arguments(std::vec::IntoIter<String>),
    /// One a line.
    Lines(lines::Lines),
    /// Of a CSV.
    Table(Box<table::Table>),
}

type Reader = Box<dyn BufRead + Send>;

impl Input {
    pub(super) fn arguments(arguments: Vec<String>) -> Self {
        Self::Arguments(arguments.into_iter())
    }

    /// Opens a file, or standard input by the name `-`.
    pub(super) fn open(path: &Path, column: Option<&str>) -> Result<Self, InputError> {
        if path.as_os_str() == "-" {
            let reader = Box::new(BufReader::new(io::stdin()));
            return Self::read(reader, "standard input".to_owned(), column);
        }
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self::read(Box::new(BufReader::new(file)), name, column),
            Err(error) => Err(InputError {
                name,
                line: None,
                message: format!("cannot be read: {error}"),
            }),
        }
    }

    /// Looks at the first line that is not blank to tell CSV from lines.
    fn read(mut reader: Reader, name: String, column: Option<&str>) -> Result<Self, InputError> {
        let fail = |line, message: String| InputError {
            name: name.clone(),
            line: Some(line),
            message,
        };
        let mut head = Vec::new();
        let mut line = 0;
        let first = loop {
            line += 1;
            let start = head.len();
            let read = read_line(&mut reader, &mut head).map_err(|error| fail(line, error))?;
            if line == 1 {
                refuse_utf_16(&head).map_err(|error| fail(line, error))?;
                if head.starts_with(b"\xef\xbb\xbf") {
                    head.drain(..3);
                }
            }
            let text = head.get(start..).unwrap_or_default();
            if !read || !text.trim_ascii().is_empty() {
                break text.to_vec();
            }
        };
        let header = table::Header::find(&first, column).map_err(|error| fail(line, error))?;
        let reader: Reader = Box::new(io::Cursor::new(head).chain(reader));
        match header {
            Some(header) => Ok(Self::Table(Box::new(table::Table::new(
                reader, name, header,
            )?))),
            None => Ok(Self::Lines(lines::Lines::new(reader, name))),
        }
    }

    /// The input's own columns, if it has any.
    pub(super) fn header(&self) -> Option<&ByteRecord> {
        match self {
            Self::Table(table) => Some(table.header()),
            _ => None,
        }
    }
}

impl Iterator for Input {
    type Item = Result<Row, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Arguments(arguments) => arguments.next().map(|text| {
                Ok(Row {
                    own: ByteRecord::new(),
                    identifier: identifier(&text),
                })
            }),
            Self::Lines(lines) => lines.next(),
            Self::Table(table) => table.next(),
        }
    }
}

/// Appends the next line with its end; false at the end of the input.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool, String> {
    let limit = u64::try_from(MAX_ROW).unwrap_or(u64::MAX);
    let read = reader
        .take(limit)
        .read_until(b'\n', line)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if read >= MAX_ROW {
        return Err(format!(
            "the line is longer than {MAX_ROW} bytes: is it a text file with one identifier a line?"
        ));
    }
    Ok(read > 0)
}

fn refuse_utf_16(start: &[u8]) -> Result<(), String> {
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        return Err("the file is UTF-16: save it as UTF-8".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
