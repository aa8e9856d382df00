//! The answers on standard output, as they come. Knows formats, not where answers come from.

mod csv_rows;
mod json_lines;
mod tables;

use std::io::{self, BufWriter, Stdout, Write};

use clap::ValueEnum;
use csv::ByteRecord;

use crate::{cli::Failure, pb::identity::Resolution};

use super::{Kind, input::Row};

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// One JSON object per identifier and line.
    Json,
    /// The input's own columns, then the answer's.
    Csv,
}

/// Writes answers in one of the formats.
pub(super) enum Output<W: Write = BufWriter<Stdout>> {
    Table(tables::Tables<W>),
    Json(json_lines::JsonLines<W>),
    Csv(Box<csv_rows::CsvRows<W>>),
}

impl Output {
    pub(super) fn stdout(
        format: Format,
        kinds: &[Kind],
        own_columns: Option<&ByteRecord>,
    ) -> Result<Self, Failure> {
        Self::new(BufWriter::new(io::stdout()), format, kinds, own_columns)
            .map_err(|error| crate::cli::terminal::output_failure(&error))
    }
}

impl<W: Write> Output<W> {
    fn new(
        writer: W,
        format: Format,
        kinds: &[Kind],
        own_columns: Option<&ByteRecord>,
    ) -> io::Result<Self> {
        Ok(match format {
            Format::Table => Self::Table(tables::Tables::new(writer, kinds)),
            Format::Json => Self::Json(json_lines::JsonLines::new(writer)?),
            Format::Csv => Self::Csv(Box::new(csv_rows::CsvRows::new(writer, own_columns)?)),
        })
    }

    /// Writes the answers to some rows, in the same order, and brings them to the reader.
    pub(super) fn write(&mut self, rows: &[Row], answers: &[Resolution]) -> io::Result<()> {
        match self {
            Self::Table(tables) => tables.write(answers),
            Self::Json(lines) => lines.write(answers),
            Self::Csv(csv) => csv.write(rows, answers),
        }
    }

    /// Writes what is left.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Table(tables) => tables.flush(),
            Self::Json(lines) => lines.flush(),
            Self::Csv(csv) => csv.flush(),
        }
    }
}

/// The outcome's name without its prefix, such as `NOT_FOUND`.
fn outcome_name(resolution: &Resolution) -> &'static str {
    let name = resolution.outcome().as_str_name();
    name.strip_prefix("OUTCOME_").unwrap_or(name)
}

#[cfg(test)]
mod tests;
