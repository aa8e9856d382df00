//! Administration: forgets answers wherever they are kept, and says how the service and its tenants
//! are. The one who knows the parts of a tenant for this purpose; decides nothing of how they work.
//! `grpc` calls it.

mod configuration;
pub mod status;
pub mod stored;

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::{
    cache::Cache,
    clock,
    feishu::Feishu,
    identity::Identifier,
    quota::{Meter, Quota},
    resolver::{Failure, Reason, Resolver},
};

use configuration::Configurations;
use stored::{Stored, Whose};

/// Looks after a running service.
pub struct Admin {
    resolver: Arc<Resolver>,
    cache: Arc<Cache>,
    stored: Option<Arc<dyn Stored>>,
    tenants: ArcSwap<BTreeMap<String, TenantParts>>,
    started_at: SystemTime,
    configurations: Configurations,
}

/// What belongs to one tenant beside its people.
#[derive(Clone)]
pub struct TenantParts {
    /// Where its Feishu is.
    pub base_url: String,
    /// The ID of its app.
    pub app_id: String,
    /// Its Feishu.
    pub feishu: Arc<Feishu>,
    /// Its share of the rate limit.
    pub quota: Arc<Quota>,
    /// Its calls of the month.
    pub meter: Arc<Meter>,
}

/// Whose answers to forget.
#[derive(Clone)]
pub enum Target {
    /// These people's.
    People(Vec<Identifier>),
    /// Everybody's of the tenant.
    Everybody,
    /// Everybody's of every tenant.
    AllTenants,
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// Entries of memory.
    pub entries: usize,
    /// Records of the store.
    pub records: usize,
}

impl Admin {
    /// Looks after this service from now on: its start counts from here, and its configuration is in force.
    /// There are no tenants yet.
    pub fn new(
        resolver: Arc<Resolver>,
        cache: Arc<Cache>,
        stored: Option<Arc<dyn Stored>>,
    ) -> Self {
        Self {
            resolver,
            cache,
            stored,
            tenants: ArcSwap::default(),
            started_at: clock::wall_now(),
            configurations: Configurations::begin(),
        }
    }

    /// Looks after these tenants from now on: those of the resolver, by name.
    pub fn replace(&self, tenants: BTreeMap<String, TenantParts>) {
        self.tenants.store(Arc::new(tenants));
    }

    /// Another configuration is in force from now on.
    pub fn configuration_applied(&self) {
        self.configurations.applied();
    }

    /// Another configuration was refused, and the one before stays in force. The reason has no secret in it.
    pub fn configuration_refused(&self, why: &str) {
        self.configurations.refused(why);
    }

    /// Forgets answers, or only those that somebody is not there. `tenant` is not looked at if all are
    /// meant.
    ///
    /// # Errors
    /// If there is no such tenant. If the store could not forget: then memory has all the same.
    pub async fn flush(
        &self,
        tenant: &str,
        target: &Target,
        negative_only: bool,
    ) -> Result<Flushed, Failure> {
        let whose = match target {
            Target::AllTenants => Whose::Everybody,
            Target::Everybody => Whose::Directory(self.resolver.tenant(tenant)?.number()),
            Target::People(people) => {
                let directory = self.resolver.tenant(tenant)?.number();
                Whose::People { directory, people }
            }
        };
        // Memory first, so that it is done whatever becomes of the store; from here on answers to calls
        // that had left are not kept, nor is anything taken over from the store. And once more at the
        // end, for what began to be read before.
        let flushing = self.cache.flushing();
        let mut entries = self.forget(tenant, target, negative_only).await?;
        let removed = match &self.stored {
            None => Ok(0),
            Some(stored) => {
                let removed = stored.remove(whose, negative_only).await;
                entries += self.forget(tenant, target, negative_only).await?;
                removed
            }
        };
        drop(flushing);
        let records = removed.map_err(|why| Failure::store_unavailable(&why))?;
        let tenant = match target {
            Target::AllTenants => "all".to_owned(),
            Target::Everybody | Target::People(_) => self.name_of(tenant),
        };
        tracing::info!(tenant, negative_only, entries, records, "flushed");
        Ok(Flushed { entries, records })
    }

    async fn forget(
        &self,
        tenant: &str,
        target: &Target,
        negative_only: bool,
    ) -> Result<usize, Failure> {
        match target {
            Target::AllTenants => self.forget_all(None, negative_only).await,
            Target::Everybody => {
                let number = self.resolver.tenant(tenant)?.number();
                self.forget_all(Some(number), negative_only).await
            }
            Target::People(people) => {
                let tenant = self.resolver.tenant(tenant)?;
                let forgotten = people.iter().map(|who| tenant.forget(who, negative_only));
                Ok(forgotten.sum())
            }
        }
    }

    /// The name of the tenant meant: the default one's for an empty name, if there is one.
    pub fn name_of(&self, tenant: &str) -> String {
        self.resolver.tenants().name_of(tenant).to_owned()
    }

    /// Every entry is looked at, which takes a while: not where requests are answered.
    async fn forget_all(
        &self,
        directory: Option<u32>,
        negative_only: bool,
    ) -> Result<usize, Failure> {
        let cache = self.cache.clone();
        let forget = move || cache.forget_all(directory, negative_only, Instant::now());
        tokio::task::spawn_blocking(forget).await.map_err(|_crash| {
            let message = "memory could not be flushed: a fault of this server's";
            Failure::new(Reason::UpstreamInvalidResponse, message)
        })
    }
}
