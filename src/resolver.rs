//! One request's way, read from top to bottom: who is asked for, once each; one lookup per kind of
//! ID; what the rows mean; one resolution per identifier, in order.
//!
//! Knows no wire: neither gRPC above nor Feishu below. `grpc` calls it.

mod assemble;
pub mod failure;
mod judge;

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::{
    batch::{Batcher, WhenFull},
    deadline::Deadline,
    identity::{Identifier, InvalidIdentifier, Person, PersonStatus, UserIdType},
};

pub use failure::{Failure, Reason};

/// Resolves people of every configured tenant.
pub struct Resolver {
    tenants: BTreeMap<String, Tenant>,
    default: Option<String>,
}

/// One tenant: nothing in it is shared with another.
pub struct Tenant {
    batcher: Batcher,
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
    /// The oldest answer accepted. Every answer is new, so far.
    pub max_age: Option<Duration>,
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
    pub fn new(tenants: BTreeMap<String, Tenant>, default: Option<String>) -> Self {
        Self { tenants, default }
    }

    /// Resolves: one resolution per identifier, in order, by the deadline.
    ///
    /// Cancel-safe: calls in flight are abandoned.
    ///
    /// # Errors
    /// Only for a request that names no tenant there is. Whether a request all of whose items
    /// failed is an error is for the caller to say.
    pub async fn resolve(&self, request: ResolveRequest) -> Result<Vec<Resolution>, Failure> {
        let tenant = self.tenant(&request.tenant)?;
        // The same person asked for twice is asked about once.
        let keys: HashSet<&Identifier> = request.identifiers.iter().flatten().collect();
        let keys: Vec<Identifier> = keys.into_iter().cloned().collect();
        let mut kinds = request.user_id_types;
        if kinds.is_empty() {
            kinds.push(UserIdType::UserId);
        }
        kinds.sort_unstable();
        kinds.dedup();
        // An answer needs a moment to reach the caller in time.
        let deadline: Instant = request.deadline.with_margin().instant();
        let asks = kinds.iter().map(|kind| {
            let ask = judge::Ask {
                kind: *kind,
                include_resigned: request.include_resigned,
                deadline,
                when_full: request.when_full,
            };
            tenant.judge(ask, keys.clone())
        });
        let judged: Vec<_> = kinds.iter().copied().zip(join_all(asks).await).collect();
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

    fn tenant(&self, name: &str) -> Result<&Tenant, Failure> {
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

impl Tenant {
    /// A tenant behind this batcher.
    pub fn new(batcher: Batcher) -> Self {
        Self { batcher }
    }

    /// Where the field scope for this kind of ID is requested.
    fn scope_page(&self, kind: UserIdType) -> Option<String> {
        self.batcher.scope_page(failure::field_scope(kind)?)
    }
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
