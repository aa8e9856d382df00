//! Why there is no answer, in the words of the API: the one place where errors from below get
//! their reason. Holds no personal data.

use std::time::Duration;

use crate::{
    batch::LookupError,
    cache::Refusal,
    directory::{DirectoryError, DirectoryErrorKind as Kind},
    identity::{InvalidIdentifier, UserIdType},
};

/// The API's reasons; `grpc` gives each its status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "documented once, in the proto")]
pub enum Reason {
    InvalidRequest,
    TenantNotFound,
    InvalidEmail,
    InvalidMobile,
    RefusedByFeishu,
    IdKindNotGranted,
    ScopeMissing,
    BadCredentials,
    AppUnavailable,
    QuotaExhausted,
    MonthlyQuotaExhausted,
    Overloaded,
    UpstreamUnavailable,
    UpstreamInvalidResponse,
    DeadlineExceeded,
    ShuttingDown,
    PermissionDenied,
    StoreUnavailable,
    Unauthenticated,
    RateLimited,
}

/// One reason with what is known about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// For programs.
    pub reason: Reason,
    /// For people: what is wrong and what to do.
    pub message: String,
    /// Where to mend it.
    pub help_url: Option<String>,
    /// When trying again may help; none if it cannot.
    pub retry_delay: Option<Duration>,
    /// Feishu's error code.
    pub feishu_code: Option<i64>,
    /// Feishu's log ID of the refused call.
    pub feishu_log_id: Option<String>,
}

/// After trouble that is not ours to time: long enough for a hiccup to pass.
const RETRY_SOON: Duration = Duration::from_secs(1);
/// After a spent month, which ends at most once an hour for us.
const RETRY_MONTH: Duration = Duration::from_hours(1);

impl Failure {
    /// A failure with nothing but its reason and message.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            help_url: None,
            retry_delay: None,
            feishu_code: None,
            feishu_log_id: None,
        }
    }

    fn retry(mut self, delay: Duration) -> Self {
        self.retry_delay = Some(delay);
        self
    }

    /// A fault of this program's own, in the work for one identifier.
    pub(super) fn crashed() -> Self {
        let message = "this identifier could not be worked on: a fault of this server's";
        Self::new(Reason::UpstreamInvalidResponse, message).retry(RETRY_SOON)
    }

    /// No verdict was come to: a fault of this program's own.
    pub(super) fn unanswered() -> Self {
        Self::new(
            Reason::UpstreamInvalidResponse,
            "no answer came for this identifier",
        )
    }

    /// Whether somebody who is known may be given as they were known instead: the directory could not
    /// be asked in time, or did not say anything of use. Not if what it said is for the caller.
    pub(super) fn allows_stale(&self) -> bool {
        match self.reason {
            Reason::UpstreamUnavailable
            | Reason::UpstreamInvalidResponse
            | Reason::QuotaExhausted
            | Reason::MonthlyQuotaExhausted
            | Reason::Overloaded
            | Reason::BadCredentials
            | Reason::DeadlineExceeded
            | Reason::ShuttingDown => true,
            Reason::InvalidRequest
            | Reason::TenantNotFound
            | Reason::InvalidEmail
            | Reason::InvalidMobile
            | Reason::RefusedByFeishu
            | Reason::IdKindNotGranted
            | Reason::ScopeMissing
            | Reason::AppUnavailable
            | Reason::PermissionDenied
            | Reason::StoreUnavailable
            | Reason::Unauthenticated
            | Reason::RateLimited => false,
        }
    }

    /// The deadline passed first.
    pub(super) fn late() -> Self {
        (&LookupError::DeadlineExceeded).into()
    }

    /// Somebody is known, but what is known may not be given any more when it would go out.
    pub(super) fn outgrown() -> Self {
        let message = "Feishu could not be asked in time, and what was known is older than max_age \
             by now, or has been flushed";
        Self::new(Reason::UpstreamUnavailable, message).retry(RETRY_SOON)
    }

    /// No tenant has the name that was given.
    pub(crate) fn no_such_tenant() -> Self {
        let message = "no tenant of this name is configured";
        Self::new(Reason::TenantNotFound, message)
    }

    /// The store could not do what was asked, in the words of the store; memory is another matter.
    pub fn store_unavailable(why: &dyn std::fmt::Display) -> Self {
        let message = format!(
            "memory has forgotten, the store perhaps not, and what it has kept would come back: {why}"
        );
        Self::new(Reason::StoreUnavailable, message).retry(RETRY_SOON)
    }

    /// The person is there, but this kind of ID is not given.
    pub(super) fn id_kind_not_granted(
        kind: UserIdType,
        log: Option<&DirectoryError>,
        page: Option<String>,
    ) -> Self {
        let scope = field_scope(kind).map_or_else(
            || "field scope for it".to_owned(),
            |scope| format!("field scope {scope}"),
        );
        let kind = kind.as_str();
        let mut failure = Self::new(
            Reason::IdKindNotGranted,
            format!(
                "Feishu knows this person but does not give this app their {kind}: request the \
                 {scope} on the app's page \"Permissions & Scopes\", then publish a new version \
                 of the app"
            ),
        );
        failure.help_url = log.and_then(|error| error.help_url.clone()).or(page);
        failure.feishu_code = log.and_then(|error| error.code);
        failure.feishu_log_id = log.and_then(|error| error.log_id.clone());
        failure
    }
}

/// The field scope that a kind of ID needs. Feishu names one for `user_id` alone.
pub(super) fn field_scope(kind: UserIdType) -> Option<&'static str> {
    match kind {
        UserIdType::UserId => Some("contact:user.employee_id:readonly"),
        UserIdType::OpenId | UserIdType::UnionId => None,
    }
}

impl From<&InvalidIdentifier> for Failure {
    fn from(invalid: &InvalidIdentifier) -> Self {
        let reason = match invalid {
            InvalidIdentifier::Empty => Reason::InvalidRequest,
            InvalidIdentifier::Email(_) => Reason::InvalidEmail,
            InvalidIdentifier::Mobile(_) => Reason::InvalidMobile,
        };
        Self::new(reason, invalid.to_string())
    }
}

impl From<&LookupError> for Failure {
    fn from(error: &LookupError) -> Self {
        match error {
            LookupError::Directory(error) => from_directory(error),
            LookupError::NotAsked { error, retry_after } => {
                let known = from_directory(error);
                let message = format!(
                    "Feishu is not being asked, because calls have failed lately: {}",
                    known.message
                );
                Self { message, ..known }.retry(*retry_after)
            }
            LookupError::Refused(error) => (&Refusal::from(&**error)).into(),
            LookupError::Crashed => Self::crashed(),
            LookupError::Overloaded => Self::new(
                Reason::Overloaded,
                "too many lookups are waiting: send fewer at a time, or use the stream",
            )
            .retry(RETRY_SOON),
            LookupError::QuotaExhausted { retry_after } => Self::new(
                Reason::QuotaExhausted,
                "Feishu's rate limit leaves no room before the deadline",
            )
            .retry(*retry_after),
            LookupError::DeadlineExceeded => Self::new(
                Reason::DeadlineExceeded,
                "the deadline passed before Feishu answered: allow more time, or ask for fewer",
            )
            .retry(RETRY_SOON),
        }
    }
}

impl From<&DirectoryError> for Refusal {
    fn from(error: &DirectoryError) -> Self {
        Self {
            code: error.code,
            log_id: error.log_id.clone(),
        }
    }
}

impl From<&Refusal> for Failure {
    fn from(refusal: &Refusal) -> Self {
        Self {
            feishu_code: refusal.code,
            feishu_log_id: refusal.log_id.clone(),
            ..Self::new(Reason::RefusedByFeishu, "Feishu refuses this identifier")
        }
    }
}

impl From<&DirectoryError> for Failure {
    fn from(error: &DirectoryError) -> Self {
        from_directory(error)
    }
}

fn from_directory(error: &DirectoryError) -> Failure {
    let (reason, retry_delay) = match &error.kind {
        Kind::Throttled { retry_after } => (
            Reason::QuotaExhausted,
            Some(retry_after.unwrap_or(RETRY_SOON)),
        ),
        Kind::MonthlyQuotaSpent => (Reason::MonthlyQuotaExhausted, Some(RETRY_MONTH)),
        Kind::BadCredentials => (Reason::BadCredentials, None),
        Kind::ScopeMissing { .. } => (Reason::ScopeMissing, None),
        Kind::IdKindRefused => (Reason::IdKindNotGranted, None),
        Kind::AppUnavailable => (Reason::AppUnavailable, None),
        Kind::TokenRejected | Kind::Unavailable | Kind::TimedOut => {
            (Reason::UpstreamUnavailable, Some(RETRY_SOON))
        }
        Kind::ContentRefused { .. } | Kind::InvalidResponse => {
            (Reason::UpstreamInvalidResponse, Some(RETRY_SOON))
        }
    };
    Failure {
        reason,
        message: error.message.clone(),
        help_url: error.help_url.clone(),
        retry_delay,
        feishu_code: error.code,
        feishu_log_id: error.log_id.clone(),
    }
}
