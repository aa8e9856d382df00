//! Feishu (or Lark, or a private deployment) as a [`Directory`]: one call over HTTP, with a token
//! from the cache. Never loops, never retries; knows nothing of callers, quota or cache.

mod answer;
mod api;
mod error;
#[cfg(fuzz_hooks)]
pub mod fuzzing;
pub mod token;
mod traced;
mod wire;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures_util::{FutureExt as _, future::BoxFuture};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use crate::{
    clock,
    directory::{Directory, DirectoryError, DirectoryErrorKind as Kind, LookupAnswer, LookupBatch},
    metrics::{Endpoint, Upstream},
    quota::Meter,
};

use api::{Api, client, month_spent};
use token::{CredentialKey, TokenCache, TokenStatus, Tokens};

/// How to reach one tenant's Feishu.
#[derive(Clone)]
pub struct FeishuSettings {
    /// Whose it is, for the log.
    pub tenant: String,
    /// Scheme, host and port, without a trailing slash.
    pub base_url: String,
    /// The app's ID.
    pub app_id: String,
    /// The app's secret.
    pub app_secret: SecretString,
    /// PEM of further certificate authorities to trust.
    pub ca_pem: Option<Vec<u8>>,
    /// A proxy's URL, which may hold a password.
    pub proxy: Option<SecretString>,
    /// Most time for a connection.
    pub connect_timeout: Duration,
    /// Most time for a whole call, connection included.
    pub timeout: Duration,
    /// Longest answer that is read, in bytes.
    pub max_response_bytes: usize,
    /// Whether calls for requests that are traced say so, in `traceparent`.
    pub traceparent: bool,
}

/// One tenant's Feishu.
pub struct Feishu {
    /// How it is reached now. A call keeps to what it began with.
    access: ArcSwap<Access>,
    cache: Arc<TokenCache>,
    meter: Arc<Meter>,
    /// Where the calls are counted.
    metrics: Upstream,
}

/// A way to reach one tenant's Feishu: connections and credentials.
pub struct Access {
    api: Arc<Api>,
    tokens: Tokens,
}

/// Why a tenant's Feishu could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The CA file is not PEM.
    #[error("ca_file: not a PEM file of certificates")]
    Ca,
    /// The proxy's URL is none.
    #[error("proxy: not a URL")]
    Proxy,
    /// TLS could not be set up.
    #[error("the HTTP client could not be built: {0}")]
    Client(String),
}

impl Feishu {
    /// Sets the tenant up. Calls nobody: the first lookup fetches the first token.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn new(
        settings: FeishuSettings,
        cache: &Arc<TokenCache>,
        meter: Arc<Meter>,
        metrics: Upstream,
    ) -> Result<Self, SetupError> {
        let api = Api {
            client: client(&settings)?,
            settings,
            meter: meter.clone(),
            metrics: metrics.clone(),
        };
        Ok(Self {
            access: ArcSwap::from_pointee(Access::new(api, cache)),
            cache: cache.clone(),
            meter,
            metrics,
        })
    }

    /// What it takes to reach the same app by other settings; none if these are the ones in use. Changes
    /// nothing before it is given to [`Self::take_up`]. Only another CA file, proxy or timeout costs new
    /// connections.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn prepare(&self, settings: FeishuSettings) -> Result<Option<Access>, SetupError> {
        let access = self.access.load();
        let used = &access.api.settings;
        if settings.is_like(used) {
            return Ok(None);
        }
        let client = if settings.connects_like(used) {
            access.api.client.clone()
        } else {
            client(&settings)?
        };
        let api = Api {
            client,
            settings,
            meter: self.meter.clone(),
            metrics: self.metrics.clone(),
        };
        Ok(Some(Access::new(api, &self.cache)))
    }

    /// Reaches Feishu this way from now on. Calls under way keep to the one before, and the token of a
    /// secret that was replaced is used until there is one for the new secret.
    pub fn take_up(&self, access: Access) {
        access.tokens.follow(&self.access.load().tokens);
        self.access.store(Arc::new(access));
    }

    /// How the tenant's tokens are.
    pub fn token_status(&self, now: Instant) -> TokenStatus {
        self.access.load().tokens.status(now)
    }

    async fn ask(&self, batch: &LookupBatch) -> Result<LookupAnswer, DirectoryError> {
        let access = self.access.load_full();
        let Access { api, tokens } = &*access;
        // Before a token is fetched in vain.
        api.meter.check().map_err(month_spent)?;
        let token = tokens.get().await?;
        let asked_at = clock::wall_now();
        let path = format!(
            "{}?user_id_type={}",
            wire::LOOKUP_PATH,
            batch.scope().user_id_type.as_str()
        );
        let request = api
            .post(&path)
            .bearer_auth(token.expose())
            .json(&wire::LookupRequest::new(batch));
        api.metrics.carries(batch.len());
        let sent = api.send::<wire::LookupReply>(Endpoint::Lookup, &path, request, Some(batch));
        match sent.await {
            Ok(reply) => {
                tokens.accepted(&token);
                let people = reply.data.map(|data| data.into_people(batch));
                Ok(LookupAnswer {
                    asked_at,
                    people: people.unwrap_or_default(),
                })
            }
            Err(error) => {
                match error.kind {
                    Kind::TokenRejected => tokens.rejected(&token, &error),
                    // Feishu looks at these only once it has taken the token.
                    Kind::ScopeMissing { .. }
                    | Kind::ContentRefused { .. }
                    | Kind::IdKindRefused
                    | Kind::MonthlyQuotaSpent => tokens.accepted(&token),
                    _ => {}
                }
                Err(error)
            }
        }
    }
}

impl Access {
    fn new(api: Api, cache: &Arc<TokenCache>) -> Self {
        let FeishuSettings {
            tenant,
            base_url,
            app_id,
            app_secret,
            ..
        } = &api.settings;
        let key = CredentialKey::new(base_url, app_id, app_secret);
        let (tenant, metrics) = (tenant.clone(), api.metrics.clone());
        let api = Arc::new(api);
        let tokens = TokenCache::tokens(cache, key, api.clone()).of(tenant, metrics);
        Self { api, tokens }
    }
}

impl Directory for Feishu {
    fn lookup<'a>(
        &'a self,
        batch: &'a LookupBatch,
    ) -> BoxFuture<'a, Result<LookupAnswer, DirectoryError>> {
        self.ask(batch).boxed()
    }

    fn scope_page(&self, scope: &str) -> Option<String> {
        let access = self.access.load();
        access
            .api
            .app_page(&format!("auth?q={scope}&op_from=openapi&token_type=tenant"))
    }
}

impl FeishuSettings {
    fn is_like(&self, other: &Self) -> bool {
        self.connects_like(other)
            && (&self.base_url, &self.app_id) == (&other.base_url, &other.app_id)
            && self.app_secret.expose_secret() == other.app_secret.expose_secret()
            && self.max_response_bytes == other.max_response_bytes
            && self.traceparent == other.traceparent
    }

    fn proxy_url(&self) -> Option<&str> {
        self.proxy
            .as_ref()
            .map(secrecy::ExposeSecret::expose_secret)
    }

    /// Whether the same connections serve both.
    fn connects_like(&self, other: &Self) -> bool {
        self.ca_pem == other.ca_pem
            && self.proxy_url() == other.proxy_url()
            && self.connect_timeout == other.connect_timeout
            && self.timeout == other.timeout
    }
}
