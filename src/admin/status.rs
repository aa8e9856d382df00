//! How the service and its tenants are, at one moment. No secret, nobody's identifier.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

pub use crate::{
    batch::BreakerState,
    cache::Ttls,
    feishu::token::{Credential, TokenLife},
    quota::{Limit, Month, Usage},
};
use crate::{
    clock,
    resolver::{Failure, Tenant},
};

pub use super::configuration::{Configuration, Refused};
use super::{Admin, TenantParts, stored::StoreStatus};

/// How the service is.
pub struct Status {
    /// When it started.
    pub started_at: SystemTime,
    /// The answers in memory.
    pub cache: CacheStatus,
    /// The answers that outlive the process, if any do.
    pub store: Option<StoreStatus>,
    /// The tenants, by name.
    pub tenants: Vec<TenantStatus>,
    /// What it goes by.
    pub configuration: Configuration,
}

/// The answers in memory.
pub struct CacheStatus {
    /// How many there are.
    pub entries: usize,
    /// How many there may be.
    pub capacity: u64,
    /// How long they live.
    pub ttls: Ttls,
}

/// How a tenant is.
pub struct TenantStatus {
    /// Its name.
    pub name: String,
    /// Whether an empty name means this one.
    pub is_default: bool,
    /// Where its Feishu is.
    pub base_url: String,
    /// The ID of its app.
    pub app_id: String,
    /// What Feishu says of its credentials.
    pub credential: Credential,
    /// The access token in use, if there is one.
    pub token: Option<TokenLife>,
    /// The last error that a call ended with, and when.
    pub last_error: Option<(Failure, SystemTime)>,
    /// For each limit, the shortest first, how many calls are free.
    pub quotas: Vec<(Limit, usize)>,
    /// The calls of this month.
    pub month: Usage,
    /// Whether Feishu is asked.
    pub breaker: BreakerState,
    /// When a call goes ahead to see, if it is not asked.
    pub next_probe_at: Option<SystemTime>,
    /// Entries of its people.
    pub entries: usize,
    /// Lookups that wait for a call.
    pub waiting: usize,
    /// Calls that are not answered yet.
    pub in_flight: usize,
}

impl Admin {
    /// How the service is, and this tenant, or for an empty name all those that may be told of. Waits for
    /// nobody.
    ///
    /// # Errors
    /// If there is no tenant of that name.
    pub fn status(
        &self,
        tenant: &str,
        may_be_told: impl Fn(&str) -> bool,
    ) -> Result<Status, Failure> {
        let all = self.tenants.load();
        let tenants = if tenant.is_empty() {
            // One that goes at this moment is left out.
            let told = all.iter().filter(|(name, _)| may_be_told(name));
            let statuses = told.map(|(name, parts)| self.tenant_status(name, parts));
            statuses.filter_map(Result::ok).collect()
        } else {
            let parts = all.get(tenant).ok_or_else(Failure::no_such_tenant)?;
            vec![self.tenant_status(tenant, parts)?]
        };
        Ok(Status {
            started_at: self.started_at,
            cache: CacheStatus {
                entries: self.cache.len(),
                capacity: self.cache.capacity(),
                ttls: self.cache.ttls(),
            },
            store: self.stored.as_ref().map(|stored| stored.status()),
            tenants,
            configuration: self.configurations.now(),
        })
    }

    fn tenant_status(&self, name: &str, parts: &TenantParts) -> Result<TenantStatus, Failure> {
        let tenant = self.resolver.tenant(name)?;
        let is_default = self.name_of("") == name;
        Ok(of_tenant(name, is_default, &tenant, parts))
    }
}

fn of_tenant(name: &str, is_default: bool, tenant: &Tenant, parts: &TenantParts) -> TenantStatus {
    let now = Instant::now();
    let queue = tenant.queue();
    let tokens = parts.feishu.token_status(now);
    let next_probe_at = match queue.breaker {
        BreakerState::Open { probe_at } => Some(on_the_wall(probe_at, now)),
        BreakerState::Closed | BreakerState::Probing => None,
    };
    let last_error = queue.last_error.map(|last| {
        let failure = Failure {
            // It was about that moment.
            retry_delay: None,
            ..(&*last.error).into()
        };
        (failure, last.at)
    });
    TenantStatus {
        name: name.to_owned(),
        is_default,
        base_url: parts.base_url.clone(),
        app_id: parts.app_id.clone(),
        credential: tokens.credential,
        token: tokens.token,
        last_error,
        quotas: parts.quota.left(),
        month: parts.meter.usage(),
        breaker: queue.breaker,
        next_probe_at,
        entries: tenant.entries(),
        waiting: queue.waiting,
        in_flight: queue.in_flight,
    }
}

/// A moment to come as the wall clock will show it, to the millisecond: both clocks are read here, one
/// after the other.
fn on_the_wall(at: Instant, now: Instant) -> SystemTime {
    let since_1970 = (clock::wall_now() + at.saturating_duration_since(now))
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let millis = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}
