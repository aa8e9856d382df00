//! From one verdict per kind of ID to one resolution per identifier. Pure.

use std::{collections::BTreeMap, time::SystemTime};

use crate::identity::{Identifier, Person, UserIdType};

use super::{
    Failure, Reason, Resolution, Resolved,
    judge::{Verdict, Verdicts},
};

/// What all kinds together say of one identifier. In this order: refused, ambiguous, resolved (if
/// only in part), failed, not found.
pub(super) fn resolution(key: &Identifier, judged: &[(UserIdType, Verdicts)]) -> Resolution {
    let mut all = Gathered::default();
    for (kind, verdicts) in judged {
        match verdicts.get(key) {
            Some(verdict) => all.add(*kind, verdict),
            // Cannot be: every key asked for is judged. Answered rather than left out.
            None => all.failed.push(Failure::new(
                Reason::UpstreamInvalidResponse,
                "no answer came for this identifier",
            )),
        }
    }
    all.into_resolution()
}

#[derive(Default)]
struct Gathered {
    people: Vec<(UserIdType, Person)>,
    candidates: Vec<(UserIdType, Person)>,
    /// The oldest call that told something.
    asked_at: Option<SystemTime>,
    refused: Option<Failure>,
    failed: Vec<Failure>,
    missing: Vec<UserIdType>,
}

impl Gathered {
    fn add(&mut self, kind: UserIdType, verdict: &Verdict) {
        match verdict {
            Verdict::Found(asked, person) => {
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
        let ids: BTreeMap<_, _> = self.people.into_iter().map(|(k, p)| (k, p.id)).collect();
        Resolution::Resolved(Resolved {
            ids,
            status,
            asked_at,
            missing: failed.or(lacking),
        })
    }
}
