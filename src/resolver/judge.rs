//! What the directory's rows mean, for one kind of ID: found, not found, ambiguous, or a kind of
//! ID that this app is not given. Pure.

use std::collections::HashMap;

use crate::{
    batch::{Looked, LookupError},
    cache::{Answer, Asked, Fact, Refusal},
    identity::{Identifier, Person, UserIdType},
};

use super::Failure;

/// The meaning of one identifier's rows.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    Found(Asked, Person),
    NotFound(Asked),
    Ambiguous(Asked, Vec<Person>),
    /// The directory refuses this identifier: an answer.
    Refused(Asked, Refusal),
    /// The person is there, but not with this kind of ID.
    NotGranted(Failure),
    Failed(Failure),
}

pub(super) type Verdicts = HashMap<Identifier, Verdict>;

/// Verdicts by kind of ID.
pub(super) type Judged = Vec<(UserIdType, Verdicts)>;

impl Verdict {
    /// One identifier's rows, by themselves.
    pub(super) fn of(looked: Looked) -> Self {
        let asked = Asked {
            departed: looked.departed,
            at: looked.asked_at,
        };
        let people = looked.people;
        let mut staying = people.iter().filter(|person| !person.has_left());
        match (people.len(), staying.next(), staying.next()) {
            (0, ..) => Self::NotFound(asked),
            (_, Some(only), None) => Self::Found(asked, only.clone()),
            (1, ..) => {
                let only = people.into_iter().next();
                only.map_or(Self::NotFound(asked), |only| Self::Found(asked, only))
            }
            _ => Self::Ambiguous(asked, people),
        }
    }

    /// What could not be looked up.
    pub(super) fn of_error(error: &LookupError, asked: Asked) -> Self {
        match error {
            LookupError::Refused(error) => Self::Refused(asked, (&**error).into()),
            other => Self::Failed(other.into()),
        }
    }

    /// What it says that is worth keeping: failures are not.
    pub(super) fn fact(&self) -> Option<(Asked, Fact)> {
        Some(match self {
            Self::Found(asked, person) => (*asked, Fact::Found(person.clone())),
            Self::NotFound(asked) => (*asked, Fact::NotFound),
            Self::Ambiguous(asked, people) => (*asked, Fact::Ambiguous(people.clone())),
            Self::Refused(asked, refusal) => (*asked, Fact::Refused(refusal.clone())),
            Self::NotGranted(_) | Self::Failed(_) => return None,
        })
    }

    /// Whether several rows came that do not say who has left.
    pub(super) fn is_undecided(&self) -> bool {
        match self {
            Self::Ambiguous(_, people) => people.iter().all(|person| person.status.is_none()),
            _ => false,
        }
    }
}

impl From<Answer> for Verdict {
    fn from(answer: Answer) -> Self {
        let asked = Asked {
            departed: answer.departed,
            at: answer.asked_at,
        };
        match answer.fact {
            Fact::Found(person) => Self::Found(asked, person),
            Fact::NotFound => Self::NotFound(asked),
            Fact::Ambiguous(people) => Self::Ambiguous(asked, people),
            Fact::Refused(refusal) => Self::Refused(asked, refusal),
        }
    }
}
