//! What the directory's rows mean, for one kind of ID: found, not found, ambiguous, or a kind of
//! ID that this app is not given. Pure.

use tokio::time::Instant;

use crate::{
    batch::{Looked, LookupError},
    cache::{Answer, Asked, Fact, Refusal},
    identity::{Person, UserIdType},
};

use super::{Failure, Reason, Source};

/// The meaning of one identifier's rows.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    Found(Asked, Person),
    /// Found, but past its TTL.
    Stale(Asked, Person),
    NotFound(Asked),
    Ambiguous(Asked, Vec<Person>),
    /// The directory refuses this identifier: an answer.
    Refused(Asked, Refusal),
    /// The person is there, but not with this kind of ID.
    NotGranted(Failure),
    Failed(Failure),
}

/// One verdict for each person, once there is one, and where it comes from.
/// In a box of its own, since a stream may have thousands who wait for theirs.
pub(super) type Verdicts = Vec<Option<Box<(Verdict, Source)>>>;

/// Verdicts by kind of ID, in the order of the people asked for.
#[derive(Default)]
pub(super) struct Judged {
    pub(super) by_kind: Vec<(UserIdType, Verdicts)>,
}

impl Judged {
    pub(super) fn new(people: usize, kinds: &[UserIdType]) -> Self {
        let nothing = |kind: &UserIdType| (*kind, vec![None; people]);
        Self {
            by_kind: kinds.iter().map(nothing).collect(),
        }
    }

    pub(super) fn set(
        &mut self,
        person: usize,
        kind: UserIdType,
        verdict: Verdict,
        source: Source,
    ) {
        let verdicts = self.by_kind.iter_mut().find(|(other, _)| *other == kind);
        if let Some(slot) = verdicts.and_then(|(_, all)| all.get_mut(person)) {
            *slot = Some(Box::new((verdict, source)));
        }
    }
}

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

    /// What was remembered; none if that cannot be read.
    pub(super) fn of_answer(answer: &Answer<'_>) -> Option<Self> {
        let asked = answer.asked();
        Some(match answer.fact()? {
            Fact::Found(person) if answer.is_stale() => Self::Stale(asked, person),
            Fact::Found(person) => Self::Found(asked, person),
            Fact::NotFound => Self::NotFound(asked),
            Fact::Ambiguous(people) => Self::Ambiguous(asked, people),
            Fact::Refused(refusal) => Self::Refused(asked, refusal),
        })
    }

    /// What it says that is worth keeping: failures are not.
    pub(super) fn fact(&self) -> Option<(Asked, Fact)> {
        Some(match self {
            Self::Found(asked, person) => (*asked, Fact::Found(person.clone())),
            Self::NotFound(asked) => (*asked, Fact::NotFound),
            Self::Ambiguous(asked, people) => (*asked, Fact::Ambiguous(people.clone())),
            Self::Refused(asked, refusal) => (*asked, Fact::Refused(refusal.clone())),
            Self::Stale(..) | Self::NotGranted(_) | Self::Failed(_) => return None,
        })
    }

    /// When the call left, of those who were found or missing.
    pub(super) fn departed(&self) -> Option<Instant> {
        match self {
            Self::Found(asked, _) | Self::Stale(asked, _) | Self::NotFound(asked) => {
                Some(asked.departed)
            }
            _ => None,
        }
    }

    /// Whether nobody had the time to find out.
    pub(super) fn is_late(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.reason == Reason::DeadlineExceeded)
    }

    /// Whether several rows came that do not say who has left.
    pub(super) fn is_undecided(&self) -> bool {
        match self {
            Self::Ambiguous(_, people) => people.iter().all(|person| person.status.is_none()),
            _ => false,
        }
    }
}
