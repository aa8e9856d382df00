//! The HTTP side of Feishu: requests out, classified answers in, each call counted and measured. Knows of
//! tokens only how one is asked for.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::{
    directory::{DirectoryError, DirectoryErrorKind as Kind, LookupBatch, SharedFailure},
    metrics::{Endpoint, Upstream},
    quota::{Meter, MonthSpent},
};

use super::{
    FeishuSettings, SetupError,
    answer::Head,
    error,
    token::{FetchedToken, TokenSource},
    traced::CallSpan,
    wire,
};

/// One way to reach a tenant's Feishu.
pub(super) struct Api {
    pub(super) client: reqwest::Client,
    pub(super) settings: FeishuSettings,
    pub(super) meter: Arc<Meter>,
    pub(super) metrics: Upstream,
}

impl Api {
    pub(super) fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.client
            .post(format!("{}{path}", self.settings.base_url))
    }

    /// One call, counted.
    pub(super) async fn send<T: DeserializeOwned>(
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
    pub(super) fn app_page(&self, page: &str) -> Option<String> {
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
pub(super) fn usable(answer: wire::TokenAnswer) -> Result<FetchedToken, DirectoryError> {
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
pub(super) fn month_spent(spent: MonthSpent) -> DirectoryError {
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
pub(super) fn client(settings: &FeishuSettings) -> Result<reqwest::Client, SetupError> {
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
