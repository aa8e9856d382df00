//! Generated messages to the resolver's words and back. Checks what a request must be; what an
//! identifier must be, `identity` checks.

use std::time::{Duration, SystemTime};

use crate::{
    identity::{InvalidIdentifier, NormalForm, Person, PersonStatus, UserIdType},
    pb::identity as pb,
    resolver::{Failure, Found, Ids, Kinds, Reason, Resolution, Resolved, Terms},
};

use super::{status::Rejection, work::Arrival};

/// What a request asks for, for all whom it names.
///
/// # Errors
/// Names every field that breaks a rule.
pub(super) fn terms(
    request: &pb::ResolveUserIdsRequest,
    max_identifiers: usize,
    arrival: Arrival,
) -> Result<Terms, Box<Rejection>> {
    let mut violations = Vec::new();
    let count = request.identifiers.len();
    if count == 0 || count > max_identifiers {
        violations.push((
            "identifiers".to_owned(),
            format!("must have 1 to {max_identifiers} entries, has {count}"),
        ));
    }
    let mut user_id_types = Kinds::default();
    for (index, number) in request.user_id_types.iter().enumerate() {
        let Some(kind) = user_id_type(*number) else {
            violations.push((
                format!("user_id_types[{index}]"),
                format!(
                    "{number} is no kind of ID: use USER_ID_TYPE_USER_ID (1), \
                     USER_ID_TYPE_OPEN_ID (2) or USER_ID_TYPE_UNION_ID (3)"
                ),
            ));
            // One is enough to learn from; a million of them would not be.
            break;
        };
        user_id_types.add(kind);
    }
    let max_age = request.max_age.map(Duration::try_from).transpose();
    if max_age.is_err() {
        violations.push((
            "max_age".to_owned(),
            "must be a duration of zero or more".to_owned(),
        ));
    }
    if !violations.is_empty() {
        return Err(Box::new(Rejection::violations(violations)));
    }
    Ok(Terms {
        user_id_types,
        include_resigned: request.include_resigned,
        max_age: max_age.unwrap_or_default(),
        identifiers: count,
        caller: arrival.caller,
        deadline: arrival.deadline,
        when_full: arrival.when_full,
    })
}

/// An identifier as it was sent, in normal form.
///
/// # Errors
/// Says what is expected of it.
#[inline]
pub(super) fn normal_form(
    identifier: &pb::Identifier,
) -> Result<NormalForm<'_>, InvalidIdentifier> {
    match &identifier.kind {
        None => Err(InvalidIdentifier::Empty),
        Some(pb::identifier::Kind::Email(text)) => NormalForm::email(text),
        Some(pb::identifier::Kind::Mobile(text)) => NormalForm::mobile(text),
    }
}

/// The failure that all resolutions share: then the request fails as a whole.
///
/// A kind of ID that is not granted stays with its items, because Feishu did answer.
pub(super) fn common_failure<'a>(
    mut resolutions: impl Iterator<Item = &'a Resolution>,
) -> Option<&'a Failure> {
    let first = failure(resolutions.next()?)?;
    let is_alike = |resolution| failure(resolution).is_some_and(|f| f.reason == first.reason);
    resolutions.all(is_alike).then_some(first)
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
        Reason::PermissionDenied => pb::ErrorReason::PermissionDenied,
        Reason::StoreUnavailable => pb::ErrorReason::StoreUnavailable,
        Reason::Unauthenticated => pb::ErrorReason::Unauthenticated,
        Reason::RateLimited => pb::ErrorReason::RateLimited,
    }
}

/// Its name without the prefix, as `ErrorInfo`, logs and traces have it.
pub(super) fn reason_name(of: Reason) -> &'static str {
    let name = reason(of).as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

fn user_id_type(number: i32) -> Option<UserIdType> {
    match pb::UserIdType::try_from(number).ok()? {
        pb::UserIdType::Unspecified => None,
        pb::UserIdType::UserId => Some(UserIdType::UserId),
        pb::UserIdType::OpenId => Some(UserIdType::OpenId),
        pb::UserIdType::UnionId => Some(UserIdType::UnionId),
    }
}

impl Found for pb::Resolution {
    fn id(&mut self, kind: UserIdType, id: &str, said: Option<PersonStatus>, asked_at: Duration) {
        let asked_at = prost_types::Timestamp {
            seconds: i64::try_from(asked_at.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(asked_at.subsec_nanos()).unwrap_or(0),
        };
        let user = self.user.get_or_insert_default();
        *match kind {
            UserIdType::UserId => &mut user.user_id,
            UserIdType::OpenId => &mut user.open_id,
            UserIdType::UnionId => &mut user.union_id,
        } = String::from(id);
        if user.status.is_none() {
            user.status = said.map(status);
        }
        // With several kinds, the oldest.
        let is_older = |known: &prost_types::Timestamp| {
            (asked_at.seconds, asked_at.nanos) < (known.seconds, known.nanos)
        };
        if self.resolve_time.as_ref().is_none_or(is_older) {
            self.resolve_time = Some(asked_at);
        }
    }

    fn stale(&mut self, stale: bool) {
        self.stale = stale;
        self.outcome = pb::Outcome::Resolved.into();
    }
}

/// Writes into a resolution what became of its identifier.
pub(super) fn fill(message: &mut pb::Resolution, resolution: Resolution) {
    let outcome = match resolution {
        Resolution::Resolved(resolved) => {
            message.resolve_time = Some(timestamp(resolved.asked_at));
            message.stale = resolved.stale;
            if let Some(missing) = &resolved.missing {
                message.error = Some(Box::new(error((**missing).clone())));
            }
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
            message.error = Some(Box::new(error(failure)));
            pb::Outcome::Invalid
        }
        Resolution::Failed(failure) => {
            message.error = Some(Box::new(error(failure)));
            pb::Outcome::Failed
        }
    };
    message.outcome = outcome.into();
}

fn user(resolved: Resolved) -> pb::User {
    pb::User {
        user_id: resolved.ids.user_id.unwrap_or_default(),
        open_id: resolved.ids.open_id.unwrap_or_default(),
        union_id: resolved.ids.union_id.unwrap_or_default(),
        status: resolved.status.map(status),
    }
}

fn candidate((kind, person): (UserIdType, Person)) -> pb::User {
    let mut ids = Ids::default();
    ids.set(kind, person.id);
    user(Resolved {
        ids,
        status: person.status,
        asked_at: SystemTime::UNIX_EPOCH,
        stale: false,
        missing: None,
    })
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

pub(super) fn timestamp(time: SystemTime) -> prost_types::Timestamp {
    time.into()
}
