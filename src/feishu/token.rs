//! The tenant access token: one request for it at a time, however many callers wait; refreshed
//! ahead while it is in use; dropped when Feishu rejects it. When the app's secret changes, the token of
//! the old one is used until there is one of the new. Knows neither HTTP nor lookups.
//!
//! Facts it builds on (Feishu's page `tenant_access_token_internal`, read 2026-11-23): a token
//! lives at most 2 h; while it has 30 min or more left, asking gives the same token again; below
//! that a new one, and both are valid to their own end.

mod state;
mod status;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::{
    backoff::{Random, random},
    coalesce::Flights,
    directory::{DirectoryError, DirectoryErrorKind as Kind},
    metrics::{CallResult, Upstream},
    trace::{self, Parent, Scope, Span},
};

use super::error::counted_as;

use state::{Choice, State};

pub use status::{Credential, TokenLife, TokenStatus};

/// Asking earlier than this before the end gives the same token again.
const RENEWABLE: Duration = Duration::from_mins(30);
/// A refresh begins at least this long before the end, so that a failed one can be tried again.
const LATEST_REFRESH: Duration = Duration::from_mins(10);
/// Longest life that is believed. Feishu's is 2 h.
const LONGEST_LIFE: Duration = Duration::from_hours(24);
/// Whoever gives out tokens: Feishu's classic endpoint now, its OAuth endpoint to come.
pub trait TokenSource: Send + Sync + 'static {
    /// Asks once for a token; ends within a bound of its own.
    fn fetch(&self) -> BoxFuture<'_, Result<FetchedToken, DirectoryError>>;
}

/// A token as it was given.
pub struct FetchedToken {
    /// The token.
    pub value: SecretString,
    /// The life it has left.
    pub expires_in: Duration,
}

/// A token in use.
pub struct Token {
    value: SecretString,
    asked_at: Instant,
    /// From here on it is refreshed when used.
    refresh_at: Instant,
    /// Counted from before it was asked for, so never too late.
    expires_at: Instant,
}

impl Token {
    /// The token itself: only for the `Authorization` header.
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }
}

/// What a token belongs to. The secret is part of it, as a hash: a wrong secret must not be served
/// the token that the right one fetched.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CredentialKey {
    base_url: String,
    app_id: String,
    secret_hash: [u8; 32],
}

impl CredentialKey {
    /// The key of one app at one Feishu with one secret.
    pub fn new(base_url: &str, app_id: &str, secret: &SecretString) -> Self {
        Self {
            base_url: base_url.to_owned(),
            app_id: app_id.to_owned(),
            secret_hash: Sha256::digest(secret.expose_secret()).into(),
        }
    }
}

/// The tokens of all credentials of the process: of each for as long as somebody has its [`Tokens`].
pub struct TokenCache {
    slots: Mutex<HashMap<CredentialKey, Weak<Slot>>>,
    /// What is known of each is its span, if whoever started it is sampled.
    flights: Flights<CredentialKey, Result<Arc<Token>, DirectoryError>, Option<Parent>>,
    random: Random,
}

impl TokenCache {
    /// An empty cache.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            slots: Mutex::new(HashMap::new()),
            flights: Flights::new(),
            random,
        })
    }

    /// The tokens of one credential, from this source.
    pub fn tokens(cache: &Arc<Self>, key: CredentialKey, source: Arc<dyn TokenSource>) -> Tokens {
        let slot = {
            let mut slots = cache.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.retain(|_, slot| slot.strong_count() > 0);
            let slot = slots.get(&key).and_then(Weak::upgrade).unwrap_or_default();
            slots.insert(key.clone(), Arc::downgrade(&slot));
            slot
        };
        Tokens {
            cache: cache.clone(),
            key,
            slot,
            source,
            tenant: String::new(),
            metrics: Upstream::default(),
        }
    }
}

/// One credential's tokens.
pub struct Tokens {
    cache: Arc<TokenCache>,
    key: CredentialKey,
    slot: Arc<Slot>,
    source: Arc<dyn TokenSource>,
    tenant: String,
    metrics: Upstream,
}

#[derive(Default)]
struct Slot {
    // A std mutex: it is never held across an await.
    state: Mutex<State>,
}

impl Tokens {
    /// The same for this tenant, whom the log names, counting its fetches here.
    #[must_use]
    pub fn of(self, tenant: String, metrics: Upstream) -> Self {
        Self {
            tenant,
            metrics,
            ..self
        }
    }

    /// Goes on from those that were used before. If the app's secret has changed, their token is used
    /// until one comes for the new secret, and for as long as it lives: Feishu takes it to its end, and
    /// the new secret may not be known there yet. If only the way there has changed, it is tried at once,
    /// whatever failed on the old one.
    pub fn follow(&self, before: &Self) {
        if Arc::ptr_eq(&self.slot, &before.slot) {
            self.slot.lock().forget_failures();
            return;
        }
        let in_use = before.slot.lock().in_use(Instant::now()).cloned();
        self.slot.lock().inherited = in_use;
    }

    /// A token that has not expired. Waits for a fetch only if there is none.
    ///
    /// Cancel-safe: the fetch goes on for the others who wait.
    ///
    /// # Errors
    /// That of the fetch, also for a short while after it.
    pub async fn get(&self) -> Result<Arc<Token>, DirectoryError> {
        let now = Instant::now();
        match self.slot.lock().choose(now) {
            Choice::Use(token) => return Ok(token),
            Choice::UseAndRefresh(token) => {
                // Nobody waits for it: the flight is a task of its own.
                drop(self.fetch());
                return Ok(token);
            }
            Choice::Fail(error) => return Err(error),
            Choice::Fetch => {}
        }
        self.fetch().await
    }

    /// Says that Feishu rejected this token. Drops it, unless it has been replaced already.
    pub fn rejected(&self, token: &Arc<Token>, error: &DirectoryError) {
        let random = self.cache.random;
        self.slot.lock().reject(token, error, random);
    }

    /// Says that Feishu took this token.
    pub fn accepted(&self, token: &Arc<Token>) {
        self.slot.lock().accept(token);
    }

    fn fetch(&self) -> impl Future<Output = Result<Arc<Token>, DirectoryError>> + Send + use<> {
        let (slot, source, random) = (self.slot.clone(), self.source.clone(), self.cache.random);
        let (tenant, metrics) = (self.tenant.clone(), self.metrics.clone());
        let mut span = Span::default();
        let (started_by, mut landing) = self.cache.flights.join_or_replace(
            self.key.clone(),
            |flight| Some(flight.clone()),
            || {
                let span = trace::span("token");
                let flight = span.parent();
                let scope = Scope::default().inside(&span);
                let load = async move {
                    let loaded = load(&slot, &*source, random, (&tenant, &metrics)).await;
                    drop(span);
                    loaded
                };
                (flight, None, scope.wrap(load))
            },
        );
        // Whoever waits for somebody else's says so.
        if let Some(flight) = started_by {
            span = trace::span("token");
            span.link(&flight);
        }
        async move {
            let landed = landing.wait().await;
            drop(span);
            landed.unwrap_or_else(|crashed| {
                Err(DirectoryError::new(
                    Kind::Unavailable,
                    format!("fetching the access token failed: {crashed}"),
                ))
            })
        }
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic changes the state halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn load(
    slot: &Slot,
    source: &dyn TokenSource,
    random: Random,
    (tenant, metrics): (&str, &Upstream),
) -> Result<Arc<Token>, DirectoryError> {
    // Another flight may have landed between the caller's look and this one's start.
    match slot.lock().choose(Instant::now()) {
        Choice::Use(token) => return Ok(token),
        Choice::Fail(error) => return Err(error),
        Choice::UseAndRefresh(_) | Choice::Fetch => {}
    }
    let asked_at = Instant::now();
    let fetched = source.fetch().await;
    let mut state = slot.lock();
    let fetched = match fetched {
        Ok(fetched) => fetched,
        Err(error) => {
            metrics.refreshed(counted_as(Some(&error)));
            tracing::warn!(
                tenant,
                feishu.code = error.code,
                feishu.log_id = error.log_id,
                "no access token from Feishu: {error}"
            );
            return Err(state.fail(error, random()));
        }
    };
    state.credential = Credential::Accepted;
    if state.is_rejected(&fetched.value) {
        let error = DirectoryError::new(
            Kind::Unavailable,
            "Feishu gives the same access token again that it rejects",
        );
        tracing::warn!(tenant, "{error}");
        metrics.refreshed(CallResult::TokenRejected);
        return Err(state.fail(error, random()));
    }
    let token = Arc::new(Token::new(fetched, asked_at, random()));
    metrics.refreshed(CallResult::Ok);
    state.take(&token);
    Ok(token)
}

impl Token {
    /// A life of 2 h is refreshed at a random moment between 90 and 110 min; one of 20 min, which
    /// Feishu gives when the token is not new, between 13 min 20 s and 19 min.
    fn new(fetched: FetchedToken, asked_at: Instant, random: f64) -> Self {
        let life = fetched.expires_in.min(LONGEST_LIFE);
        let (earliest, latest) = if life > RENEWABLE {
            (
                life.saturating_sub(RENEWABLE),
                life.saturating_sub(LATEST_REFRESH),
            )
        } else {
            (life.mul_f64(2.0 / 3.0), life.mul_f64(0.95))
        };
        Self {
            value: fetched.value,
            asked_at,
            refresh_at: asked_at + earliest + latest.saturating_sub(earliest).mul_f64(random),
            expires_at: asked_at + life,
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("refresh_at", &self.refresh_at)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
