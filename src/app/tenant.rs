//! One tenant: what it is made of, and what of it changes while it runs.

use std::{sync::Arc, time::Duration};

use crate::{
    admin::TenantParts,
    backoff::random,
    batch::{BatchSettings, Batcher},
    cache::Cache,
    clock,
    config::{Config, QuotaConfig, TenantConfig},
    feishu::{Access, Feishu, FeishuSettings, SetupError, token::TokenCache},
    metrics::{Identifiers, Registry, Shown, Upstream, Waited},
    quota::{Limit, Meter},
    resolver::{Tenant, Tier},
};

use super::{
    AppError, observe,
    persist::{self, Books, Persisted},
};

/// What all tenants share.
pub(super) struct Means {
    pub(super) cache: Arc<Cache>,
    pub(super) tokens: Arc<TokenCache>,
    pub(super) persisted: Option<Persisted>,
}

/// A tenant that runs. It ends with whoever asks it last.
pub(super) struct Running {
    name: String,
    pub(super) tenant: Arc<Tenant>,
    pub(super) parts: TenantParts,
    pub(super) tier: Option<Arc<Tier>>,
    pub(super) books: Option<Arc<Books>>,
    metrics: Registry,
    shown: Option<Shown>,
}

/// What changes of a tenant that runs. It is made before anything changes, so that nothing can fail half
/// way.
pub(super) struct Change {
    quota: QuotaConfig,
    access: Option<Access>,
}

impl Running {
    /// Starts a tenant. `number` is its own in the cache, and no other's before or after it. `same_app` is
    /// one of the same app, with which it shares the quota.
    pub(super) async fn start(
        number: u32,
        means: &Means,
        config: &Config,
        tenant: &TenantConfig,
        same_app: Option<&Self>,
    ) -> Result<Self, AppError> {
        // Of its own, so that they can go with the tenant.
        let metrics = Registry::default();
        let name = &tenant.name;
        let meter = match same_app {
            Some(other) => other.parts.meter.clone(),
            None => meter(name, config),
        };
        meter.pass_to(name);
        observe::month(&metrics, name, meter.clone());
        let feishu = Feishu::new(
            feishu_settings(config, tenant),
            &means.tokens,
            meter.clone(),
            Upstream::new(&metrics, name),
        );
        let feishu = Arc::new(feishu.map_err(|source| of_tenant(name, source))?);
        let persisted = means.persisted.as_ref();
        let tier = persisted.map(|persisted| Arc::new(persisted.tier(tenant)));
        let quota = if let Some(other) = same_app {
            other.parts.quota.clone()
        } else {
            let limits = limits(&config.quota);
            Arc::new(persist::quota(&limits, tier.as_deref(), &meter).await)
        };
        let settings = BatchSettings {
            tenant: name.clone(),
            max_in_flight: config.upstream.max_in_flight,
            max_queue: config.quota.max_queue,
            random,
            waited: Waited::new(&metrics, name),
        };
        let batcher = Batcher::new(feishu.clone(), quota.clone(), settings);
        observe::queue(&metrics, name, batcher.gauge());
        let books = tier
            .as_ref()
            .map(|tier| Arc::new(Books::new(tier.clone(), quota.clone(), meter.clone())));
        let identifiers = Identifiers::new(&metrics, name);
        Ok(Self {
            name: name.clone(),
            tenant: Tenant::new(
                number,
                batcher,
                means.cache.clone(),
                tier.clone(),
                identifiers,
            ),
            parts: TenantParts {
                base_url: tenant.base_url.clone(),
                app_id: tenant.app_id.clone(),
                feishu,
                quota,
                meter,
            },
            tier,
            books,
            metrics,
            shown: None,
        })
    }

    /// Whether it is that very tenant: the same app at the same Feishu under the same name. Everything
    /// else can change while it runs.
    pub(super) fn is(&self, tenant: &TenantConfig) -> bool {
        self.name == tenant.name && self.is_of_app(tenant)
    }

    /// Whether it is of that app, by whatever name.
    pub(super) fn is_of_app(&self, tenant: &TenantConfig) -> bool {
        let parts = &self.parts;
        (&parts.base_url, &parts.app_id) == (&tenant.base_url, &tenant.app_id)
    }

    /// What has to change for it to be as it is configured.
    pub(super) fn prepare(
        &self,
        config: &Config,
        tenant: &TenantConfig,
    ) -> Result<Change, AppError> {
        let access = self.parts.feishu.prepare(feishu_settings(config, tenant));
        Ok(Change {
            quota: config.quota.clone(),
            access: access.map_err(|source| of_tenant(&self.name, source))?,
        })
    }

    pub(super) fn change(&self, change: Change) {
        self.hold(&change.quota);
        if let Some(access) = change.access {
            self.parts.feishu.take_up(access);
            self.tenant.may_be_mended();
        }
    }

    /// Holds these limits, whatever has been spent.
    pub(super) fn hold(&self, quota: &QuotaConfig) {
        self.parts.quota.set_limits(&limits(quota));
        let meter = &self.parts.meter;
        if meter.set(quota.per_month, quota.time_zone.clone()) {
            self.tenant.may_be_mended();
        }
    }

    /// Shows its metrics beside the others'.
    pub(super) fn show(&mut self, registry: &Registry) {
        let metrics = &self.metrics;
        self.shown.get_or_insert_with(|| registry.show(metrics));
    }

    /// Shows them no longer.
    pub(super) fn hide(&mut self) {
        self.shown = None;
    }
}

impl Change {
    /// Whether it is reached by other credentials, or another way.
    pub(super) fn is_of_access(&self) -> bool {
        self.access.is_some()
    }
}

fn of_tenant(name: &str, source: SetupError) -> AppError {
    AppError::Tenant {
        tenant: name.to_owned(),
        source,
    }
}

fn meter(tenant: &str, config: &Config) -> Arc<Meter> {
    let QuotaConfig {
        per_month,
        time_zone,
        ..
    } = &config.quota;
    let meter = Meter::new(tenant, *per_month, time_zone.clone(), clock::wall_now);
    Arc::new(meter)
}

fn limits(quota: &QuotaConfig) -> [Limit; 2] {
    let limit = |limit: u32, seconds| Limit {
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        length: Duration::from_secs(seconds),
    };
    [limit(quota.per_second, 1), limit(quota.per_minute, 60)]
}

fn feishu_settings(config: &Config, tenant: &TenantConfig) -> FeishuSettings {
    FeishuSettings {
        tenant: tenant.name.clone(),
        base_url: tenant.base_url.clone(),
        app_id: tenant.app_id.clone(),
        app_secret: tenant.app_secret.clone(),
        ca_pem: tenant.ca_pem.clone(),
        proxy: tenant.proxy.clone(),
        connect_timeout: config.upstream.connect_timeout,
        timeout: config.upstream.timeout,
        max_response_bytes: config.upstream.max_response_bytes,
        traceparent: config.telemetry.traceparent_to_feishu,
    }
}
