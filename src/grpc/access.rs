//! What a caller may, asked before a request is looked at any further, and what they are told if they
//! may not.
//!
//! A tenant that the caller may not ask about and one that there is not are one and the same here: only
//! the caller's own list is looked at, and the answer repeats nothing but the name that they wrote. What
//! is looked up, counted or logged is never another tenant's.

use std::time::Duration;

use tokio::time::Instant;
use tonic::{Request, Status};

use crate::{
    audit::{Outcome, Rpc, Why},
    caller::Call,
    callers::{Caller, Callers, Entered, Proof},
    identity::UserIdType,
    resolver::{Failure, Reason, Session, Tenants, Terms},
};

use super::status::Rejection;

/// Younger answers than this need the permission `fresh`: each costs a call to Feishu.
const FRESH: Duration = Duration::from_mins(1);

/// Whom a request is from. The server's gate has found it out, if there was any need to.
pub(super) fn entered<T>(callers: &Callers, request: &mut Request<T>) -> Result<Entered, Status> {
    // Whoever came by no gate has shown nothing.
    let nobody = || callers.enter(Proof::default(), None);
    let entered = request.extensions_mut().remove();
    entered.map_or_else(nobody, Ok).map_err(unauthenticated)
}

/// What whoever may not call is told.
pub fn unauthenticated(why: Why) -> Status {
    let message = match why {
        Why::NoCredential => {
            "this server answers known callers: send the metadata `authorization: Bearer` and a key, \
             or a client certificate"
        }
        Why::MalformedCredential => {
            "the metadata `authorization` must be `Bearer` and a key, and there once"
        }
        Why::UnknownKey => "this key is nobody's here: it may have been replaced",
        Why::UnknownCertificate => "no caller here has a name of this client certificate",
        Why::SeveralCallers => "this client certificate has the names of several callers",
        Why::BadCertificate => "this server asks for a client certificate that it can verify",
        Why::NotTheSame => "the key is not of the same caller as the client certificate",
        Why::Denied => "this caller may not do that",
        Why::TooManyRequests => "this caller has too many requests in flight",
    };
    Rejection::from(Failure::new(Reason::Unauthenticated, message)).into()
}

/// Begins a request, if the caller may make it.
pub(super) fn begin<'a>(
    tenants: &'a Tenants,
    caller: &Caller,
    tenant: &str,
    terms: &Terms,
) -> Result<Session<'a>, Failure> {
    check_tenant(caller, tenants.name_of(tenant))?;
    let kinds = terms.user_id_types.iter();
    // None means this one.
    let default = (kinds.count() == 0).then_some(UserIdType::UserId);
    let mut kinds = terms.user_id_types.iter().chain(default);
    if let Some(kind) = kinds.find(|kind| !caller.rights().has_kind(*kind)) {
        let kind = kind.as_str();
        let message = format!(
            "this caller may not ask for {kind}: ask for another kind of ID, or the server's \
             operator to allow this one"
        );
        return Err(Failure::new(Reason::PermissionDenied, message));
    }
    if terms.max_age.is_some_and(|age| age < FRESH) && !caller.rights().fresh {
        return Err(Failure::new(
            Reason::PermissionDenied,
            "a max_age under 60 seconds needs the permission fresh, which this caller does not have: \
             ask for 60 seconds or more, or leave max_age out",
        ));
    }
    tenants
        .begin(tenant, terms)
        .map_err(|failure| hidden(caller, failure))
}

/// Whether the caller may ask about this tenant; the name is that of the default one by now.
pub(super) fn check_tenant(caller: &Caller, name: &str) -> Result<(), Failure> {
    // Empty is no tenant at all, which the resolver says.
    if name.is_empty() || caller.rights().has_tenant(name) {
        return Ok(());
    }
    Err(no_such_tenant())
}

/// A failure as this caller may see it: to those who are known by name a tenant that there is not is
/// one that they may not ask about.
pub(super) fn hidden(caller: &Caller, failure: Failure) -> Failure {
    match failure.reason {
        Reason::TenantNotFound if !caller.is_anonymous() => no_such_tenant(),
        _ => failure,
    }
}

fn no_such_tenant() -> Failure {
    let message = "there is no tenant of this name that this caller may ask about";
    Failure::new(Reason::PermissionDenied, message)
}

/// The tenant's name as this caller may hear it: what the empty name means only they learn who may ask
/// about it.
pub(super) fn name_of<'a>(caller: &Caller, tenant: &'a str, resolved: &'a str) -> &'a str {
    if caller.rights().has_tenant(resolved) {
        resolved
    } else {
        tenant
    }
}

/// Whether the caller may administer.
pub(super) fn check_admin<T>(caller: &Caller, request: &Request<T>) -> Result<(), Failure> {
    let message = if caller.is_anonymous() {
        // Until callers are configured, whoever is on this machine may.
        let call = request.extensions().get::<Call>();
        if call.is_some_and(|call| call.peer.is_loopback()) {
            return Ok(());
        }
        "administration is for callers on the same machine as the server: call it by a loopback \
         address, such as 127.0.0.1"
    } else if caller.rights().admin {
        return Ok(());
    } else {
        "administration needs the permission admin, which this caller does not have"
    };
    Err(Failure::new(Reason::PermissionDenied, message))
}

/// Whether the caller may do what concerns all tenants, also those they know nothing of.
pub(super) fn check_all_tenants(caller: &Caller) -> Result<(), Failure> {
    if caller.rights().has_all_tenants() {
        return Ok(());
    }
    let message = "all_tenants is for callers who may ask about all tenants: flush one by its name";
    Err(Failure::new(Reason::PermissionDenied, message))
}

/// The caller asks for too much; says when to come back.
pub(super) fn rate_limited(until: Instant) -> Failure {
    let mut failure = Failure::new(
        Reason::RateLimited,
        "this caller asks for more identifiers a second than it may: come back later, or ask the \
         server's operator for more (identifiers_per_second)",
    );
    failure.retry_delay = Some(until.saturating_duration_since(Instant::now()));
    failure
}

/// Books a request that is refused. No tenant is named: it may be none of the caller's, or made up.
pub(super) fn book(entered: &Entered, rpc: Rpc, reason: Reason) {
    let outcome = match reason {
        Reason::PermissionDenied => {
            entered.denied();
            Outcome::Denied
        }
        Reason::RateLimited => Outcome::RateLimited,
        _ => Outcome::BadRequest,
    };
    entered.caller().account().request(rpc, None, outcome);
}
