//! One request's way, read from top to bottom: what is known already is answered at once, without
//! waiting and without a copy; for the rest one flight for each, shared with everybody who asks for
//! the same; what the rows mean; one resolution per identifier, in order.
//!
//! Knows no wire: neither gRPC above nor Feishu below. `grpc` calls it.

mod assemble;
mod core;
pub mod failure;
mod fallback;
mod flight;
mod judge;
mod outdated;
mod recall;
mod resolution;
mod tenant;
mod tier;
mod traced;
mod unread;
mod upkeep;
mod waits;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, Guard};
use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::time::Instant;

use crate::{
    batch::{Class, WhenFull, Wish},
    caller::CallerId,
    deadline::Deadline,
    identity::{Identifier, InvalidIdentifier, NormalForm, UserIdType},
    metrics::Tally,
};

pub use failure::{Failure, Reason};
pub use recall::{Found, Told};
pub use resolution::{Answered, Ids, Resolution, Resolved, Source};
pub use tenant::Tenant;
pub use tier::Tier;

/// A request of up to so many identifiers is interactive, a larger one is bulk.
const INTERACTIVE_UP_TO: usize = 10;
/// How long a caller waits for a fresh answer when there is a stale one. RFC 8767 §5, "client response
/// timer".
const PATIENCE: Duration = Duration::from_millis(1800);
/// What is left of a deadline at least when a stale answer goes out: so much, or a tenth of it.
const LEAST_LEFT: Duration = Duration::from_millis(20);

/// Resolves people of every configured tenant.
pub struct Resolver {
    /// As they are configured now. Who has begun goes on with those that were there then.
    now: ArcSwap<Tenants>,
}

/// The tenants that there are at one moment.
#[derive(Default)]
pub struct Tenants {
    tenants: BTreeMap<String, Arc<Tenant>>,
    default: Option<String>,
}

/// What to resolve for everybody in a request, and on what terms.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The kinds of ID wanted; none means the user ID.
    pub user_id_types: Kinds,
    /// Also people who have left.
    pub include_resigned: bool,
    /// The oldest answer accepted, counted from when its call left; none: as the TTL has it. Zero: of
    /// a call that leaves from now on.
    pub max_age: Option<Duration>,
    /// How many identifiers there are.
    pub identifiers: usize,
    /// Who asks.
    pub caller: CallerId,
    /// When the caller stops waiting.
    pub deadline: Deadline,
    /// What to do when too much waits already.
    pub when_full: WhenFull,
}

/// Kinds of ID, each once, in the order of the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds([bool; 3]);

/// One request under way: first whom it asks for is recalled, one by one; then who was not known is
/// found out, together.
pub struct Session<'a> {
    tenant: &'a Tenant,
    ask: tenant::Ask,
    kinds: Kinds,
}

impl Resolver {
    /// A resolver of these tenants. `default` is the one meant by an empty name.
    pub fn new(tenants: BTreeMap<String, Arc<Tenant>>, default: Option<String>) -> Self {
        let tenants = Tenants { tenants, default };
        Self {
            now: ArcSwap::from_pointee(tenants),
        }
    }

    /// Resolves people of these tenants from now on. What is under way is finished by the others.
    pub fn replace(&self, tenants: BTreeMap<String, Arc<Tenant>>, default: Option<String>) {
        self.now.store(Arc::new(Tenants { tenants, default }));
    }

    /// The tenants as they are now: to be held only for as long as nothing is waited for.
    #[inline]
    pub fn tenants(&self) -> Guard<Arc<Tenants>> {
        self.now.load()
    }

    /// Resolves: one resolution per identifier, in order, by the deadline.
    ///
    /// Cancel-safe: nobody else is cancelled, and what only this request wanted is not asked for.
    ///
    /// # Errors
    /// As [`Tenants::begin`].
    pub async fn resolve(
        &self,
        tenant: &str,
        terms: &Terms,
        identifiers: &[Result<Identifier, InvalidIdentifier>],
    ) -> Result<Vec<Resolution>, Failure> {
        let tenants = self.now.load_full();
        let session = tenants.begin(tenant, terms)?;
        let mut answers = Vec::with_capacity(identifiers.len());
        let mut unknown = Vec::new();
        for (index, identifier) in identifiers.iter().enumerate() {
            answers.push(match identifier {
                Err(invalid) => Some(Resolution::Invalid(invalid.into())),
                Ok(who) => {
                    let mut found = Resolved::default();
                    match session.recall(&who.into(), &mut found) {
                        Told::Found(_) => Some(Resolution::Resolved(found)),
                        Told::Otherwise(answered) => Some(answered.resolution),
                        Told::Nothing => {
                            unknown.push((index, who.clone()));
                            None
                        }
                    }
                }
            });
        }
        for (index, found_out) in session.find_out(unknown).await {
            if let Some(answer) = answers.get_mut(index) {
                *answer = Some(found_out.resolution);
            }
        }
        let unanswered = || Resolution::Failed(Failure::unanswered());
        Ok(answers
            .into_iter()
            .map(|answer| answer.unwrap_or_else(unanswered))
            .collect())
    }

    /// The tenant of that name, or the default one for an empty name.
    ///
    /// # Errors
    /// If there is none.
    pub fn tenant(&self, name: &str) -> Result<Arc<Tenant>, Failure> {
        self.now.load().get(name).cloned()
    }
}

impl Tenants {
    /// Begins a request.
    ///
    /// # Errors
    /// Only for a request that names no tenant there is. Whether a request all of whose items
    /// failed is an error is for the caller to say.
    pub fn begin(&self, tenant: &str, terms: &Terms) -> Result<Session<'_>, Failure> {
        Ok(Session {
            tenant: self.get(tenant)?,
            ask: terms.ask(),
            kinds: terms.user_id_types.or_user_id(),
        })
    }

    /// The name of the tenant meant: the default one's for an empty name, if there is one.
    pub fn name_of<'a>(&'a self, name: &'a str) -> &'a str {
        match &self.default {
            Some(default) if name.is_empty() => default,
            _ => name,
        }
    }

    fn get(&self, name: &str) -> Result<&Arc<Tenant>, Failure> {
        let name = self.name_of(name);
        if name.is_empty() {
            return Err(Failure::new(
                Reason::InvalidRequest,
                "several tenants are configured and none is the default: set tenant",
            ));
        }
        self.tenants.get(name).ok_or_else(Failure::no_such_tenant)
    }
}

impl Session<'_> {
    /// Counts what is answered.
    pub fn tally(&self) -> Tally<'_> {
        self.tenant.identifiers.tally()
    }

    /// Gives what is known of them already, if that is a whole answer. Never waits.
    #[inline]
    pub fn recall(&self, who: &NormalForm<'_>, found: &mut impl Found) -> Told {
        self.tenant.recall(who, self.kinds, &self.ask, found)
    }

    /// Finds out about those who could not be recalled. Gives back their numbers, each with its
    /// answer, in the order in which they came.
    ///
    /// Cancel-safe, as [`Resolver::resolve`] is.
    pub fn find_out<T: Send + 'static>(
        &self,
        unknown: Vec<(T, Identifier)>,
    ) -> BoxFuture<'_, Vec<(T, Answered)>> {
        // In a box of its own: who is known already does not carry its weight.
        async move {
            if unknown.is_empty() {
                return Vec::new();
            }
            let (people, asked): (Vec<_>, Vec<_>) = once_each(unknown);
            let kinds: Vec<_> = self.kinds.iter().collect();
            let judged = self.tenant.judge(&people, &kinds, &self.ask).await;
            let answered = |(number, index)| (number, assemble::answered(index, &judged));
            asked.into_iter().map(answered).collect()
        }
        .boxed()
    }
}

impl Terms {
    fn ask(&self) -> tenant::Ask {
        let class = match self.identifiers {
            0..=INTERACTIVE_UP_TO => Class::Interactive,
            _ => Class::Bulk,
        };
        let now = Instant::now();
        let left = self.deadline.instant().saturating_duration_since(now);
        let patience = left.saturating_sub(LEAST_LEFT.max(left / 10)).min(PATIENCE);
        tenant::Ask {
            now,
            began: now,
            include_resigned: self.include_resigned,
            max_age: self.max_age,
            // None: so old that nothing is older.
            not_before: self.max_age.and_then(|age| now.checked_sub(age)),
            patience: now + patience,
            wish: Wish {
                // An answer needs a moment to reach the caller in time.
                deadline: self.deadline.with_margin(now).instant(),
                class,
                caller: self.caller,
                alone: self.identifiers == 1 && self.user_id_types.iter().count() <= 1,
            },
            when_full: self.when_full,
        }
    }
}

impl Kinds {
    /// Adds one.
    pub fn add(&mut self, kind: UserIdType) {
        let Self([user, open, union]) = self;
        *match kind {
            UserIdType::UserId => user,
            UserIdType::OpenId => open,
            UserIdType::UnionId => union,
        } = true;
    }

    /// Those that are in.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = UserIdType> {
        let all = [UserIdType::UserId, UserIdType::OpenId, UserIdType::UnionId];
        all.into_iter()
            .zip(self.0)
            .filter_map(|(kind, is_in)| is_in.then_some(kind))
    }

    /// The only one, if it is.
    #[inline]
    fn only(self) -> Option<UserIdType> {
        match self.0 {
            [true, false, false] => Some(UserIdType::UserId),
            [false, true, false] => Some(UserIdType::OpenId),
            [false, false, true] => Some(UserIdType::UnionId),
            _ => None,
        }
    }

    /// Whether there is exactly one.
    fn is_one(self) -> bool {
        self.only().is_some()
    }

    fn or_user_id(mut self) -> Self {
        if self == Self::default() {
            self.add(UserIdType::UserId);
        }
        self
    }
}

impl FromIterator<UserIdType> for Kinds {
    fn from_iter<I: IntoIterator<Item = UserIdType>>(kinds: I) -> Self {
        let mut all = Self::default();
        kinds.into_iter().for_each(|kind| all.add(kind));
        all
    }
}

/// The same person asked for twice is asked about once. In the order of the request, so that its
/// first are the first to be asked about. Says of everybody who came where among those they are.
fn once_each<T>(unknown: Vec<(T, Identifier)>) -> (Vec<Identifier>, Vec<(T, usize)>) {
    let mut indices = std::collections::HashMap::with_capacity(unknown.len());
    let mut people = Vec::with_capacity(unknown.len());
    let mut asked = Vec::with_capacity(unknown.len());
    for (number, identifier) in unknown {
        let index = *indices.entry(identifier.clone()).or_insert_with(|| {
            people.push(identifier);
            people.len() - 1
        });
        asked.push((number, index));
    }
    (people, asked)
}

#[cfg(test)]
mod tests;
