//! `batch_get_id` behind the gateway: which rows a question gets. Knows no token and no quota.

mod question;
mod rows;

use axum::http::StatusCode;
use serde_json::json;

pub(super) use self::question::Question;
use super::faults::{EmptyRequest, Faults, Malformed, PoisonAnswer, Repeats, WithoutScope};
use super::person::{IdKind, stored_mobile};
use super::reply::{Refused, Reply};
use super::world::{SCOPE_USER_ID, SCOPES_STATUS, Tenant};

/// Most e-mails, and most mobiles, in one call (Feishu's documents, read 2026-11-23).
const MOST_OF_A_KIND: usize = 50;

/// Answers a question that the gateway let through. `seed` is for shuffling.
pub(super) fn answer(
    tenant: &Tenant,
    faults: &Faults,
    question: &Question,
    seed: u64,
) -> Result<Reply, Refused> {
    check_lengths(question)?;
    if question.emails.is_empty()
        && question.mobiles.is_empty()
        && faults.empty_request == EmptyRequest::Refuse
    {
        return Err(param_invalid());
    }
    if faults.concern(Some(&tenant.app.name)) {
        check_poison(faults, question)?;
    }
    if faults.malformed == Malformed::Refuse {
        let bad = question.emails.iter().any(|email| !is_email(email))
            || question
                .mobiles
                .iter()
                .any(|mobile| !is_mobile(faults, mobile));
        if bad {
            return Err(param_invalid());
        }
    }
    if faults.duplicates == Repeats::Refuse && question.has_duplicates() {
        return Err(param_invalid());
    }
    let scopes = faults.scopes(&tenant.app.name, tenant.scopes);
    let sees_id = question.kind != IdKind::UserId || scopes.contains(&SCOPE_USER_ID);
    if !sees_id && faults.user_id_without_scope == WithoutScope::Refuse {
        return Err(Refused::new(400, 41050, "no user authority error"));
    }
    let view = rows::View {
        directory: &tenant.directory,
        faults,
        kind: question.kind,
        sees_id,
        sees_status: SCOPES_STATUS.iter().any(|scope| scopes.contains(scope)),
        include_resigned: question.include_resigned,
    };
    let rows = view.rows(question, seed);
    let body = json!({"code": 0, "msg": "success", "data": {"user_list": rows}});
    Ok(Reply::json(StatusCode::OK, 0, &body))
}

fn check_lengths(question: &Question) -> Result<(), Refused> {
    let lists = [("emails", &question.emails), ("mobiles", &question.mobiles)];
    let too_long: Vec<_> = lists
        .into_iter()
        .filter(|(_, list)| list.len() > MOST_OF_A_KIND)
        .map(|(name, _)| (name.to_owned(), "", "the max len is 50"))
        .collect();
    if too_long.is_empty() {
        return Ok(());
    }
    Err(field_validation_failed().violations(too_long))
}

/// One identifier that the switches call poisonous spoils the whole call.
fn check_poison(faults: &Faults, question: &Question) -> Result<(), Refused> {
    let lists = [("emails", &question.emails), ("mobiles", &question.mobiles)];
    let places: Vec<_> = lists
        .into_iter()
        .flat_map(|(name, list)| {
            let numbered = list.iter().enumerate();
            numbered.map(move |(index, text)| (format!("{name}[{index}]"), text.as_str()))
        })
        .filter(|(_, text)| faults.poison.iter().any(|poison| poison == text))
        .map(|(place, text)| (place, text, "the value is invalid"))
        .collect();
    if places.is_empty() {
        return Ok(());
    }
    let refused = match faults.poison_answer {
        PoisonAnswer::FieldValidation => field_validation_failed(),
        PoisonAnswer::InvalidParam => param_invalid(),
        PoisonAnswer::BadRequest => Refused::new(400, 9499, "Bad Request"),
        PoisonAnswer::InternalError => return Err(Refused::new(500, 2200, "Internal Error")),
    };
    Err(if faults.poison_field_violations {
        refused.violations(places)
    } else {
        refused
    })
}

fn field_validation_failed() -> Refused {
    Refused::new(400, 99_992_402, "field validation failed")
}

fn param_invalid() -> Refused {
    Refused::new(400, 40001, "param is invalid")
}

fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !domain.is_empty()
            && !domain.contains('@')
            && !text.contains(char::is_whitespace)
    })
}

fn is_mobile(faults: &Faults, text: &str) -> bool {
    let text = plain_mobile(faults, text);
    let digits = text.strip_prefix('+').unwrap_or(&text);
    stored_mobile(&format!("+{digits}")).is_some()
}

/// The number as the simulated Feishu reads it.
fn plain_mobile(faults: &Faults, text: &str) -> String {
    if !faults.mobile_punctuation_matches {
        return text.to_owned();
    }
    let plain: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    match plain.strip_prefix("0086") {
        Some(rest) => format!("+86{rest}"),
        None => plain,
    }
}
