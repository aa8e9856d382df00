//! One request's way, read from top to bottom: who is asked for, once each; what is known already;
//! one flight for each that is not, shared with everybody who asks for the same; what the rows mean;
//! one resolution per identifier, in order.
//!
//! Knows no wire: neither gRPC above nor Feishu below. `grpc` calls it.

mod assemble;
pub mod failure;
mod flight;
mod judge;
mod tenant;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    batch::{Class, WhenFull, Wish},
    caller::CallerId,
    deadline::Deadline,
    identity::{Identifier, InvalidIdentifier, Person, PersonStatus, UserIdType},
};

pub use failure::{Failure, Reason};
pub use tenant::Tenant;

/// A request of up to so many identifiers is interactive, a larger one is bulk.
const INTERACTIVE_UP_TO: usize = 10;

/// Resolves people of every configured tenant.
pub struct Resolver {
    tenants: BTreeMap<String, Arc<Tenant>>,
    default: Option<String>,
}

/// What to resolve.
pub struct ResolveRequest {
    /// The tenant's name; empty means the default one.
    pub tenant: String,
    /// The kinds of ID wanted; none means the user ID.
    pub user_id_types: Vec<UserIdType>,
    /// Whom: what could not be parsed is answered as invalid.
    pub identifiers: Vec<Result<Identifier, InvalidIdentifier>>,
    /// Also people who have left.
    pub include_resigned: bool,
    /// The oldest answer accepted, counted from when its call left; none: as the TTL has it. Zero: of
    /// a call that leaves from now on.
    pub max_age: Option<Duration>,
    /// Who asks.
    pub caller: CallerId,
    /// When the caller stops waiting.
    pub deadline: Deadline,
    /// What to do when too much waits already.
    pub when_full: WhenFull,
}

/// What became of one identifier.
#[derive(Clone, Debug)]
pub enum Resolution {
    /// One person.
    Resolved(Resolved),
    /// Nobody, or nobody whom the app may see.
    NotFound {
        /// When the call left.
        asked_at: SystemTime,
    },
    /// Several people.
    Ambiguous {
        /// Everybody, each with the kind of their ID.
        candidates: Vec<(UserIdType, Person)>,
        /// When the call left.
        asked_at: SystemTime,
    },
    /// Malformed, or refused by the directory.
    Invalid(Failure),
    /// No answer could be had.
    Failed(Failure),
}

/// One person's IDs.
#[derive(Clone)]
pub struct Resolved {
    /// The IDs, by kind.
    pub ids: BTreeMap<UserIdType, String>,
    /// What the directory says of the account.
    pub status: Option<PersonStatus>,
    /// When the call left; with several kinds, the oldest.
    pub asked_at: SystemTime,
    /// Why a kind that was asked for is missing.
    pub missing: Option<Failure>,
}

impl Resolver {
    /// A resolver of these tenants. `default` is the one meant by an empty name.
    pub fn new(tenants: BTreeMap<String, Arc<Tenant>>, default: Option<String>) -> Self {
        Self { tenants, default }
    }

    /// Resolves: one resolution per identifier, in order, by the deadline.
    ///
    /// Cancel-safe: nobody else is cancelled, and what only this request wanted is not asked for.
    ///
    /// # Errors
    /// Only for a request that names no tenant there is. Whether a request all of whose items
    /// failed is an error is for the caller to say.
    pub async fn resolve(&self, request: ResolveRequest) -> Result<Vec<Resolution>, Failure> {
        let tenant = self.tenant(&request.tenant)?;
        let mut kinds = request.user_id_types.clone();
        if kinds.is_empty() {
            kinds.push(UserIdType::UserId);
        }
        kinds.sort_unstable();
        kinds.dedup();
        let people = once_each(&request.identifiers);
        let judged = tenant.judge(&people, &kinds, request.ask()).await;
        let resolve = |identifier: &Result<Identifier, InvalidIdentifier>| match identifier {
            Ok(key) => assemble::resolution(key, &judged),
            Err(invalid) => Resolution::Invalid(invalid.into()),
        };
        Ok(request.identifiers.iter().map(resolve).collect())
    }

    /// The name of the tenant meant: the default one's for an empty name, if there is one.
    pub fn name_of<'a>(&'a self, name: &'a str) -> &'a str {
        match &self.default {
            Some(default) if name.is_empty() => default,
            _ => name,
        }
    }

    fn tenant(&self, name: &str) -> Result<&Arc<Tenant>, Failure> {
        let name = self.name_of(name);
        if name.is_empty() {
            return Err(Failure::new(
                Reason::InvalidRequest,
                "several tenants are configured and none is the default: set tenant",
            ));
        }
        self.tenants.get(name).ok_or_else(|| {
            Failure::new(
                Reason::TenantNotFound,
                "no tenant of this name is configured",
            )
        })
    }
}

impl ResolveRequest {
    fn ask(&self) -> tenant::Ask {
        let class = match self.identifiers.len() {
            0..=INTERACTIVE_UP_TO => Class::Interactive,
            _ => Class::Bulk,
        };
        tenant::Ask {
            include_resigned: self.include_resigned,
            max_age: self.max_age,
            wish: Wish {
                // An answer needs a moment to reach the caller in time.
                deadline: self.deadline.with_margin().instant(),
                class,
                caller: self.caller,
                alone: self.identifiers.len() == 1 && self.user_id_types.len() <= 1,
            },
            when_full: self.when_full,
        }
    }
}

/// The same person asked for twice is asked about once. In the order of the request, so that its
/// first are the first to be asked about.
fn once_each(identifiers: &[Result<Identifier, InvalidIdentifier>]) -> Vec<&Identifier> {
    let mut seen = HashSet::new();
    let valid = identifiers.iter().flatten();
    valid
        .filter(|identifier| seen.insert(*identifier))
        .collect()
}

impl std::fmt::Debug for Resolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolved")
            .field("kinds", &self.ids.keys())
            .field("status", &self.status)
            .field("missing", &self.missing)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
