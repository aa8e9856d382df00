//! What stands between the file and the CSV reader: it stops at a row without end, and knows which
//! line a byte stands in (the CSV reader's own count is one short after `\\r\\n` and blank lines).

use std::{
    collections::VecDeque,
    io::{self, Read},
};

use super::{MAX_ROW, Reader};

/// What may be read for one row, in bytes: the row and what the CSV reader reads ahead.
const BUDGET: usize = 2 * MAX_ROW;

pub(super) struct Guard {
    inner: Reader,
    budget: usize,
    /// Bytes read so far.
    offset: u64,
    /// The line that the next byte stands in, from 1.
    line: u64,
    at_line_start: bool,
    /// Where lines that are not blank begin, and their numbers; only from the current row on.
    starts: VecDeque<(u64, u64)>,
}

impl Guard {
    pub(super) fn new(inner: Reader) -> Self {
        Self {
            inner,
            budget: BUDGET,
            offset: 0,
            line: 1,
            at_line_start: true,
            starts: VecDeque::new(),
        }
    }

    /// A new row begins at that byte: it may be as long as any, and what was before is forgotten.
    pub(super) fn next_row(&mut self, byte: u64) {
        self.budget = BUDGET;
        while self.starts.front().is_some_and(|(start, _)| *start < byte) {
            self.starts.pop_front();
        }
    }

    /// The line of a row that begins at that byte, or after the blank lines that do.
    pub(super) fn line_at(&self, byte: u64) -> u64 {
        let found = self.starts.iter().find(|(start, _)| *start >= byte);
        found.map_or(self.line, |(_, line)| *line)
    }

    fn note(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.at_line_start && !matches!(byte, b'\r' | b'\n') {
                self.starts.push_back((self.offset, self.line));
            }
            self.at_line_start = *byte == b'\n';
            self.line += u64::from(self.at_line_start);
            self.offset += 1;
        }
    }
}

impl Read for Guard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.budget == 0 {
            return Err(io::Error::other(format!(
                "the row is longer than {MAX_ROW} bytes: is a quote not closed?"
            )));
        }
        let read = self.inner.read(buffer)?;
        self.budget = self.budget.saturating_sub(read);
        self.note(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}
