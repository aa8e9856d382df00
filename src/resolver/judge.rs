//! What the directory's rows mean, for one kind of ID: found, not found, ambiguous, or a kind of
//! ID that this app is not given.

use std::{collections::HashMap, time::SystemTime};

use tokio::time::Instant;

use crate::{
    batch::{Looked, LookupError, Lookups, WhenFull},
    directory::{DirectoryErrorKind as Kind, LookupScope},
    identity::{Identifier, Person, UserIdType},
};

use super::{Failure, Tenant};

/// What one kind of ID is asked for with.
#[derive(Clone, Copy)]
pub(super) struct Ask {
    pub(super) kind: UserIdType,
    pub(super) include_resigned: bool,
    pub(super) deadline: Instant,
    pub(super) when_full: WhenFull,
}

/// The meaning of one identifier's rows.
#[derive(Clone)]
pub(super) enum Verdict {
    Found(SystemTime, Person),
    NotFound(SystemTime),
    Ambiguous(SystemTime, Vec<Person>),
    /// The person is there, but not with this kind of ID.
    NotGranted(Failure),
    Refused(Failure),
    Failed(Failure),
}

pub(super) type Verdicts = HashMap<Identifier, Verdict>;

impl Tenant {
    /// Looks the keys up and judges each.
    pub(super) async fn judge(&self, ask: Ask, keys: Vec<Identifier>) -> Verdicts {
        let lookups = self.look_up(ask, keys).await;
        let mut verdicts = Verdicts::with_capacity(lookups.len());
        let mut undecided = Vec::new();
        let mut refused_kind = Vec::new();
        for (key, looked) in lookups {
            if let Err(LookupError::Directory(error)) = &looked
                && error.kind == Kind::IdKindRefused
            {
                let failure =
                    Failure::id_kind_not_granted(ask.kind, Some(error), self.scope_page(ask.kind));
                refused_kind.push(key.clone());
                verdicts.insert(key, Verdict::NotGranted(failure));
                continue;
            }
            let verdict = verdict(looked);
            if let Verdict::Ambiguous(_, people) = &verdict
                && ask.include_resigned
                && people.iter().all(|person| person.status.is_none())
            {
                undecided.push(key.clone());
            }
            verdicts.insert(key, verdict);
        }
        self.prefer_the_active(ask, undecided, &mut verdicts).await;
        self.check_the_kind(ask, refused_kind, &mut verdicts).await;
        verdicts
    }

    async fn look_up(&self, ask: Ask, keys: Vec<Identifier>) -> Lookups {
        if keys.is_empty() {
            return Lookups::new();
        }
        let scope = LookupScope {
            user_id_type: ask.kind,
            include_resigned: ask.include_resigned,
        };
        self.batcher
            .lookup(scope, keys, ask.deadline, ask.when_full)
            .await
    }

    /// Several rows without a status do not say who has left. Asked without the resigned, Feishu
    /// gives the active one's ID alone.
    async fn prefer_the_active(&self, ask: Ask, keys: Vec<Identifier>, verdicts: &mut Verdicts) {
        let active = Ask {
            include_resigned: false,
            when_full: WhenFull::Wait,
            ..ask
        };
        for (key, looked) in self.look_up(active, keys).await {
            match looked {
                // All of them have left: they stay ambiguous.
                Ok(Looked { people, .. }) if people.is_empty() => {}
                looked => {
                    verdicts.insert(key, verdict(looked));
                }
            }
        }
    }

    /// Without its field scope Feishu leaves a kind of ID out of every row, as if it knew nobody.
    /// Unless somebody of this very request got an ID of this kind, who seems missing is looked up by
    /// open ID, which needs no such scope. A scope can be taken away at any time, so what the tenant
    /// gave earlier proves nothing.
    async fn check_the_kind(&self, ask: Ask, refused: Vec<Identifier>, verdicts: &mut Verdicts) {
        // The open ID needs no scope of its own.
        if ask.kind == UserIdType::OpenId {
            return;
        }
        let found = verdicts.values().any(|v| matches!(v, Verdict::Found(..)));
        let mut missing = refused;
        if !found {
            let not_found = |(key, verdict): (&Identifier, &Verdict)| {
                matches!(verdict, Verdict::NotFound(_)).then(|| key.clone())
            };
            missing.extend(verdicts.iter().filter_map(not_found));
        }
        let by_open_id = Ask {
            kind: UserIdType::OpenId,
            when_full: WhenFull::Wait,
            ..ask
        };
        for (key, looked) in self.look_up(by_open_id, missing).await {
            let there = match verdict(looked) {
                Verdict::Found(..) | Verdict::Ambiguous(..) => {
                    let known = match verdicts.get(&key) {
                        Some(Verdict::NotGranted(failure)) => Some(failure.clone()),
                        _ => None,
                    };
                    Verdict::NotGranted(known.unwrap_or_else(|| {
                        Failure::id_kind_not_granted(ask.kind, None, self.scope_page(ask.kind))
                    }))
                }
                other => other,
            };
            verdicts.insert(key, there);
        }
    }
}

/// One identifier's rows, by themselves.
fn verdict(looked: Result<Looked, LookupError>) -> Verdict {
    let Looked { asked_at, people } = match looked {
        Ok(looked) => looked,
        Err(error @ LookupError::Refused(_)) => return Verdict::Refused((&error).into()),
        Err(error) => return Verdict::Failed((&error).into()),
    };
    let mut staying = people.iter().filter(|person| !person.has_left());
    match (people.len(), staying.next(), staying.next()) {
        (0, ..) => Verdict::NotFound(asked_at),
        (_, Some(only), None) => Verdict::Found(asked_at, only.clone()),
        (1, ..) => people
            .into_iter()
            .next()
            .map_or(Verdict::NotFound(asked_at), |only| {
                Verdict::Found(asked_at, only)
            }),
        _ => Verdict::Ambiguous(asked_at, people),
    }
}
