//! What Feishu says to a call that has arrived. Doubled rows end here, as they do in the adapter:
//! what it gives to the queue is distinct people by key.

use std::{collections::HashMap, time::Duration};

use feishu_id::{
    directory::{DirectoryErrorKind as Kind, LookupBatch},
    identity::{Identifier, Person, UserIdType},
};
use tokio::time::Instant;

use super::{
    ledger::{Given, Question},
    scenario::{Fault, Who},
    world::World,
};

type People = HashMap<Identifier, Vec<Person>>;
/// The answer, and what it says to which question.
type Arrived = (Result<People, Kind>, Vec<(Question, Given)>);

impl World {
    pub(super) fn arrives(&mut self, tenant: usize, batch: &LookupBatch, token: &str, fault: Option<Fault>) -> Arrived {
        let now = Instant::now();
        let at = self.ms(now);
        self.trace.add(at, || format!("{at:>9} arrival of a call of {tenant}"));
        if let Err(broken) = self.tenants[tenant].arrivals.arrive(now) {
            self.breaks(broken);
        }
        match self.refusal(tenant, batch, token, fault) {
            Some((kind, given)) => (Err(kind), given),
            None => self.rows(tenant, batch, fault),
        }
    }

    /// Why the call gets no rows.
    fn refusal(
        &mut self,
        tenant: usize,
        batch: &LookupBatch,
        token: &str,
        fault: Option<Fault>,
    ) -> Option<(Kind, Vec<(Question, Given)>)> {
        let now = Instant::now();
        if let Some(retry_after) = self.tenants[tenant].arrivals.refuses(now) {
            self.tally.fault(match retry_after {
                Some(_) => Fault::ThrottledUntil,
                None => Fault::Throttled,
            });
            return Some((Kind::Throttled { retry_after }, Vec::new()));
        }
        let issued = self.tenants[tenant].tokens.iter_mut().find(|issued| issued.value == token);
        let issued = issued.expect("a token of this tenant's");
        // Half of the rejections are of good tokens, which are given out again.
        issued.revoked |= fault == Some(Fault::TokenRejected) && self.rng.bool();
        if issued.revoked || issued.expires_at <= now || fault == Some(Fault::TokenRejected) {
            return Some((Kind::TokenRejected, Vec::new()));
        }
        let kind = match fault? {
            Fault::Throttled => Kind::Throttled { retry_after: None },
            Fault::ThrottledUntil => {
                let seconds = self.rng.u64(1..=60);
                Kind::Throttled { retry_after: Some(Duration::from_secs(seconds)) }
            }
            Fault::MonthSpent => Kind::MonthlyQuotaSpent,
            Fault::ScopeMissing => Kind::ScopeMissing { scopes: Vec::new() },
            Fault::AppUnavailable => Kind::AppUnavailable,
            Fault::Unavailable => Kind::Unavailable,
            Fault::InvalidResponse => Kind::InvalidResponse,
            Fault::IdKindRefused => return self.kind_refused(tenant, batch),
            Fault::ContentRefused => return Some(self.content_refused(tenant, batch, Vec::new())),
            Fault::CulpritRefused => {
                let culprit = self.rng.usize(..batch.len());
                let culprits = batch.keys().nth(culprit).cloned().into_iter().collect();
                return Some(self.content_refused(tenant, batch, culprits));
            }
            _ => return None,
        };
        Some((kind, Vec::new()))
    }

    /// The open ID needs no scope of its own.
    fn kind_refused(&self, tenant: usize, batch: &LookupBatch) -> Option<(Kind, Vec<(Question, Given)>)> {
        if batch.scope().user_id_type == UserIdType::OpenId {
            return None;
        }
        let questions = self.questions(tenant, batch).into_iter();
        let withheld = questions.map(|question| (question, Given::Withheld));
        Some((Kind::IdKindRefused, withheld.collect()))
    }

    fn content_refused(&self, tenant: usize, batch: &LookupBatch, culprits: Vec<Identifier>) -> (Kind, Vec<(Question, Given)>) {
        let is_named = |who| culprits.iter().any(|culprit| Who::of(culprit) == Some(who));
        let questions = self.questions(tenant, batch).into_iter();
        // Alone in its call it is the culprit too.
        let refused = questions.filter(|question| batch.len() == 1 || is_named(question.who));
        let refused = refused.map(|question| (question, Given::Refused)).collect();
        (Kind::ContentRefused { culprits }, refused)
    }

    fn rows(&mut self, tenant: usize, batch: &LookupBatch, fault: Option<Fault>) -> Arrived {
        let world = &self.tenants[tenant];
        let bad: Vec<_> = batch.keys().filter(|key| world.poison.contains_key(&Who::of(key).unwrap())).collect();
        if !bad.is_empty() {
            self.tally.fault(Fault::CulpritRefused);
            let named = bad.into_iter().filter(|key| world.poison[&Who::of(key).unwrap()]);
            let named = named.cloned().collect();
            let (kind, given) = self.content_refused(tenant, batch, named);
            return (Err(kind), given);
        }
        let kind = batch.scope().user_id_type;
        let is_withheld = world.withheld.contains(&kind);
        if is_withheld && self.rng.bool()
            && let Some((kind, given)) = self.kind_refused(tenant, batch)
        {
            return (Err(kind), given);
        }
        let mut people = People::new();
        let mut given = Vec::new();
        for key in batch.keys() {
            let who = Who::of(key).unwrap();
            let resigned = batch.scope().include_resigned;
            let rows = self.tenants[tenant].people[who.person()].people(tenant, kind, resigned, self.setting.shows_status);
            let rows = self.spoil(rows, fault);
            let question = Question { tenant, kind, resigned, who };
            given.push((question, match rows.as_slice() {
                [] => Given::Absent,
                _ if is_withheld => Given::Withheld,
                _ => Given::Rows(rows.clone()),
            }));
            // A key without people may have an entry or not.
            if !is_withheld && (!rows.is_empty() || self.rng.bool()) {
                people.insert(key.clone(), rows);
            }
        }
        (Ok(people), given)
    }

    fn spoil(&mut self, mut rows: Vec<Person>, fault: Option<Fault>) -> Vec<Person> {
        match fault {
            Some(Fault::RowsMissing) => rows.retain(|_| self.rng.f64() < 0.7),
            Some(Fault::RowsReordered) => self.rng.shuffle(&mut rows),
            Some(Fault::RowsDoubled) => {
                rows.extend(rows.clone());
                let mut distinct: Vec<Person> = Vec::new();
                for row in rows {
                    if distinct.iter().all(|other| other.id != row.id) {
                        distinct.push(row);
                    }
                }
                return distinct;
            }
            _ => {}
        }
        rows
    }
}
