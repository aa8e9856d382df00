//! Failures to status codes: the one table of them, and the details that go with each.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status, metadata::MetadataMap};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::resolver::{Failure, Reason};

use super::convert;

/// The domain of every `ErrorInfo`.
pub(super) const DOMAIN: &str = "feishu-id";
/// What gRPC clients' own retries obey; `RetryInfo` is for people and programs.
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// A request, or a batch of a stream, that fails as a whole.
#[derive(Clone, Debug)]
pub(super) struct Rejection {
    failure: Failure,
    tenant: String,
    /// Paths of the fields that break a rule, and the rules.
    violations: Vec<(String, String)>,
}

impl From<Failure> for Rejection {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            tenant: String::new(),
            violations: Vec::new(),
        }
    }
}

impl Rejection {
    /// A request that breaks rules.
    pub(super) fn violations(violations: Vec<(String, String)>) -> Self {
        let message = violations
            .iter()
            .map(|(field, rule)| format!("{field} {rule}"))
            .collect::<Vec<_>>()
            .join("; ");
        Self {
            violations,
            ..Failure::new(Reason::InvalidRequest, message).into()
        }
    }

    /// A request that names no tenant there is.
    pub(super) fn about_tenant(failure: Failure) -> Self {
        let violations = match failure.reason {
            Reason::InvalidRequest => vec![("tenant".to_owned(), failure.message.clone())],
            _ => Vec::new(),
        };
        Self {
            violations,
            ..failure.into()
        }
    }

    /// A request that breaks one rule.
    pub(super) fn invalid(field: &str, rule: &str) -> Self {
        Self::violations(vec![(field.to_owned(), rule.to_owned())])
    }

    /// Names the tenant that it is about, as the caller wrote it.
    pub(super) fn of_tenant(mut self, tenant: &str) -> Self {
        // What no tenant can be called is not repeated: it could be anything.
        let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if tenant.len() <= 40 && tenant.bytes().all(is_name) {
            tenant.clone_into(&mut self.tenant);
        }
        self
    }

    /// Why.
    pub(super) fn reason(&self) -> Reason {
        self.failure.reason
    }

    /// What failed, for an answer in a stream.
    pub(super) fn into_failure(self) -> Failure {
        self.failure
    }
}

/// The status code of each reason.
fn code(reason: Reason) -> Code {
    match reason {
        Reason::InvalidRequest | Reason::InvalidEmail | Reason::InvalidMobile => {
            Code::InvalidArgument
        }
        Reason::TenantNotFound => Code::NotFound,
        Reason::PermissionDenied => Code::PermissionDenied,
        Reason::Unauthenticated => Code::Unauthenticated,
        Reason::RefusedByFeishu
        | Reason::IdKindNotGranted
        | Reason::ScopeMissing
        | Reason::BadCredentials
        | Reason::AppUnavailable => Code::FailedPrecondition,
        Reason::QuotaExhausted
        | Reason::MonthlyQuotaExhausted
        | Reason::Overloaded
        | Reason::RateLimited => Code::ResourceExhausted,
        Reason::UpstreamUnavailable
        | Reason::UpstreamInvalidResponse
        | Reason::ShuttingDown
        | Reason::StoreUnavailable => Code::Unavailable,
        Reason::DeadlineExceeded => Code::DeadlineExceeded,
    }
}

impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        let Rejection {
            failure,
            tenant,
            violations,
        } = rejection;
        let reason = convert::reason_name(failure.reason);
        let code = code(failure.reason);
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, DOMAIN, info(&failure, &tenant));
        if !violations.is_empty() {
            let violation = |(field, rule)| FieldViolation::new(field, rule);
            details.set_bad_request(violations.into_iter().map(violation).collect::<Vec<_>>());
        }
        if let Some(url) = &failure.help_url {
            details.add_help_link("where to mend it", url);
        }
        let retry = matches!(code, Code::Unavailable | Code::ResourceExhausted);
        let delay = failure.retry_delay.filter(|_| retry);
        if let Some(delay) = delay {
            details.set_retry_info(Some(delay));
        }
        // What is wrong with the request is wrong for every tenant.
        let message = if tenant.is_empty() || code == Code::InvalidArgument {
            failure.message
        } else {
            format!("tenant {tenant}: {}", failure.message)
        };
        Self::with_error_details_and_metadata(code, message, details, pushback(code, delay))
    }
}

fn info(failure: &Failure, tenant: &str) -> HashMap<String, String> {
    let mut info = HashMap::new();
    if !tenant.is_empty() {
        info.insert("tenant".to_owned(), tenant.to_owned());
    }
    if let Some(code) = failure.feishu_code {
        info.insert("feishu_code".to_owned(), code.to_string());
    }
    if let Some(log_id) = &failure.feishu_log_id {
        info.insert("feishu_log_id".to_owned(), log_id.clone());
    }
    info
}

/// When a client's own retry may come: after the delay, or never (-1) where it cannot help.
fn pushback(code: Code, delay: Option<Duration>) -> MetadataMap {
    let millis = match delay {
        Some(delay) => i64::try_from(delay.as_millis()).unwrap_or(i64::MAX),
        None if code == Code::DeadlineExceeded => return MetadataMap::new(),
        None => -1,
    };
    let mut metadata = MetadataMap::new();
    metadata.insert(PUSHBACK, millis.into());
    metadata
}
