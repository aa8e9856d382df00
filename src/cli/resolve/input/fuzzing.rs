//! The input as the fuzz targets read it: built only for them.

use std::io::Cursor;

use super::Input;

/// What was read.
#[derive(Debug)]
pub struct Read {
    /// The identifiers up to the first mistake.
    pub identifiers: Vec<String>,
    /// Whether it was taken for a table.
    pub is_table: bool,
    /// The first mistake, as it is told.
    pub error: Option<String>,
}

/// Reads these bytes as `resolve` would read a file of them.
pub fn read(bytes: &[u8], column: Option<&str>) -> Read {
    let mut read = Read {
        identifiers: Vec::new(),
        is_table: false,
        error: None,
    };
    let reader = Box::new(Cursor::new(bytes.to_vec()));
    let input = match Input::read(reader, "input".to_owned(), column) {
        Ok(input) => input,
        Err(error) => {
            read.error = Some(error.to_string());
            return read;
        }
    };
    read.is_table = input.header().is_some();
    for row in input {
        match row {
            // A row of a table without anybody in it is somebody, too: whom the server calls invalid.
            Ok(row) if row.identifier.kind.is_none() => {}
            Ok(row) => read.identifiers.push(row.text().to_owned()),
            Err(error) => {
                read.error = Some(error.to_string());
                break;
            }
        }
    }
    read
}
