//! Feishu's error codes, and what each means for us. A code is read from the body whatever the HTTP
//! status: most refusals come with HTTP 400, some with 200 or 401.
//!
//! Sources: Feishu's generic error page and endpoint pages, and recorded answers (read 2026-11-23).

use std::time::Duration;

use crate::{
    directory::{DirectoryError, DirectoryErrorKind as Kind, LookupBatch},
    identity::UserIdType,
    metrics::CallResult,
};

use super::wire::ErrorBody;

/// No token, or one without "Bearer ": ours was lost on the way.
const TOKEN_MISSING: i64 = 99_991_661;
/// The tenant's token has expired, was revoked, or never was one.
const TOKEN_INVALID: i64 = 99_991_663;
/// The app's token is bad.
const APP_TOKEN_INVALID: i64 = 99_991_664;
/// The token belongs to no tenant.
const TENANT_CODE_INVALID: i64 = 99_991_665;
/// A token of another kind than this call takes.
const TOKEN_OF_ANOTHER_KIND: i64 = 99_991_668;
/// The token does not look like one.
const TOKEN_MALFORMED: i64 = 99_991_671;
/// A scope is missing.
const SCOPE_MISSING: i64 = 99_991_672;
/// The app is disabled.
const APP_DISABLED: i64 = 99_991_662;
/// The app is not installed, or not published.
const APP_UNAUTHORIZED: i64 = 99_991_673;
/// The app's allow-list of addresses does not have ours.
const IP_DENIED: i64 = 99_991_401;
/// Too many calls.
const THROTTLED: i64 = 99_991_400;
/// The month's calls are spent.
const MONTH_SPENT: i64 = 99_991_403;
/// A field breaks a rule.
const FIELD_VALIDATION: i64 = 99_992_402;
/// A parameter is invalid.
const PARAM_INVALID: i64 = 40_001;
/// A bad request.
const BAD_REQUEST: i64 = 9_499;
/// No authority over the user: seen where the field scope of an ID kind is missing.
const NO_USER_AUTHORITY: i64 = 41_050;
/// Trouble of Feishu's own.
const INTERNAL: [i64; 5] = [2_200, 1_500, 5_000, 1_663, 40_003];
/// The token endpoint's refusals of an app ID or secret. Feishu's pages disagree with its answers on
/// 10014 and 10015; all of them mean that trying again cannot help.
const CREDENTIALS: [i64; 7] = [10_003, 10_005, 10_012, 10_013, 10_014, 10_015, 99_991_543];

/// What is known of a refusal besides its code.
#[derive(Default)]
pub(super) struct Context<'a> {
    pub(super) batch: Option<&'a LookupBatch>,
    pub(super) body: ErrorBody,
    pub(super) log_id: Option<String>,
    pub(super) retry_after: Option<Duration>,
    pub(super) is_server_error: bool,
}

/// The error for a code that is not zero. Feishu's own message is left out on purpose: it can
/// repeat what was asked for, which is personal data.
pub(super) fn from_code(code: i64, context: Context<'_>) -> DirectoryError {
    let scopes = context.body.scopes();
    let (kind, message) = match code {
        TOKEN_MISSING
        | TOKEN_INVALID
        | APP_TOKEN_INVALID
        | TENANT_CODE_INVALID
        | TOKEN_OF_ANOTHER_KIND
        | TOKEN_MALFORMED => (
            Kind::TokenRejected,
            "Feishu rejects the access token that it gave".to_owned(),
        ),
        _ if CREDENTIALS.contains(&code) => (
            Kind::BadCredentials,
            "Feishu refuses the app's ID or secret: compare both with the app's page \
             \"Credentials & Basic Info\", and the base URL with the brand of the app"
                .to_owned(),
        ),
        SCOPE_MISSING => scope_missing(scopes),
        APP_DISABLED | APP_UNAUTHORIZED => (
            Kind::AppUnavailable,
            "the Feishu app is disabled or not installed: enable it in the admin console, and \
             publish a version"
                .to_owned(),
        ),
        IP_DENIED => (
            Kind::AppUnavailable,
            "Feishu denies this server's address: add it to the app's IP allow-list".to_owned(),
        ),
        THROTTLED => (
            Kind::Throttled {
                retry_after: context.retry_after,
            },
            "Feishu's rate limit is reached, perhaps by another program that uses the same app"
                .to_owned(),
        ),
        MONTH_SPENT => (
            Kind::MonthlyQuotaSpent,
            "the tenant's monthly quota of Feishu API calls is spent".to_owned(),
        ),
        FIELD_VALIDATION | PARAM_INVALID | BAD_REQUEST => (
            Kind::ContentRefused {
                culprits: context
                    .batch
                    .map(|batch| context.body.culprits(batch))
                    .unwrap_or_default(),
            },
            "Feishu refuses the content of the request".to_owned(),
        ),
        NO_USER_AUTHORITY
            if context
                .batch
                .is_some_and(|batch| batch.scope().user_id_type != UserIdType::OpenId) =>
        {
            (
                Kind::IdKindRefused,
                "Feishu does not give this app that kind of ID".to_owned(),
            )
        }
        _ if INTERNAL.contains(&code) || context.is_server_error => (
            Kind::Unavailable,
            "Feishu reports trouble of its own".to_owned(),
        ),
        _ => (
            Kind::InvalidResponse,
            format!("Feishu answered with error code {code}, which is not known here"),
        ),
    };
    DirectoryError {
        kind,
        message,
        code: Some(code),
        help_url: context.body.help_url(),
        shared: None,
        log_id: context.log_id,
    }
}

fn scope_missing(scopes: Vec<String>) -> (Kind, String) {
    let wanted = if scopes.is_empty() {
        "a scope".to_owned()
    } else {
        format!("one of these scopes: {}", scopes.join(", "))
    };
    let message = format!(
        "the Feishu app lacks {wanted}: request it on the app's page \"Permissions & Scopes\", \
         then publish a new version of the app"
    );
    (Kind::ScopeMissing { scopes }, message)
}

/// The error for an answer that is not Feishu's JSON.
pub(super) fn not_json(
    status: http::StatusCode,
    log_id: Option<String>,
    why: &str,
) -> DirectoryError {
    let (kind, message) = match status.as_u16() {
        429 => (
            Kind::Throttled { retry_after: None },
            "Feishu's rate limit is reached (HTTP 429)".to_owned(),
        ),
        500.. => (
            Kind::Unavailable,
            format!(
                "Feishu, or a proxy before it, answered HTTP {}",
                status.as_u16()
            ),
        ),
        404 => (
            Kind::InvalidResponse,
            "Feishu answered HTTP 404: check the tenant's base_url".to_owned(),
        ),
        other => (
            Kind::InvalidResponse,
            format!("Feishu's answer (HTTP {other}) {why}: check the tenant's base_url and proxy"),
        ),
    };
    plain(kind, message, log_id)
}

/// The error for a call that got no answer. The cause's text stays out: it can hold the URL of a
/// proxy with its password.
pub(super) fn from_transport(error: &reqwest::Error) -> DirectoryError {
    let (kind, message) = if error.is_timeout() {
        (Kind::TimedOut, "Feishu did not answer in time")
    } else if error.is_connect() {
        (
            Kind::Unavailable,
            "no connection to Feishu: check the network, the tenant's base_url, proxy and ca_file",
        )
    } else {
        (
            Kind::Unavailable,
            "the connection to Feishu broke before the answer was complete",
        )
    };
    plain(kind, message.to_owned(), None)
}

/// An error without a code of Feishu's.
pub(super) fn plain(kind: Kind, message: String, log_id: Option<String>) -> DirectoryError {
    DirectoryError {
        kind,
        message,
        code: None,
        log_id,
        help_url: None,
        shared: None,
    }
}

/// As which result a call is counted.
pub(super) fn counted_as(error: Option<&DirectoryError>) -> CallResult {
    let Some(error) = error else {
        return CallResult::Ok;
    };
    match error.kind {
        Kind::Throttled { .. } => CallResult::Throttled,
        Kind::MonthlyQuotaSpent => CallResult::MonthSpent,
        Kind::TokenRejected => CallResult::TokenRejected,
        Kind::BadCredentials => CallResult::BadCredentials,
        Kind::ScopeMissing { .. } => CallResult::ScopeMissing,
        Kind::IdKindRefused => CallResult::IdKindRefused,
        Kind::AppUnavailable => CallResult::AppUnavailable,
        Kind::ContentRefused { .. } => CallResult::ContentRefused,
        Kind::Unavailable => CallResult::Unavailable,
        Kind::TimedOut => CallResult::TimedOut,
        Kind::InvalidResponse => CallResult::InvalidResponse,
    }
}
