//! Several kinds of ID are asked for by calls of their own, and somebody may come in between. Pure.

use tokio::time::Instant;

use crate::identity::UserIdType;

use super::judge::{Judged, Verdict};

/// Who is known not to be there by a call that left before one that found them by another kind of ID, or
/// is known, stale, by one that left before one that did not; and how new an answer about them must be.
pub(super) fn outdated(judged: &Judged) -> Option<(Vec<(usize, UserIdType)>, Instant)> {
    if judged.by_kind.len() < 2 {
        return None;
    }
    let newest_of = |person: usize, is_meant: fn(&Verdict) -> bool| {
        let verdicts = judged.by_kind.iter();
        let verdicts = verdicts.filter_map(|(_, all)| all.get(person)?.as_deref());
        let departures = verdicts
            .filter(|(verdict, _)| is_meant(verdict))
            .filter_map(|(verdict, _)| verdict.departed());
        departures.max()
    };
    let mut outdated = Vec::new();
    let mut newest: Option<Instant> = None;
    for (kind, verdicts) in &judged.by_kind {
        for (person, verdict) in verdicts.iter().enumerate() {
            let Some((verdict, _)) = verdict.as_deref() else {
                continue;
            };
            // Who was found within the TTL stays so: asking both ways would go on for ever if one kind
            // is given and the other never.
            let contrary = match verdict {
                Verdict::NotFound(_) => is_found,
                Verdict::Stale(..) => is_missing,
                _ => continue,
            };
            if let Some(departed) = verdict.departed()
                && let Some(newer) = newest_of(person, contrary).filter(|newer| *newer > departed)
            {
                newest = newest.max(Some(newer));
                outdated.push((person, *kind));
            }
        }
    }
    Some((outdated, newest?))
}

fn is_found(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Found(..) | Verdict::Stale(..))
}

fn is_missing(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::NotFound(_))
}
