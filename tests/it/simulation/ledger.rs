//! What Feishu has given, call by call: the only thing that an answer may be made of.

use std::{collections::HashMap, fmt, time::SystemTime};

use feishu_id::{
    directory::DirectoryErrorKind as Kind,
    identity::{Person, UserIdType},
};
use tokio::time::Instant;

use super::scenario::Who;

/// Everything that changes an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Question {
    pub(super) tenant: usize,
    pub(super) kind: UserIdType,
    pub(super) resigned: bool,
    pub(super) who: Who,
}

/// What one call said to one question.
#[derive(Clone, Debug)]
pub(super) enum Given {
    /// Somebody, or several.
    Rows(Vec<Person>),
    /// Nobody, and nobody is there to be seen.
    Absent,
    /// Nobody, since this kind of ID is not given to this app.
    Withheld,
    /// The identifier is at fault.
    Refused,
}

#[derive(Clone)]
pub(super) struct Record {
    pub(super) departed: Instant,
    pub(super) wall: SystemTime,
    pub(super) given: Given,
}

impl fmt::Debug for Record {
    /// Without moments of the real clock, which differ from run to run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.given.fmt(f)
    }
}

/// A call that failed.
pub(super) struct FailedCall {
    pub(super) tenant: usize,
    pub(super) ended: Instant,
    pub(super) kind: Kind,
}

#[derive(Default)]
pub(super) struct Ledger {
    records: HashMap<Question, Vec<Record>>,
    pub(super) failures: Vec<FailedCall>,
    /// Calls that Feishu answered, whatever it said.
    pub(super) answered: Vec<(usize, Instant)>,
}

impl Ledger {
    pub(super) fn add(&mut self, question: Question, record: Record) {
        self.records.entry(question).or_default().push(record);
    }

    /// In the order in which the answers came.
    pub(super) fn of(&self, question: Question) -> &[Record] {
        self.records.get(&question).map_or(&[], Vec::as_slice)
    }
}

/// What rows mean, said once more and apart from the resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    One(String),
    Several(Vec<String>),
}

impl Given {
    pub(super) fn meaning(&self) -> Option<Meaning> {
        let Self::Rows(people) = self else {
            return None;
        };
        let staying: Vec<_> = people.iter().filter(|person| !person.has_left()).collect();
        Some(match (people.as_slice(), staying.as_slice()) {
            ([only], _) => Meaning::One(only.id.clone()),
            (_, [only]) => Meaning::One(only.id.clone()),
            _ => Meaning::Several(sorted(people.iter().map(|person| person.id.clone()))),
        })
    }

    /// Whether several rows do not say who has left.
    pub(super) fn is_undecided(&self) -> bool {
        matches!(self, Self::Rows(people) if people.len() > 1 && people.iter().all(|p| p.status.is_none()))
    }
}

pub(super) fn sorted(ids: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut ids: Vec<_> = ids.into_iter().collect();
    ids.sort_unstable();
    ids
}
