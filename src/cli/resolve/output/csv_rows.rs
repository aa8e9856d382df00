//! CSV: the input's own columns as they came, then the answer's.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use csv::ByteRecord;

use crate::pb::identity::{Resolution, User};

use super::{Row, outcome_name};

/// The columns of the answer. A promise: scripts read them by name.
const COLUMNS: [&str; 6] = [
    "identifier",
    "outcome",
    "user_id",
    "open_id",
    "union_id",
    "reason",
];

pub(in super::super) struct CsvRows<W: Write> {
    writer: csv::Writer<W>,
}

impl<W: Write> CsvRows<W> {
    pub(super) fn new(writer: W, own_columns: Option<&ByteRecord>) -> io::Result<Self> {
        let mut writer = csv::Writer::from_writer(writer);
        for name in own_columns.into_iter().flatten() {
            writer.write_field(name)?;
        }
        writer.write_record(COLUMNS)?;
        Ok(Self { writer })
    }

    pub(super) fn write(&mut self, rows: &[Row], answers: &[Resolution]) -> io::Result<()> {
        let nobody = User::default();
        for (row, answer) in rows.iter().zip(answers) {
            for field in &row.own {
                self.writer.write_field(field)?;
            }
            let user = answer.user.as_ref().unwrap_or(&nobody);
            self.writer.write_record([
                inert(row.text()).as_ref(),
                outcome_name(answer),
                inert(&user.user_id).as_ref(),
                inert(&user.open_id).as_ref(),
                inert(&user.union_id).as_ref(),
                reason(answer),
            ])?;
        }
        self.flush()
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// The error's reason without its prefix, such as `INVALID_EMAIL`.
fn reason(answer: &Resolution) -> &'static str {
    let name = answer
        .error
        .as_ref()
        .map_or("", |error| error.reason().as_str_name());
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

/// Keeps a spreadsheet from taking the text for a formula, with the customary ' in front. A number
/// with its + stays as it is: it computes nothing, and scripts join on it. The input's own columns
/// stay as well: whoever made them has them already, and expects them back.
fn inert(text: &str) -> Cow<'_, str> {
    let of_a_number = |c: char| c.is_ascii_digit() || matches!(c, ' ' | '-' | '(' | ')');
    let active = match text.chars().next() {
        Some('+') => !text.chars().skip(1).all(of_a_number),
        Some('=' | '-' | '@' | '\t' | '\r' | '\n') => true,
        _ => false,
    };
    if active {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}
