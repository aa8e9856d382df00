//! Several kinds of ID are asked for by calls of their own, and somebody may come in between. Pure.

use tokio::time::Instant;

use crate::identity::UserIdType;

use super::judge::{Judged, Verdict};

/// Who is known not to be there by a call that left before one that found them by another kind of ID,
/// and how new an answer about them must be.
pub(super) fn outdated(judged: &Judged) -> Option<(Vec<(usize, UserIdType)>, Instant)> {
    if judged.by_kind.len() < 2 {
        return None;
    }
    let found = |person: usize| {
        let verdicts = judged
            .by_kind
            .iter()
            .filter_map(|(_, all)| all.get(person)?.as_ref());
        let found = verdicts.filter_map(|(verdict, _)| match verdict {
            Verdict::Found(asked, _) | Verdict::Stale(asked, _) => Some(asked.departed),
            _ => None,
        });
        found.max()
    };
    let mut outdated = Vec::new();
    let mut newest: Option<Instant> = None;
    for (kind, verdicts) in &judged.by_kind {
        for (person, verdict) in verdicts.iter().enumerate() {
            if let Some((Verdict::NotFound(asked), _)) = verdict
                && let Some(found) = found(person).filter(|found| *found > asked.departed)
            {
                newest = newest.max(Some(found));
                outdated.push((person, *kind));
            }
        }
    }
    Some((outdated, newest?))
}
