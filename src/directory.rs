//! The port to whoever knows people: one call, up to 50 e-mail addresses and 50 mobile numbers.
//! Knows no HTTP and no Feishu; `feishu` implements it, `batch` calls it.

use std::{collections::HashMap, fmt, time::Duration, time::SystemTime};

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::identity::{Identifier, Person, UserIdType};

/// Most e-mail addresses, and most mobile numbers, in one call. Feishu `batch_get_id`, "emails" and
/// "mobiles" (its reference page, read 2026-11-23).
pub const MAX_OF_A_KIND: usize = 50;

/// Someone who can be asked for people's IDs, one call at a time.
pub trait Directory: Send + Sync + 'static {
    /// Asks once. Never retries, never splits, and ends within a bound of its own.
    ///
    /// Cancel-safe: dropping the future abandons the call.
    ///
    /// # Errors
    /// See [`DirectoryErrorKind`]. An error speaks for every key of the batch.
    fn lookup<'a>(
        &'a self,
        batch: &'a LookupBatch,
    ) -> BoxFuture<'a, Result<LookupAnswer, DirectoryError>>;

    /// The page where this scope is requested, if there is one.
    fn scope_page(&self, _scope: &str) -> Option<String> {
        None
    }
}

/// What a whole call has in common: keys of different scopes cannot share a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LookupScope {
    /// The kind of ID wanted.
    pub user_id_type: UserIdType,
    /// Whether people who have left are wanted too.
    pub include_resigned: bool,
}

/// The content of one call. Cannot hold more than 50 of a kind.
#[derive(Clone)]
pub struct LookupBatch {
    scope: LookupScope,
    emails: Vec<Identifier>,
    mobiles: Vec<Identifier>,
}

impl LookupBatch {
    /// An empty batch.
    pub fn new(scope: LookupScope) -> Self {
        Self {
            scope,
            emails: Vec::new(),
            mobiles: Vec::new(),
        }
    }

    /// Adds a key, or gives it back if its kind is full.
    ///
    /// # Errors
    /// The key, if 50 of its kind are in already.
    pub fn push(&mut self, key: Identifier) -> Result<(), Identifier> {
        let list = match key {
            Identifier::Email(_) => &mut self.emails,
            Identifier::Mobile(_) => &mut self.mobiles,
        };
        if list.len() >= MAX_OF_A_KIND {
            return Err(key);
        }
        list.push(key);
        Ok(())
    }

    /// What the keys have in common.
    pub fn scope(&self) -> LookupScope {
        self.scope
    }

    /// The e-mail addresses, at most 50, in the order they came.
    pub fn emails(&self) -> &[Identifier] {
        &self.emails
    }

    /// The mobile numbers, at most 50, in the order they came.
    pub fn mobiles(&self) -> &[Identifier] {
        &self.mobiles
    }

    /// All keys: e-mail addresses first.
    pub fn keys(&self) -> impl Iterator<Item = &Identifier> {
        self.emails.iter().chain(&self.mobiles)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.emails.len() + self.mobiles.len()
    }

    /// Whether it takes no more of either kind.
    pub fn is_full(&self) -> bool {
        self.emails.len() >= MAX_OF_A_KIND && self.mobiles.len() >= MAX_OF_A_KIND
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for LookupBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookupBatch")
            .field("scope", &self.scope)
            .field("emails", &self.emails.len())
            .field("mobiles", &self.mobiles.len())
            .finish()
    }
}

/// The answer to one call.
#[derive(Clone, Debug)]
pub struct LookupAnswer {
    /// When the call left.
    pub asked_at: SystemTime,
    /// The distinct people per key, in the directory's order. A key without an entry, or with an
    /// empty one, has nobody whose ID the directory would give.
    pub people: HashMap<Identifier, Vec<Person>>,
}

/// A call that brought no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct DirectoryError {
    /// What to do about it.
    pub kind: DirectoryErrorKind,
    /// For people: what is wrong and what to do. No personal data, no secret.
    pub message: String,
    /// The directory's own error code.
    pub code: Option<i64>,
    /// The directory's log ID of the call.
    pub log_id: Option<String>,
    /// Where to mend it.
    pub help_url: Option<String>,
    /// Set if the call never left, because of a failure that many calls have in common.
    pub shared: Option<Box<SharedFailure>>,
}

impl DirectoryError {
    /// An error of which nothing else is known.
    pub fn new(kind: DirectoryErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            code: None,
            log_id: None,
            help_url: None,
            shared: None,
        }
    }
}

/// A failure that stands in the way of every call, such as that of fetching a token: it is one
/// failure, however many calls hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedFailure {
    /// When it happened.
    pub at: Instant,
    /// Until when calls hear of it at once; the first one after that tries again.
    pub until: Instant,
}

/// What became of a call that brought no answer, by what the caller should do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryErrorKind {
    /// The rate limit. Try again after the pause, if one is given.
    Throttled {
        /// As the directory asked.
        retry_after: Option<Duration>,
    },
    /// The month's calls are spent. Do not try again soon.
    MonthlyQuotaSpent,
    /// The token was rejected and has been dropped. Try again once: the next call gets a new one.
    TokenRejected,
    /// The app's ID or secret is wrong. Trying again cannot help until someone mends it.
    BadCredentials,
    /// The app lacks a scope for this call.
    ScopeMissing {
        /// Any one of these would do.
        scopes: Vec<String>,
    },
    /// The app lacks the field scope for this kind of ID. Other kinds may work.
    IdKindRefused,
    /// The app is disabled, not installed, or this server's address is denied.
    AppUnavailable,
    /// The content of the call is at fault: split the batch to find the culprit.
    ContentRefused {
        /// Keys that the directory names as the culprits, if it names any.
        culprits: Vec<Identifier>,
    },
    /// Unreachable, or trouble of its own. May succeed when tried again.
    Unavailable,
    /// No answer in time. May succeed when tried again.
    TimedOut,
    /// The answer makes no sense: not JSON, cut off, too long, an unknown code.
    InvalidResponse,
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Try again after a pause: it may have been a hiccup.
    Retry,
    /// Try again at once: the cause has been removed.
    RetryAtOnce,
    /// Ask nothing until the directory says so: its rate limit is reached.
    Wait,
    /// Split the call to find the culprit.
    Split,
    /// Ask again only when the month is over.
    NextMonth,
    /// Trying again cannot help until somebody mends it.
    Mend,
    /// An answer to the call, though not the one wanted: asking again gives the same.
    Accept,
}

impl DirectoryErrorKind {
    /// As logs and traces name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::MonthlyQuotaSpent => "month_spent",
            Self::TokenRejected => "token_rejected",
            Self::BadCredentials => "bad_credentials",
            Self::ScopeMissing { .. } => "scope_missing",
            Self::IdKindRefused => "id_kind_refused",
            Self::AppUnavailable => "app_unavailable",
            Self::ContentRefused { .. } => "content_refused",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
            Self::InvalidResponse => "invalid_response",
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Unavailable | Self::TimedOut | Self::InvalidResponse => Advice::Retry,
            Self::TokenRejected => Advice::RetryAtOnce,
            Self::Throttled { .. } => Advice::Wait,
            Self::ContentRefused { .. } => Advice::Split,
            Self::MonthlyQuotaSpent => Advice::NextMonth,
            Self::BadCredentials | Self::ScopeMissing { .. } | Self::AppUnavailable => Advice::Mend,
            Self::IdKindRefused => Advice::Accept,
        }
    }
}
