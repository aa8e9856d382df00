//! `feishu.identity.v1.AdminService`: generated messages to administration's words and back, for those
//! who may administer.

use std::{sync::Arc, time::Duration};

use tonic::{Request, Response, Status};

use crate::{
    admin::{
        Admin, Target,
        status::{self as known, BreakerState, Configuration, Credential, Limit},
        stored::StoreStatus,
    },
    audit::{Outcome, Rpc},
    callers::{Caller, Callers, Entered},
    identity::InvalidIdentifier,
    pb::identity::{
        self as pb, FlushCacheRequest, FlushCacheResponse, GetStatusRequest, GetStatusResponse,
        admin_service_server::{AdminService, AdminServiceServer},
        flush_cache_request::Target as Asked,
    },
    resolver::Reason,
};

use super::{access, convert, longest_request, status::Rejection};

/// All tenants, where one could be named.
const ALL: &str = "*";

/// `feishu.identity.v1.AdminService`.
#[derive(Clone)]
pub struct Administration {
    admin: Arc<Admin>,
    callers: Callers,
    max_identifiers: usize,
}

impl Administration {
    /// The service itself. `max_identifiers` is the most that can be flushed by name at a time.
    pub fn new(admin: Arc<Admin>, callers: Callers, max_identifiers: usize) -> Self {
        Self {
            admin,
            callers,
            max_identifiers,
        }
    }

    /// The service, ready to be served.
    pub fn server(
        admin: Arc<Admin>,
        callers: Callers,
        max_identifiers: usize,
    ) -> AdminServiceServer<Self> {
        AdminServiceServer::new(Self::new(admin, callers, max_identifiers))
            .max_decoding_message_size(longest_request(max_identifiers))
    }

    async fn flush(
        &self,
        caller: &Caller,
        request: &FlushCacheRequest,
    ) -> Result<FlushCacheResponse, Box<Rejection>> {
        let target = target(request, self.max_identifiers)?;
        match target {
            Target::AllTenants => access::check_all_tenants(caller),
            _ => access::check_tenant(caller, &self.admin.name_of(&request.tenant)),
        }
        .map_err(|failure| Box::new(Rejection::from(failure)))?;
        let flushed = self
            .admin
            .flush(&request.tenant, &target, request.negative_only)
            .await
            .map_err(|failure| Rejection::about_tenant(access::hidden(caller, failure)))?;
        Ok(FlushCacheResponse {
            flushed_entries: count(flushed.entries),
            flushed_records: count(flushed.records),
        })
    }

    fn status(&self, caller: &Caller, tenant: &str) -> Result<GetStatusResponse, Box<Rejection>> {
        let rights = caller.rights();
        access::check_tenant(caller, tenant).map_err(Rejection::from)?;
        let status = self
            .admin
            .status(tenant, |name| rights.has_tenant(name))
            .map_err(|failure| Rejection::about_tenant(access::hidden(caller, failure)))?;
        let mut response = response(status);
        if !rights.has_all_tenants() {
            // What all tenants have in common would tell of the others.
            response.store = None;
            if let Some(configuration) = &mut response.configuration {
                configuration.refused_reason.clear();
            }
            if let Some(cache) = &mut response.cache {
                cache.entries = response.tenants.iter().map(|tenant| tenant.entries).sum();
            }
        }
        Ok(response)
    }

    /// The answer, booked. `resolved` is the name of the tenant that is meant, or a `*` for all.
    fn answer<T>(
        entered: &Entered,
        (rpc, tenant, resolved): (Rpc, &str, &str),
        answer: Result<T, Box<Rejection>>,
    ) -> Result<Response<T>, Status> {
        let caller = entered.caller();
        let theirs = caller.rights().has_tenant(resolved).then_some(resolved);
        let rejection = match answer {
            Ok(answer) => {
                caller.account().request(rpc, theirs, Outcome::Done);
                return Ok(Response::new(answer));
            }
            Err(rejection) => rejection,
        };
        match rejection.reason() {
            // Not the caller's fault; there is such a tenant.
            Reason::StoreUnavailable | Reason::UpstreamInvalidResponse => {
                caller.account().request(rpc, theirs, Outcome::NotDone);
            }
            reason => access::book(entered, rpc, reason),
        }
        Err(rejection
            .of_tenant(access::name_of(caller, tenant, resolved))
            .into())
    }

    /// Whoever asks, if they may administer.
    fn administrator<T>(&self, request: &mut Request<T>, rpc: Rpc) -> Result<Entered, Status> {
        let entered = access::entered(&self.callers, request)?;
        if let Err(failure) = access::check_admin(entered.caller(), request) {
            access::book(&entered, rpc, failure.reason);
            return Err(Rejection::from(failure).into());
        }
        Ok(entered)
    }
}

#[tonic::async_trait]
impl AdminService for Administration {
    async fn flush_cache(
        &self,
        mut request: Request<FlushCacheRequest>,
    ) -> Result<Response<FlushCacheResponse>, Status> {
        let rpc = Rpc::FlushCache;
        let entered = self.administrator(&mut request, rpc)?;
        let request = request.into_inner();
        let answer = self.flush(entered.caller(), &request).await;
        let resolved = match request.target {
            Some(Asked::AllTenants(_)) => ALL.to_owned(),
            _ => self.admin.name_of(&request.tenant),
        };
        Self::answer(&entered, (rpc, &request.tenant, &resolved), answer)
    }

    async fn get_status(
        &self,
        mut request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let rpc = Rpc::GetStatus;
        let entered = self.administrator(&mut request, rpc)?;
        let tenant = request.into_inner().tenant;
        let answer = self.status(entered.caller(), &tenant);
        // An empty name means all, and not the default one.
        let resolved = if tenant.is_empty() { ALL } else { &tenant };
        Self::answer(&entered, (rpc, &tenant, resolved), answer)
    }
}

/// Whom a request means.
fn target(request: &FlushCacheRequest, max_identifiers: usize) -> Result<Target, Box<Rejection>> {
    let (field, rule) = match &request.target {
        Some(Asked::Identifiers(list)) => return people(&list.identifiers, max_identifiers),
        Some(Asked::Everybody(true)) => return Ok(Target::Everybody),
        Some(Asked::AllTenants(true)) if request.tenant.is_empty() => {
            return Ok(Target::AllTenants);
        }
        Some(Asked::AllTenants(true)) => ("tenant", "must be empty with all_tenants"),
        Some(Asked::Everybody(false)) => ("everybody", "must be true"),
        Some(Asked::AllTenants(false)) => ("all_tenants", "must be true"),
        None => (
            "target",
            "is missing: set identifiers, everybody or all_tenants",
        ),
    };
    Err(Box::new(Rejection::invalid(field, rule)))
}

fn people(identifiers: &[pb::Identifier], most: usize) -> Result<Target, Box<Rejection>> {
    let invalid = |field: &str, rule: &str| Err(Box::new(Rejection::invalid(field, rule)));
    let count = identifiers.len();
    if count == 0 || count > most {
        let rule = format!("must have 1 to {most} entries, has {count}");
        return invalid("identifiers.identifiers", &rule);
    }
    let mut people = Vec::with_capacity(count);
    for (index, identifier) in identifiers.iter().enumerate() {
        match convert::normal_form(identifier) {
            Ok(who) => people.push(who.into_identifier()),
            // The first that is malformed is enough to learn from; a thousand would not fit.
            Err(malformed) => {
                let kind = match malformed {
                    InvalidIdentifier::Empty => "",
                    InvalidIdentifier::Email(_) => ".email",
                    InvalidIdentifier::Mobile(_) => ".mobile",
                };
                let field = format!("identifiers.identifiers[{index}]{kind}");
                return invalid(&field, &format!("is {malformed}"));
            }
        }
    }
    Ok(Target::People(people))
}

fn response(status: known::Status) -> GetStatusResponse {
    let cache = status.cache;
    GetStatusResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        start_time: Some(convert::timestamp(status.started_at)),
        cache: Some(pb::CacheStatus {
            entries: count(cache.entries),
            capacity: long(cache.capacity),
            ttl: duration(cache.ttls.found),
            negative_ttl: duration(cache.ttls.negative),
            serve_stale: duration(cache.ttls.serve_stale),
        }),
        store: status.store.as_ref().map(store),
        tenants: status.tenants.into_iter().map(tenant).collect(),
        configuration: Some(configuration(status.configuration)),
    }
}

fn configuration(configuration: Configuration) -> pb::ConfigurationStatus {
    let refused = configuration.refused;
    let (refused_time, refused_reason) = refused.map(|refused| (refused.at, refused.why)).unzip();
    pb::ConfigurationStatus {
        applied_time: Some(convert::timestamp(configuration.applied_at)),
        refused_time: refused_time.map(convert::timestamp),
        refused_reason: refused_reason.unwrap_or_default(),
    }
}

fn store(store: &StoreStatus) -> pb::StoreStatus {
    pb::StoreStatus {
        kind: store.kind.to_owned(),
        records: long(store.records),
        bytes: long(store.bytes),
        waiting_records: long(store.waiting),
        written_records: long(store.written),
        dropped_records: long(store.dropped),
        failed_reads: long(store.failed_reads),
        failed_writes: long(store.failed_writes),
    }
}

fn tenant(tenant: known::TenantStatus) -> pb::TenantStatus {
    let credentials = match tenant.credential {
        Credential::Unknown => pb::CredentialsState::Unknown,
        Credential::Accepted => pb::CredentialsState::Accepted,
        Credential::Refused => pb::CredentialsState::Refused,
    };
    let breaker = match tenant.breaker {
        BreakerState::Closed => pb::BreakerState::Closed,
        BreakerState::Open { .. } => pb::BreakerState::Open,
        BreakerState::Probing => pb::BreakerState::Probing,
    };
    let (last_error, last_error_time) = tenant.last_error.unzip();
    let month = tenant.month;
    pb::TenantStatus {
        name: tenant.name,
        is_default: tenant.is_default,
        base_url: tenant.base_url,
        app_id: tenant.app_id,
        credentials: credentials.into(),
        last_error: last_error.map(convert::error),
        last_error_time: last_error_time.map(convert::timestamp),
        quotas: tenant.quotas.iter().map(quota).collect(),
        month: Some(pb::MonthStatus {
            month: month.month.to_string(),
            calls: long(month.calls),
            limit: long(month.limit.unwrap_or_default()),
        }),
        token: tenant.token.map(|token| pb::TokenStatus {
            age: duration(token.age),
            expires_in: duration(token.expires_in),
        }),
        breaker: breaker.into(),
        next_probe_time: tenant.next_probe_at.map(convert::timestamp),
        entries: count(tenant.entries),
        waiting_lookups: count(tenant.waiting),
        calls_in_flight: count(tenant.in_flight),
    }
}

fn quota((limit, left): &(Limit, usize)) -> pb::QuotaStatus {
    pb::QuotaStatus {
        limit: count(limit.limit),
        window: duration(limit.length),
        left: count(*left),
    }
}

fn duration(duration: Duration) -> Option<prost_types::Duration> {
    duration.try_into().ok()
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn long(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
