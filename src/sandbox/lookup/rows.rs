//! The rows of an answer: one for each identifier, more for a shared one, with what the app may
//! see and in the form that the switches want.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Serialize;

use super::{Question, is_email, is_mobile, plain_mobile};
use crate::sandbox::directory::Directory;
use crate::sandbox::faults::{EmailEcho, Faults, Malformed, Misses, MobileEcho, Repeats, RowOrder};
use crate::sandbox::person::{IdKind, Person, Status};

/// The directory as one call sees it.
pub(super) struct View<'a> {
    pub(super) directory: &'a Directory,
    pub(super) faults: &'a Faults,
    pub(super) kind: IdKind,
    pub(super) sees_id: bool,
    pub(super) sees_status: bool,
    pub(super) include_resigned: bool,
}

/// An element of `user_list`. Whatever the kind of ID, its key is `user_id`.
#[derive(Clone, Default, Serialize)]
pub(super) struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mobile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Flags>,
}

/// A status as Feishu spells it.
#[derive(Clone, Copy, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "Feishu's field names")]
struct Flags {
    is_frozen: bool,
    is_resigned: bool,
    is_activated: bool,
    is_exited: bool,
    is_unjoin: bool,
}

impl From<Status> for Flags {
    fn from(status: Status) -> Self {
        Self {
            is_frozen: status == Status::Frozen,
            is_resigned: status == Status::Resigned,
            // Frozen and exited people had activated their account before.
            is_activated: matches!(status, Status::Active | Status::Frozen | Status::Exited),
            is_exited: status == Status::Exited,
            is_unjoin: status == Status::Unjoined,
        }
    }
}

impl View<'_> {
    /// E-mails first, then mobiles, each in the order asked, unless the switches say otherwise.
    pub(super) fn rows(&self, question: &Question, seed: u64) -> Vec<Row> {
        let mut asked = HashSet::new();
        let mut rows = Vec::with_capacity(question.emails.len() + question.mobiles.len());
        for email in &question.emails {
            let skipped = self.faults.malformed == Malformed::Drop && !is_email(email);
            if !skipped && self.is_first(&mut asked, email) {
                self.rows_of_email(email, &mut rows);
            }
        }
        for mobile in &question.mobiles {
            let skipped =
                self.faults.malformed == Malformed::Drop && !is_mobile(self.faults, mobile);
            if !skipped && self.is_first(&mut asked, mobile) {
                self.rows_of_mobile(mobile, &mut rows);
            }
        }
        if self.faults.duplicate_rows {
            rows = rows
                .into_iter()
                .flat_map(|row| [row.clone(), row])
                .collect();
        }
        if self.faults.row_order == RowOrder::Shuffled {
            fastrand::Rng::with_seed(seed).shuffle(&mut rows);
        }
        rows
    }

    fn is_first(&self, asked: &mut HashSet<String>, identifier: &str) -> bool {
        self.faults.duplicates != Repeats::Once || asked.insert(identifier.to_lowercase())
    }

    fn rows_of_email(&self, email: &str, rows: &mut Vec<Row>) {
        let mut found = self.directory.by_email(email);
        if self.faults.email_case_sensitive {
            found.retain(|person| person.email.as_deref() == Some(email));
        }
        if found.is_empty() && self.faults.enterprise_email_matches {
            found = self.directory.by_enterprise_email(email);
        }
        let echo = |person: Option<&Person>| {
            let stored = person.and_then(|person| person.email.clone());
            let echo = match self.faults.email_echo {
                EmailEcho::AsSent => None,
                EmailEcho::AsStored => stored,
            };
            Row {
                email: Some(echo.unwrap_or_else(|| email.to_owned())),
                ..Row::default()
            }
        };
        self.push(found, echo, rows);
    }

    fn rows_of_mobile(&self, mobile: &str, rows: &mut Vec<Row>) {
        let found = self.directory.by_mobile(&plain_mobile(self.faults, mobile));
        let echo = |person: Option<&Person>| {
            let stored = person.and_then(|person| person.mobile.clone());
            let echo = stored.and_then(|stored| match self.faults.mobile_echo {
                MobileEcho::AsSent => None,
                MobileEcho::With86 => Some(stored),
                MobileEcho::Without86 => {
                    Some(stored.strip_prefix("+86").unwrap_or(&stored).to_owned())
                }
            });
            Row {
                mobile: Some(echo.unwrap_or_else(|| mobile.to_owned())),
                ..Row::default()
            }
        };
        self.push(found, echo, rows);
    }

    /// A row for each person who may be seen; for nobody, one with the echo alone.
    fn push(
        &self,
        mut found: Vec<Cow<'_, Person>>,
        echo: impl Fn(Option<&Person>) -> Row,
        rows: &mut Vec<Row>,
    ) {
        found.retain(|person| {
            person.visible && (self.include_resigned || person.status != Status::Resigned)
        });
        if found.is_empty() && self.faults.misses == Misses::Echo {
            rows.push(echo(None));
        }
        for person in found {
            rows.push(Row {
                user_id: self.sees_id.then(|| person.id(self.kind).to_owned()),
                status: self.sees_status.then(|| person.status.into()),
                ..echo(Some(&person))
            });
        }
    }
}
