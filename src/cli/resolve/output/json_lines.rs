//! One `Resolution` a line.

use std::io::{self, Write};

use crate::{cli::json::Json, pb::identity::Resolution};

pub(in super::super) struct JsonLines<W> {
    writer: W,
    json: Json,
}

impl<W: Write> JsonLines<W> {
    pub(super) fn new(writer: W) -> io::Result<Self> {
        let json = Json::of("Resolution")?;
        Ok(Self { writer, json })
    }

    pub(super) fn write(&mut self, answers: &[Resolution]) -> io::Result<()> {
        for answer in answers {
            self.json.line(&mut self.writer, answer)?;
        }
        self.flush()
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
