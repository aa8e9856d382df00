//! Feishu (or Lark, or a private deployment) as a [`Directory`]: one call over HTTP, with a token
//! from the cache. Never loops, never retries; knows nothing of callers, quota or cache.

mod answer;
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
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::{
    clock,
    directory::{
        Directory, DirectoryError, DirectoryErrorKind as Kind, LookupAnswer, LookupBatch,
        SharedFailure,
    },
    metrics::{Endpoint, Upstream},
    quota::{Meter, MonthSpent},
};

use answer::Head;
use token::{CredentialKey, FetchedToken, TokenCache, TokenSource, TokenStatus, Tokens};
use traced::CallSpan;

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
            access: ArcSwap::from_pointee(api.with_tokens(cache)),
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
        Ok(Some(api.with_tokens(&self.cache)))
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

/// The HTTP side: requests out, classified answers in.
struct Api {
    client: reqwest::Client,
    settings: FeishuSettings,
    meter: Arc<Meter>,
    metrics: Upstream,
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

impl Api {
    fn with_tokens(self, cache: &Arc<TokenCache>) -> Access {
        let settings = &self.settings;
        let key = CredentialKey::new(&settings.base_url, &settings.app_id, &settings.app_secret);
        let (tenant, metrics) = (settings.tenant.clone(), self.metrics.clone());
        let api = Arc::new(self);
        let tokens = TokenCache::tokens(cache, key, api.clone()).of(tenant, metrics);
        Access { api, tokens }
    }

    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.client
            .post(format!("{}{path}", self.settings.base_url))
    }

    /// One call, counted.
    async fn send<T: DeserializeOwned>(
        &self,
        endpoint: Endpoint,
        path: &str,
        request: reqwest::RequestBuilder,
        batch: Option<&LookupBatch>,
    ) -> Result<T, DirectoryError> {
        let began = Instant::now();
        let mut span = CallSpan::begin(&self.settings.base_url, path);
        let request = match span.traceparent() {
            Some(value) if self.settings.traceparent => request.header("traceparent", value),
            _ => request,
        };
        let answer = self.exchange(request, batch, &mut span).await;
        let result = error::counted_as(answer.as_ref().err());
        span.end(answer.as_ref().err(), result);
        self.metrics.called(endpoint, result, began.elapsed());
        answer
    }

    /// Sends, reads the whole answer within the limits, and takes Feishu's code from the body
    /// whatever the HTTP status.
    async fn exchange<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
        batch: Option<&LookupBatch>,
        span: &mut CallSpan,
    ) -> Result<T, DirectoryError> {
        let month = self.meter.count().map_err(month_spent)?;
        let response = request.send().await.map_err(|error| {
            // No connection came about, so nothing of it was sent.
            if error.is_connect() {
                self.meter.take_back(month);
            }
            error::from_transport(&error)
        })?;
        let head = Head::of(&response);
        span.answered(head.status);
        let body = self.body(response, head.log_id.as_ref()).await?;
        head.read(&body, batch).map_err(|mut error| {
            // Feishu itself links to a page for missing scopes alone.
            if matches!(error.kind, Kind::BadCredentials | Kind::AppUnavailable) {
                error.help_url = error.help_url.or_else(|| self.app_page("baseinfo"));
            }
            error
        })
    }

    /// A page of the app's in the developer console, which lives beside the API.
    fn app_page(&self, page: &str) -> Option<String> {
        let Self { settings, .. } = self;
        wire::is_plain(&settings.app_id, 128)
            .then(|| format!("{}/app/{}/{page}", settings.base_url, settings.app_id))
    }

    async fn body(
        &self,
        mut response: reqwest::Response,
        log_id: Option<&String>,
    ) -> Result<Zeroizing<Vec<u8>>, DirectoryError> {
        // It may hold a token.
        let mut body = Zeroizing::new(Vec::new());
        loop {
            match response.chunk().await {
                Ok(None) => return Ok(body),
                Ok(Some(chunk)) => {
                    if body.len() + chunk.len() > self.settings.max_response_bytes {
                        return Err(error::plain(
                            Kind::InvalidResponse,
                            format!(
                                "Feishu's answer is longer than {} bytes",
                                self.settings.max_response_bytes
                            ),
                            log_id.cloned(),
                        ));
                    }
                    body.extend_from_slice(&chunk);
                }
                Err(broken) => {
                    let mut error = error::from_transport(&broken);
                    error.log_id = log_id.cloned();
                    return Err(error);
                }
            }
        }
    }
}

impl TokenSource for Api {
    fn fetch(&self) -> BoxFuture<'_, Result<FetchedToken, DirectoryError>> {
        async move {
            let request = self.post(wire::TOKEN_PATH).json(&wire::TokenRequest {
                app_id: &self.settings.app_id,
                app_secret: self.settings.app_secret.expose_secret(),
            });
            let sent = self.send(Endpoint::Token, wire::TOKEN_PATH, request, None);
            usable(sent.await?)
        }
        .boxed()
    }
}

/// The token of an answer, if it can be one.
fn usable(answer: wire::TokenAnswer) -> Result<FetchedToken, DirectoryError> {
    let value = SecretString::from(answer.tenant_access_token.unwrap_or_default());
    let seconds = answer.expire.and_then(|s| u64::try_from(s).ok());
    let seconds = seconds.unwrap_or(0);
    // A token goes into a header; a JWT of Feishu's newer endpoint takes 4 kB.
    if !wire::is_plain(value.expose_secret(), 16 * 1024) || seconds == 0 {
        let message = "Feishu gave no usable access token".to_owned();
        return Err(error::plain(Kind::InvalidResponse, message, None));
    }
    Ok(FetchedToken {
        value,
        expires_in: Duration::from_secs(seconds),
    })
}

/// This program's share of the month is spent: no call leaves until the next.
fn month_spent(spent: MonthSpent) -> DirectoryError {
    let now = Instant::now();
    let shared = SharedFailure {
        at: now,
        until: now + spent.until_next,
    };
    let message = format!("{spent}: raise it, or wait for the next month");
    DirectoryError {
        shared: Some(Box::new(shared)),
        ..DirectoryError::new(Kind::MonthlyQuotaSpent, message)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place the ban points to")]
fn client(settings: &FeishuSettings) -> Result<reqwest::Client, SetupError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("feishu-id/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.timeout)
        // A redirect would carry the token to wherever it points.
        .redirect(reqwest::redirect::Policy::none())
        // Only the proxy that is configured, none that the environment happens to name.
        .no_proxy()
        // Below the 60 s after which common gateways close idle connections.
        .pool_idle_timeout(Duration::from_secs(45))
        // A half-dead HTTP/2 connection is found by pings, not by calls that hang.
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        // The code decides what is tried again: reqwest must not add calls that no permit covers.
        .retry(reqwest::retry::never());
    if let Some(pem) = &settings.ca_pem {
        let certificates =
            reqwest::Certificate::from_pem_bundle(pem).map_err(|_| SetupError::Ca)?;
        if certificates.is_empty() {
            return Err(SetupError::Ca);
        }
        for certificate in certificates {
            builder = builder.add_root_certificate(certificate);
        }
    }
    if let Some(proxy) = &settings.proxy {
        let proxy = reqwest::Proxy::all(proxy.expose_secret()).map_err(|_| SetupError::Proxy)?;
        builder = builder.proxy(proxy);
    }
    builder
        .build()
        .map_err(|error| SetupError::Client(error.without_url().to_string()))
}
