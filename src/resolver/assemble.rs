//! From one verdict per kind of ID to one resolution per identifier. Pure.

use std::time::SystemTime;

use crate::identity::{Person, UserIdType};

use super::{
    Answered, Failure, Ids, Reason, Resolution, Resolved, Source,
    judge::{Judged, Verdict},
};

/// What all kinds together say of one identifier. In this order: refused, ambiguous, resolved (if
/// only in part), failed, not found.
pub(super) fn answered(person: usize, judged: &Judged) -> Answered {
    let mut all = Gathered::default();
    let mut from = Source::default();
    for (kind, verdicts) in &judged.by_kind {
        match verdicts.get(person).and_then(Option::as_deref) {
            Some((verdict, source)) => {
                from = from.max(*source);
                all.add(*kind, verdict);
            }
            // Cannot be: everybody who is asked for is judged. Answered rather than left out.
            None => all.failed.push(Failure::unanswered()),
        }
    }
    Answered {
        resolution: all.into_resolution(),
        source: from,
    }
}

/// What one kind says, if it is the only one asked for.
pub(super) fn of_one(kind: UserIdType, verdict: &Verdict) -> Resolution {
    let mut all = Gathered::default();
    all.add(kind, verdict);
    all.into_resolution()
}

#[derive(Default)]
struct Gathered {
    people: Vec<(UserIdType, Person)>,
    candidates: Vec<(UserIdType, Person)>,
    /// The oldest call that told something.
    asked_at: Option<SystemTime>,
    stale: bool,
    refused: Option<Failure>,
    failed: Vec<Failure>,
    missing: Vec<UserIdType>,
}

impl Gathered {
    fn add(&mut self, kind: UserIdType, verdict: &Verdict) {
        match verdict {
            Verdict::Found(asked, person) | Verdict::Stale(asked, person) => {
                self.stale |= matches!(verdict, Verdict::Stale(..));
                self.people.push((kind, person.clone()));
                self.told(asked.at);
            }
            Verdict::Ambiguous(asked, people) => {
                let candidates = people.iter().map(|person| (kind, person.clone()));
                self.candidates.extend(candidates);
                self.told(asked.at);
            }
            Verdict::NotFound(asked) => {
                self.missing.push(kind);
                self.told(asked.at);
            }
            Verdict::Refused(_, refusal) => self.refused = Some(refusal.into()),
            Verdict::NotGranted(failure) | Verdict::Failed(failure) => {
                self.failed.push(failure.clone());
            }
        }
    }

    fn told(&mut self, at: SystemTime) {
        self.asked_at = Some(self.asked_at.map_or(at, |oldest| oldest.min(at)));
    }

    fn into_resolution(self) -> Resolution {
        if let Some(refused) = self.refused {
            return Resolution::Invalid(refused);
        }
        let failed = self.failed.into_iter().next();
        let Some(asked_at) = self.asked_at else {
            return Resolution::Failed(failed.unwrap_or_else(|| {
                Failure::new(Reason::InvalidRequest, "no kind of ID was asked for")
            }));
        };
        if !self.candidates.is_empty() {
            // One person by one kind and several by another are still several.
            let candidates = self.candidates.into_iter().chain(self.people).collect();
            return Resolution::Ambiguous {
                candidates,
                asked_at,
            };
        }
        if self.people.is_empty() {
            return failed.map_or(Resolution::NotFound { asked_at }, Resolution::Failed);
        }
        let status = self.people.iter().find_map(|(_, person)| person.status);
        let lacking = self
            .missing
            .first()
            .map(|kind| Failure::id_kind_not_granted(*kind, None, None));
        let mut ids = Ids::default();
        for (kind, person) in self.people {
            ids.set(kind, person.id);
        }
        Resolution::Resolved(Resolved {
            ids,
            status,
            asked_at,
            stale: self.stale,
            missing: failed.or(lacking).map(Box::new),
        })
    }
}
