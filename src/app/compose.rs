//! The parts behind the services, put together from a configuration, and put together anew from the next
//! one while they run. The first time is no other than the next.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::Instant};

use crate::{
    admin::{Admin, stored::Stored},
    audit::Audit,
    backoff::random,
    cache::{Cache, Ttls},
    callers::Callers,
    config::{Config, TenantConfig, TlsConfig},
    feishu::token::TokenCache,
    metrics::Registry,
    resolver::Resolver,
    server::{Tls, TlsError, TlsTerms},
};

use super::{
    AppError, callers, observe,
    persist::{Bookkeeping, Persisted, Shelves},
    tenant::{Change, Means, Running},
};

/// How long a tenant that is no longer configured is kept: longer than a request of its may still take,
/// and as long as Feishu remembers its calls. Who puts it back meanwhile goes on where it was.
const LINGER: Duration = Duration::from_mins(1);

/// The parts, and what it takes to change them.
pub(super) struct Composer {
    pub(super) resolver: Arc<Resolver>,
    pub(super) admin: Arc<Admin>,
    /// What the listener shows and asks for, if it is encrypted.
    pub(super) tls: Option<Tls>,
    pub(super) callers: Callers,
    means: Means,
    registry: Registry,
    shelves: Option<Arc<Shelves>>,
    bookkeeping: Bookkeeping,
    running: BTreeMap<String, Running>,
    /// Those that are no longer configured, each with the time of its end.
    leaving: Vec<(Instant, Running)>,
    /// The next tenant's number. None is ever used again: the cache knows tenants by it.
    next_number: u32,
    /// Tenants whose answers are being forgotten.
    forgetting: JoinSet<()>,
}

/// What another configuration has changed, for people: names of tenants.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Those that were not there.
    pub added: Vec<String>,
    /// Those that are gone.
    pub removed: Vec<String>,
    /// Those that are reached with other credentials, or another way.
    pub changed: Vec<String>,
    /// There have been callers, and there is none any more.
    pub nobody_may_call: bool,
}

/// What becomes of one configured tenant.
enum Plan {
    Change(Change),
    Start(Box<Running>),
}

impl Composer {
    /// The parts as they are configured.
    pub(super) async fn start(config: &Config, registry: &Registry) -> Result<Self, AppError> {
        let persisted = Persisted::open(config).await;
        if let Some(persisted) = &persisted {
            observe::store(registry, persisted.store());
        }
        let cache = Arc::new(Cache::new(config.cache.capacity, ttls(config), random));
        observe::cache(registry, &cache);
        let resolver = Arc::new(Resolver::new(BTreeMap::new(), None));
        let shelves = persisted.as_ref().map(|p| Arc::new(Shelves::new(p)));
        let stored = shelves.clone().map(|shelves| shelves as Arc<dyn Stored>);
        let audit = Audit::default();
        observe::audit(registry, &audit);
        let mut composer = Self {
            callers: Callers::new(audit),
            admin: Arc::new(Admin::new(resolver.clone(), cache.clone(), stored)),
            resolver,
            tls: tls_terms(config.tls.as_ref())?.map(Tls::new),
            bookkeeping: Bookkeeping::start(persisted.as_ref()),
            means: Means {
                cache,
                tokens: TokenCache::new(),
                persisted,
            },
            registry: registry.clone(),
            shelves,
            running: BTreeMap::new(),
            leaving: Vec::new(),
            next_number: 0,
            forgetting: JoinSet::new(),
        };
        composer.apply(config).await?;
        Ok(composer)
    }

    /// Changes them to what is configured now: all of it, or nothing.
    ///
    /// # Errors
    /// If something cannot be set up; nothing has changed then.
    pub(super) async fn apply(&mut self, config: &Config) -> Result<Changes, AppError> {
        let mut changes = Changes::default();
        let mut plans = Vec::with_capacity(config.tenants.len());
        // First whatever can fail, or takes time.
        if self.tls.is_some() != config.tls.is_some() {
            return Err(AppError::TlsSwitched);
        }
        let terms = tls_terms(config.tls.as_ref())?;
        for tenant in &config.tenants {
            let known = self.known().find(|running| running.is(tenant));
            let change = known.map(|running| running.prepare(config, tenant));
            let plan = match change.transpose()? {
                Some(change) => Plan::Change(change),
                None => Plan::Start(Box::new(self.new_tenant(config, tenant).await?)),
            };
            plans.push((tenant, plan));
        }
        // From here on nothing fails.
        if let (Some(tls), Some(terms)) = (&self.tls, terms) {
            tls.replace(terms);
        }
        self.means.cache.set_ttls(ttls(config));
        let mut before = std::mem::take(&mut self.running);
        for (tenant, plan) in plans {
            let name = &tenant.name;
            let running = match plan {
                Plan::Start(running) => {
                    changes.added.push(name.clone());
                    running.hold(&config.quota);
                    Some(*running)
                }
                Plan::Change(change) => {
                    if change.is_of_access() {
                        changes.changed.push(name.clone());
                    }
                    let running = if before.get(name).is_some_and(|r| r.is(tenant)) {
                        before.remove(name)
                    } else {
                        changes.added.push(name.clone());
                        let left = self.leaving.iter().position(|(_, r)| r.is(tenant));
                        left.map(|index| self.leaving.swap_remove(index).1)
                    };
                    running.inspect(|running| running.change(change))
                }
            };
            self.running
                .extend(running.map(|running| (name.clone(), running)));
        }
        for (name, mut running) in before {
            changes.removed.push(name);
            running.hide();
            self.forget(&running);
            self.leaving.push((Instant::now() + LINGER, running));
        }
        self.publish(config).await;
        // Once there are the tenants that they may ask about.
        changes.nobody_may_call = config.callers.is_empty() && !self.callers.is_open();
        self.callers.replace(callers::settings(config));
        Ok(changes)
    }

    /// All that run, also those that are no longer configured.
    fn known(&self) -> impl Iterator<Item = &Running> {
        let leaving = self.leaving.iter().map(|(_, running)| running);
        self.running.values().chain(leaving)
    }

    async fn new_tenant(
        &mut self,
        config: &Config,
        tenant: &TenantConfig,
    ) -> Result<Running, AppError> {
        let number = self.next_number;
        self.next_number = number.saturating_add(1);
        // One of another name, such as the old one of a tenant that was renamed: what it has spent of the
        // app's quota is spent.
        let same_app = self.known().find(|running| running.is_of_app(tenant));
        Running::start(number, &self.means, config, tenant, same_app).await
    }

    /// Lets everybody see the tenants that there are now.
    async fn publish(&mut self, config: &Config) {
        for running in self.running.values_mut() {
            running.show(&self.registry);
        }
        let named = || self.running.iter().map(|(name, r)| (name.clone(), r));
        let tenants = named().map(|(name, running)| (name, running.tenant.clone()));
        let default = config.default_tenant().map(|tenant| tenant.name.clone());
        self.resolver.replace(tenants.collect(), default);
        let parts = named().map(|(name, running)| (name, running.parts.clone()));
        self.admin.replace(parts.collect());
        if let Some(shelves) = &self.shelves {
            let tiers = self.running.values().filter_map(|running| {
                let tier = running.tier.clone()?;
                Some((running.tenant.number(), tier))
            });
            shelves.replace(tiers.collect());
        }
        self.keep_books().await;
    }

    async fn keep_books(&self) {
        let books = self.known().filter_map(|running| running.books.clone());
        self.bookkeeping.keep(books.collect()).await;
    }

    /// Parts with those whose time has come.
    pub(super) async fn part(&mut self, now: Instant) {
        while self.forgetting.try_join_next().is_some() {}
        let (gone, leaving) = std::mem::take(&mut self.leaving)
            .into_iter()
            .partition::<Vec<_>, _>(|(end, _)| *end <= now);
        self.leaving = leaving;
        if gone.is_empty() {
            return;
        }
        self.keep_books().await;
        for (_, running) in gone {
            // Once more, for what was still under way.
            self.forget(&running);
            if let Some(books) = &running.books {
                books.write(true);
            }
        }
    }

    /// Forgets a tenant's answers. Every entry is looked at, which takes a while: not where requests are
    /// answered.
    fn forget(&mut self, running: &Running) {
        let (cache, number) = (self.means.cache.clone(), running.tenant.number());
        self.forgetting
            .spawn_blocking(move || cache.forget_directory(number));
    }

    /// Ends all tenants and keeps what outlives the process.
    pub(super) async fn close(&mut self) {
        // With the tenants go their calls: from here on none is made.
        self.resolver.replace(BTreeMap::new(), None);
        self.admin.replace(BTreeMap::new());
        self.running.clear();
        self.leaving.clear();
        self.bookkeeping.close().await;
    }
}

fn tls_terms(config: Option<&TlsConfig>) -> Result<Option<TlsTerms>, TlsError> {
    let terms =
        |tls: &TlsConfig| TlsTerms::new(tls.certified.clone(), tls.expires, tls.client_ca.clone());
    config.map(terms).transpose()
}

fn ttls(config: &Config) -> Ttls {
    Ttls {
        found: config.cache.ttl,
        negative: config.cache.negative_ttl,
        serve_stale: config.cache.serve_stale,
    }
}

#[cfg(test)]
mod tests;
