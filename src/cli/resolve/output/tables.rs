//! For people: a table, a new one every thousand rows so that nothing piles up.

use std::io::{self, Write};

use comfy_table::{Table, presets};

use crate::{
    cli::terminal::harmless,
    pb::identity::{Identifier, Outcome, Resolution, User, identifier},
};

use super::{Kind, outcome_name};

pub(in super::super) struct Tables<W> {
    writer: W,
    kinds: Vec<Kind>,
}

impl<W: Write> Tables<W> {
    pub(super) fn new(writer: W, kinds: &[Kind]) -> Self {
        let kinds = [Kind::UserId, Kind::OpenId, Kind::UnionId]
            .into_iter()
            .filter(|kind| kinds.contains(kind))
            .collect();
        Self { writer, kinds }
    }

    /// One table for each batch.
    pub(super) fn write(&mut self, answers: &[Resolution]) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let kinds = self.kinds.iter().map(|kind| column_name(*kind));
        let header = ["identifier", "outcome"].into_iter().chain(kinds);
        table.set_header(header.chain(["note"]));
        let nobody = User::default();
        for answer in answers {
            let user = answer.user.as_ref().unwrap_or(&nobody);
            let mut row = vec![
                harmless(text_of(answer.identifier.as_ref())),
                outcome_name(answer).to_lowercase().replace('_', " "),
            ];
            row.extend(self.kinds.iter().map(|kind| harmless(id(user, *kind))));
            row.push(note(answer));
            table.add_row(row);
        }
        writeln!(self.writer, "{}", table.trim_fmt())?;
        self.flush()
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

fn column_name(kind: Kind) -> &'static str {
    match kind {
        Kind::UserId => "user_id",
        Kind::OpenId => "open_id",
        Kind::UnionId => "union_id",
    }
}

fn id(user: &User, kind: Kind) -> &str {
    match kind {
        Kind::UserId => &user.user_id,
        Kind::OpenId => &user.open_id,
        Kind::UnionId => &user.union_id,
    }
}

fn text_of(identifier: Option<&Identifier>) -> &str {
    match identifier.and_then(|identifier| identifier.kind.as_ref()) {
        Some(identifier::Kind::Email(text) | identifier::Kind::Mobile(text)) => text,
        None => "",
    }
}

/// What else there is to know.
fn note(answer: &Resolution) -> String {
    let mut notes = Vec::new();
    if let Some(error) = &answer.error {
        notes.push(harmless(&error.message));
    }
    if answer.outcome() == Outcome::Ambiguous {
        let ids = answer.candidates.iter().filter_map(|user| {
            let kinds = [Kind::UserId, Kind::OpenId, Kind::UnionId];
            kinds
                .map(|kind| id(user, kind))
                .into_iter()
                .find(|id| !id.is_empty())
        });
        notes.push(harmless(&ids.collect::<Vec<_>>().join(" or ")));
    }
    if let Some(status) = answer.user.as_ref().and_then(|user| user.status.as_ref()) {
        let states = [
            (status.resigned, "resigned"),
            (status.exited, "exited"),
            (status.frozen, "frozen"),
            (status.unjoined, "not joined yet"),
        ];
        let states = states.into_iter().filter(|(is, _)| *is);
        notes.extend(states.map(|(_, word)| word.to_owned()));
    }
    if answer.stale {
        notes.push("stale".to_owned());
    }
    notes.join("; ")
}
