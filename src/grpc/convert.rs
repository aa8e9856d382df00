//! Generated messages to the resolver's words and back. Checks what a request must be; what an
//! identifier must be, `identity` checks.

use std::time::{Duration, SystemTime};

use crate::{
    identity::{Email, Identifier, InvalidIdentifier, Mobile, Person, PersonStatus, UserIdType},
    pb::identity as pb,
    resolver::{Failure, Reason, Resolution, ResolveRequest, Resolved},
};

use super::{Terms, status::Rejection};

/// The request in the resolver's words.
///
/// # Errors
/// Names every field that breaks a rule.
pub(super) fn request(
    request: &pb::ResolveUserIdsRequest,
    max_identifiers: usize,
    terms: Terms,
) -> Result<ResolveRequest, Box<Rejection>> {
    let mut violations = Vec::new();
    let count = request.identifiers.len();
    if count == 0 || count > max_identifiers {
        violations.push((
            "identifiers".to_owned(),
            format!("must have 1 to {max_identifiers} entries, has {count}"),
        ));
    }
    let mut user_id_types = Vec::new();
    for (index, number) in request.user_id_types.iter().enumerate() {
        match user_id_type(*number) {
            Some(kind) if user_id_types.contains(&kind) => {}
            Some(kind) => user_id_types.push(kind),
            None => {
                violations.push((
                    format!("user_id_types[{index}]"),
                    format!(
                        "{number} is no kind of ID: use USER_ID_TYPE_USER_ID (1), \
                         USER_ID_TYPE_OPEN_ID (2) or USER_ID_TYPE_UNION_ID (3)"
                    ),
                ));
                // One is enough to learn from; a million of them would not be.
                break;
            }
        }
    }
    let max_age = match request.max_age.map(Duration::try_from) {
        None => None,
        Some(Ok(max_age)) => Some(max_age),
        Some(Err(_)) => {
            violations.push((
                "max_age".to_owned(),
                "must be a duration of zero or more".to_owned(),
            ));
            None
        }
    };
    if !violations.is_empty() {
        return Err(Box::new(Rejection::violations(violations)));
    }
    Ok(ResolveRequest {
        tenant: request.tenant.clone(),
        user_id_types,
        identifiers: request.identifiers.iter().map(identifier).collect(),
        include_resigned: request.include_resigned,
        max_age,
        caller: terms.caller,
        deadline: terms.deadline,
        when_full: terms.when_full,
    })
}

/// The response: the identifiers as they were sent, each with its resolution.
pub(super) fn response(
    identifiers: Vec<pb::Identifier>,
    resolutions: Vec<Resolution>,
) -> pb::ResolveUserIdsResponse {
    let resolutions = identifiers.into_iter().zip(resolutions);
    pb::ResolveUserIdsResponse {
        resolutions: resolutions
            .map(|(identifier, resolution)| self::resolution(identifier, resolution))
            .collect(),
    }
}

/// The failure that all resolutions share: then the request fails as a whole.
///
/// A kind of ID that is not granted stays with its items, because Feishu did answer.
pub(super) fn common_failure(resolutions: &[Resolution]) -> Option<&Failure> {
    let first = failure(resolutions.first()?)?;
    let is_alike = |resolution| failure(resolution).is_some_and(|f| f.reason == first.reason);
    resolutions.iter().all(is_alike).then_some(first)
}

fn failure(resolution: &Resolution) -> Option<&Failure> {
    match resolution {
        Resolution::Failed(failure) if failure.reason != Reason::IdKindNotGranted => Some(failure),
        _ => None,
    }
}

/// A failure as a message.
pub(super) fn error(failure: Failure) -> pb::ResolveError {
    pb::ResolveError {
        reason: reason(failure.reason).into(),
        message: failure.message,
        help_url: failure.help_url.unwrap_or_default(),
        retry_delay: failure.retry_delay.and_then(|d| d.try_into().ok()),
        feishu_code: failure.feishu_code.unwrap_or_default(),
        feishu_log_id: failure.feishu_log_id.unwrap_or_default(),
    }
}

/// A reason as the proto numbers it.
pub(super) fn reason(reason: Reason) -> pb::ErrorReason {
    match reason {
        Reason::InvalidRequest => pb::ErrorReason::InvalidRequest,
        Reason::TenantNotFound => pb::ErrorReason::TenantNotFound,
        Reason::InvalidEmail => pb::ErrorReason::InvalidEmail,
        Reason::InvalidMobile => pb::ErrorReason::InvalidMobile,
        Reason::RefusedByFeishu => pb::ErrorReason::RefusedByFeishu,
        Reason::IdKindNotGranted => pb::ErrorReason::IdKindNotGranted,
        Reason::ScopeMissing => pb::ErrorReason::ScopeMissing,
        Reason::BadCredentials => pb::ErrorReason::BadCredentials,
        Reason::AppUnavailable => pb::ErrorReason::AppUnavailable,
        Reason::QuotaExhausted => pb::ErrorReason::QuotaExhausted,
        Reason::MonthlyQuotaExhausted => pb::ErrorReason::MonthlyQuotaExhausted,
        Reason::Overloaded => pb::ErrorReason::Overloaded,
        Reason::UpstreamUnavailable => pb::ErrorReason::UpstreamUnavailable,
        Reason::UpstreamInvalidResponse => pb::ErrorReason::UpstreamInvalidResponse,
        Reason::DeadlineExceeded => pb::ErrorReason::DeadlineExceeded,
        Reason::ShuttingDown => pb::ErrorReason::ShuttingDown,
    }
}

fn user_id_type(number: i32) -> Option<UserIdType> {
    match pb::UserIdType::try_from(number).ok()? {
        pb::UserIdType::Unspecified => None,
        pb::UserIdType::UserId => Some(UserIdType::UserId),
        pb::UserIdType::OpenId => Some(UserIdType::OpenId),
        pb::UserIdType::UnionId => Some(UserIdType::UnionId),
    }
}

fn identifier(identifier: &pb::Identifier) -> Result<Identifier, InvalidIdentifier> {
    match &identifier.kind {
        None => Err(InvalidIdentifier::Empty),
        Some(pb::identifier::Kind::Email(text)) => Email::parse(text).map(Identifier::Email),
        Some(pb::identifier::Kind::Mobile(text)) => Mobile::parse(text).map(Identifier::Mobile),
    }
}

fn resolution(identifier: pb::Identifier, resolution: Resolution) -> pb::Resolution {
    let mut message = pb::Resolution {
        identifier: Some(identifier),
        ..pb::Resolution::default()
    };
    let outcome = match resolution {
        Resolution::Resolved(resolved) => {
            message.resolve_time = Some(timestamp(resolved.asked_at));
            message.error = resolved.missing.clone().map(error);
            message.user = Some(user(resolved));
            pb::Outcome::Resolved
        }
        Resolution::NotFound { asked_at } => {
            message.resolve_time = Some(timestamp(asked_at));
            pb::Outcome::NotFound
        }
        Resolution::Ambiguous {
            candidates,
            asked_at,
        } => {
            message.resolve_time = Some(timestamp(asked_at));
            message.candidates = candidates.into_iter().map(candidate).collect();
            pb::Outcome::Ambiguous
        }
        Resolution::Invalid(failure) => {
            message.error = Some(error(failure));
            pb::Outcome::Invalid
        }
        Resolution::Failed(failure) => {
            message.error = Some(error(failure));
            pb::Outcome::Failed
        }
    };
    message.outcome = outcome.into();
    message
}

fn user(resolved: Resolved) -> pb::User {
    let mut user = pb::User {
        status: resolved.status.map(status),
        ..pb::User::default()
    };
    for (kind, id) in resolved.ids {
        set_id(&mut user, kind, id);
    }
    user
}

fn candidate((kind, person): (UserIdType, Person)) -> pb::User {
    let mut user = pb::User {
        status: person.status.map(status),
        ..pb::User::default()
    };
    set_id(&mut user, kind, person.id);
    user
}

fn set_id(user: &mut pb::User, kind: UserIdType, id: String) {
    match kind {
        UserIdType::UserId => user.user_id = id,
        UserIdType::OpenId => user.open_id = id,
        UserIdType::UnionId => user.union_id = id,
    }
}

fn status(status: PersonStatus) -> pb::UserStatus {
    pb::UserStatus {
        frozen: status.frozen,
        resigned: status.resigned,
        activated: status.activated,
        exited: status.exited,
        unjoined: status.unjoined,
    }
}

fn timestamp(time: SystemTime) -> prost_types::Timestamp {
    time.into()
}
