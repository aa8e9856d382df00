//! CSV with a header. Rows are kept as bytes: only the identifier need be UTF-8, the other columns
//! go through untouched whatever their encoding (GBK is common).

mod guard;

use csv::{ByteRecord, ErrorKind, Position, ReaderBuilder};

use super::{Identifier, InputError, Kind, MAX_ROW, Reader, Row, identifier};
use guard::Guard;

/// Columns are told apart by the first of these that the header has most of.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// What the header says.
pub(super) struct Header {
    delimiter: u8,
    columns: Columns,
}

/// Where the identifiers stand.
enum Columns {
    /// In one column, e-mail addresses or mobile numbers.
    Any(usize),
    /// In columns by kind; the e-mail address is used where a row has both.
    ByKind {
        email: Option<usize>,
        mobile: Option<usize>,
    },
}

impl Header {
    /// None if the first line is no header but an identifier.
    pub(super) fn find(line: &[u8], column: Option<&str>) -> Result<Option<Self>, String> {
        let count = |wanted: u8| line.split(|byte| *byte == wanted).skip(1).count();
        // The first of several equals: a comma.
        let delimiter = DELIMITERS
            .into_iter()
            .rev()
            .max_by_key(|delimiter| count(*delimiter))
            .unwrap_or(b',');
        let names = names(line, delimiter);
        let position = |wanted: &str| {
            names
                .iter()
                .position(|name| name.eq_ignore_ascii_case(wanted.trim()))
        };
        let columns = match column {
            Some(wanted) => {
                Columns::Any(position(wanted).ok_or_else(|| no_such_column(wanted, &names))?)
            }
            None => Columns::ByKind {
                email: position("email"),
                mobile: position("mobile"),
            },
        };
        match columns {
            Columns::ByKind {
                email: None,
                mobile: None,
            } if count(delimiter) == 0 => Ok(None),
            Columns::ByKind {
                email: None,
                mobile: None,
            } => Err(format!(
                "has neither a column email nor mobile: name the column with --column; with one \
                 identifier a line there is no {:?}",
                char::from(delimiter)
            )),
            columns => Ok(Some(Self { delimiter, columns })),
        }
    }
}

/// Repeats the columns that there are, unless the first line is no header: then it is somebody's data.
fn no_such_column(wanted: &str, names: &[String]) -> String {
    /// No column's name has so many; a mobile number has more.
    const DIGITS: usize = 6;
    let is_data = |name: &String| {
        name.contains('@') || name.chars().filter(|c| c.is_numeric()).count() >= DIGITS
    };
    if names.iter().any(is_data) {
        format!("has no column {wanted:?}: its first line is no header")
    } else {
        format!("has no column {wanted:?}; it has: {}", names.join(", "))
    }
}

fn names(line: &[u8], delimiter: u8) -> Vec<String> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .from_reader(line);
    let mut record = ByteRecord::new();
    // A line that cannot be read as a row has no columns by name.
    let _ = reader.read_byte_record(&mut record);
    let name = |field: &[u8]| String::from_utf8_lossy(field).trim().to_owned();
    record.iter().map(name).collect()
}

pub(in super::super) struct Table {
    reader: csv::Reader<Guard>,
    name: String,
    columns: Columns,
    header: ByteRecord,
}

impl Table {
    pub(super) fn new(reader: Reader, name: String, header: Header) -> Result<Self, InputError> {
        let reader = ReaderBuilder::new()
            .delimiter(header.delimiter)
            .from_reader(Guard::new(reader));
        let mut table = Self {
            reader,
            name,
            columns: header.columns,
            header: ByteRecord::new(),
        };
        let header = table.reader.byte_headers().cloned();
        table.header = header.map_err(|error| table.error(&error))?;
        Ok(table)
    }

    pub(super) fn header(&self) -> &ByteRecord {
        &self.header
    }

    fn row(&self, own: ByteRecord) -> Result<Row, InputError> {
        let identifier = self.identifier(&own).map_err(|message| InputError {
            name: self.name.clone(),
            line: own.position().map(|position| self.line(position)),
            message: message.to_owned(),
        })?;
        Ok(Row { own, identifier })
    }

    fn identifier(&self, row: &ByteRecord) -> Result<Identifier, &'static str> {
        let kind = match self.columns {
            Columns::Any(column) => return Ok(field(row, Some(column))?.map_or(NOBODY, identifier)),
            Columns::ByKind { email, mobile } => match field(row, email)? {
                Some(email) => Some(Kind::Email(email.to_owned())),
                None => field(row, mobile)?.map(|mobile| Kind::Mobile(mobile.to_owned())),
            },
        };
        Ok(Identifier { kind })
    }

    fn line(&self, position: &Position) -> u64 {
        self.reader.get_ref().line_at(position.byte())
    }

    fn error(&self, error: &csv::Error) -> InputError {
        let here = self.reader.position();
        let position = error.position().unwrap_or(here);
        let message = match error.kind() {
            ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => format!("has {len} columns where the header has {expected_len}"),
            ErrorKind::Io(error) => format!("cannot be read: {error}"),
            _ => error.to_string(),
        };
        InputError {
            name: self.name.clone(),
            line: Some(self.line(position)),
            message,
        }
    }
}

impl Iterator for Table {
    type Item = Result<Row, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.reader.position().byte();
        self.reader.get_mut().next_row(start);
        let mut record = ByteRecord::new();
        match self.reader.read_byte_record(&mut record) {
            Ok(true) => Some(self.row(record)),
            Ok(false) => None,
            Err(error) => Some(Err(self.error(&error))),
        }
    }
}

const NOBODY: Identifier = Identifier { kind: None };

/// The text of a column, if it has any.
fn field(row: &ByteRecord, column: Option<usize>) -> Result<Option<&str>, &'static str> {
    let Some(bytes) = column.and_then(|column| row.get(column)) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(bytes)
        .map_err(|_| "the identifier is not UTF-8: save the file as UTF-8")?
        .trim();
    if text.contains('\n') {
        return Err("the identifier holds a line break: is a quote not closed?");
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}
