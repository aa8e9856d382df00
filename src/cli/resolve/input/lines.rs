//! One identifier a line. Blank lines are skipped.

use csv::ByteRecord;

use super::{InputError, Reader, Row, identifier, read_line};

pub(in super::super) struct Lines {
    reader: Reader,
    name: String,
    line: u64,
}

impl Lines {
    pub(super) fn new(reader: Reader, name: String) -> Self {
        Self {
            reader,
            name,
            line: 0,
        }
    }

    fn next_text(&mut self) -> Result<Option<String>, String> {
        loop {
            let mut line = Vec::new();
            self.line += 1;
            if !read_line(&mut self.reader, &mut line)? {
                return Ok(None);
            }
            let Ok(text) = String::from_utf8(line) else {
                return Err("is not UTF-8: save the file as UTF-8".to_owned());
            };
            let text = text.trim();
            if !text.is_empty() {
                return Ok(Some(text.to_owned()));
            }
        }
    }
}

impl Iterator for Lines {
    type Item = Result<Row, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.next_text().map_err(|message| InputError {
            name: self.name.clone(),
            line: Some(self.line),
            message,
        });
        let row = |text: String| Row {
            own: ByteRecord::new(),
            identifier: identifier(&text),
        };
        text.map(|text| text.map(row)).transpose()
    }
}
