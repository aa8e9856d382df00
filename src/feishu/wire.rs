//! Feishu's JSON: nothing of it leaves `feishu`. Every field is optional, because a field that
//! Feishu leaves out must not make the rest of an answer unreadable.
//!
//! Shapes: Feishu's reference pages `tenant_access_token_internal` and `batch_get_id`, and the
//! official SDKs' models (all read 2026-11-23).

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    directory::LookupBatch,
    identity::{Email, Identifier, Mobile, Person, PersonStatus},
};

/// Path of the lookup, under the base URL.
pub(super) const LOOKUP_PATH: &str = "/open-apis/contact/v3/users/batch_get_id";
/// Path of the token request, under the base URL.
pub(super) const TOKEN_PATH: &str = "/open-apis/auth/v3/tenant_access_token/internal";

/// What every answer has. Without a `code` it is no answer of Feishu's.
#[derive(Deserialize)]
pub(super) struct Envelope {
    pub(super) code: i64,
    #[serde(default)]
    error: Value,
    /// Read only once the code is known to be 0: a refusal may have anything here.
    #[serde(flatten)]
    pub(super) rest: Value,
}

impl Envelope {
    /// The `error` object. The code alone must do where it has an unknown shape.
    pub(super) fn error(&mut self) -> ErrorBody {
        serde_json::from_value(self.error.take()).unwrap_or_default()
    }
}

/// The `error` object of a refusal.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorBody {
    pub(super) log_id: Option<String>,
    pub(super) permission_violations: Option<Vec<PermissionViolation>>,
    pub(super) field_violations: Option<Vec<FieldViolation>>,
    pub(super) helps: Option<Vec<Help>>,
}

#[derive(Deserialize)]
pub(super) struct PermissionViolation {
    pub(super) subject: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct FieldViolation {
    pub(super) field: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Help {
    pub(super) url: Option<String>,
}

/// The token request.
#[derive(Serialize)]
pub(super) struct TokenRequest<'a> {
    pub(super) app_id: &'a str,
    pub(super) app_secret: &'a str,
}

/// The token answer: flat, without a `data`.
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    pub(super) tenant_access_token: Option<String>,
    /// The seconds that it has left, not a constant.
    pub(super) expire: Option<i64>,
}

/// The lookup request.
#[derive(Serialize)]
pub(super) struct LookupRequest<'a> {
    emails: Vec<&'a str>,
    mobiles: Vec<&'a str>,
    include_resigned: bool,
}

impl<'a> LookupRequest<'a> {
    pub(super) fn new(batch: &'a LookupBatch) -> Self {
        Self {
            emails: batch.emails().iter().map(Identifier::as_str).collect(),
            mobiles: batch.mobiles().iter().map(Identifier::as_str).collect(),
            include_resigned: batch.scope().include_resigned,
        }
    }
}

/// The lookup answer.
#[derive(Deserialize)]
pub(super) struct LookupReply {
    pub(super) data: Option<LookupData>,
}

#[derive(Deserialize)]
pub(super) struct LookupData {
    #[serde(default)]
    user_list: Option<Vec<Row>>,
}

/// One row. The ID is always under `user_id`, whatever its kind.
#[derive(Deserialize)]
struct Row {
    user_id: Option<String>,
    email: Option<String>,
    mobile: Option<String>,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "Feishu's shape")]
struct Status {
    is_frozen: bool,
    is_resigned: bool,
    is_activated: bool,
    is_exited: bool,
    is_unjoin: bool,
}

impl LookupData {
    /// Groups the rows by the key that they echo, in normal form: rows may be missing, doubled or
    /// reordered, and an echo may have other letter case or another phone form. A row that echoes
    /// no key of this call is somebody nobody asked for, and is left out.
    pub(super) fn into_people(self, batch: &LookupBatch) -> HashMap<Identifier, Vec<Person>> {
        let asked: HashSet<&Identifier> = batch.keys().collect();
        let mut people: HashMap<Identifier, Vec<Person>> = HashMap::with_capacity(asked.len());
        for row in self.user_list.unwrap_or_default() {
            let Some(key) = row.echo().find(|key| asked.contains(key)) else {
                continue;
            };
            let Some(person) = row.into_person() else {
                continue;
            };
            let known = people.entry(key).or_default();
            match known.iter_mut().find(|other| other.id == person.id) {
                // A doubled row: the same person, perhaps with more to tell.
                Some(other) => other.status = other.status.or(person.status),
                None => known.push(person),
            }
        }
        people
    }
}

impl Row {
    fn echo(&self) -> impl Iterator<Item = Identifier> + use<> {
        let email = self.email.as_deref().map(Email::parse);
        let mobile = self.mobile.as_deref().map(Mobile::parse);
        let email = email.and_then(Result::ok).map(Identifier::Email);
        let mobile = mobile.and_then(Result::ok).map(Identifier::Mobile);
        email.into_iter().chain(mobile)
    }

    /// The person, if Feishu gave an ID. A row without one means "nobody that this app may see".
    fn into_person(self) -> Option<Person> {
        let id = self.user_id.filter(|id| !id.is_empty())?;
        let status = self.status.map(|s| PersonStatus {
            frozen: s.is_frozen,
            resigned: s.is_resigned,
            activated: s.is_activated,
            exited: s.is_exited,
            unjoined: s.is_unjoin,
        });
        Some(Person { id, status })
    }
}

impl ErrorBody {
    /// The scopes that would do.
    pub(super) fn scopes(&self) -> Vec<String> {
        /// More are never needed to say what to do.
        const MOST: usize = 8;
        self.permission_violations
            .iter()
            .flatten()
            .filter_map(|violation| violation.subject.clone())
            .filter(|scope| is_scope(scope))
            .take(MOST)
            .collect()
    }

    /// The page that Feishu points to.
    pub(super) fn help_url(&self) -> Option<String> {
        self.helps
            .iter()
            .flatten()
            .filter_map(|help| help.url.clone())
            .find(|url| is_page(url))
    }

    /// The keys that Feishu points at, by `emails[3]` or `emails.3`.
    pub(super) fn culprits(&self, batch: &LookupBatch) -> Vec<Identifier> {
        self.field_violations
            .iter()
            .flatten()
            .filter_map(|violation| {
                let field = violation.field.as_deref()?;
                let list = if field.starts_with("emails") {
                    batch.emails()
                } else if field.starts_with("mobiles") {
                    batch.mobiles()
                } else {
                    return None;
                };
                let digits: String = field.chars().filter(char::is_ascii_digit).collect();
                list.get(digits.parse::<usize>().ok()?).cloned()
            })
            .collect()
    }
}

/// Whether a text of Feishu's may be passed on: visible ASCII and not too long, so that it can
/// break neither a log line nor a header.
pub(super) fn is_plain(text: &str, longest: usize) -> bool {
    !text.is_empty() && text.len() <= longest && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Whether a text is a log ID, which goes into logs and to callers: letters, digits and what joins them,
/// and longer than a mobile number. An e-mail address has an @.
pub(super) fn is_log_id(text: &str) -> bool {
    /// Feishu's have 32 and more, a UUID 36; a number in E.164 at most 15.
    const LENGTHS: std::ops::RangeInclusive<usize> = 16..=128;
    LENGTHS.contains(&text.len()) && text.bytes().all(|b| is_word(b) || b == b'.')
}

/// Whether a text is a scope, such as `contact:user.id:readonly`: no identifier has a colon.
fn is_scope(text: &str) -> bool {
    let allowed = |b| is_word(b) || matches!(b, b':' | b'.');
    text.len() <= 128 && text.contains(':') && text.bytes().all(allowed)
}

/// Whether a text is a page that people may be sent to. One with an @, which may be an address or come
/// before another host, is not.
fn is_page(text: &str) -> bool {
    let of_the_web = text.starts_with("https://") || text.starts_with("http://");
    of_the_web && is_plain(text, 2048) && !text.contains('@') && !text.contains("%40")
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::{directory::LookupScope, identity::UserIdType};

    fn email(text: &str) -> Identifier {
        Identifier::Email(Email::parse(text).unwrap())
    }

    fn mobile(text: &str) -> Identifier {
        Identifier::Mobile(Mobile::parse(text).unwrap())
    }

    fn batch(keys: &[Identifier]) -> LookupBatch {
        let mut batch = LookupBatch::new(LookupScope {
            user_id_type: UserIdType::UserId,
            include_resigned: false,
        });
        for key in keys {
            batch.push(key.clone()).unwrap();
        }
        batch
    }

    fn people(json: &str, keys: &[Identifier]) -> HashMap<Identifier, Vec<String>> {
        let reply: LookupReply = serde_json::from_str(json).unwrap();
        let people = reply.data.unwrap().into_people(&batch(keys));
        people
            .into_iter()
            .map(|(key, people)| (key, people.into_iter().map(|p| p.id).collect()))
            .collect()
    }

    #[test]
    fn rows_are_matched_by_echo_in_any_form_and_order() {
        let keys = [
            email("a@x.example"),
            email("b@x.example"),
            mobile("13800138000"),
        ];
        let rows = r#"{"data":{"user_list":[
            {"user_id":"3","mobile":"13800138000"},
            {"user_id":"2","email":"B@X.example"},
            {"user_id":"1","email":"a@x.example"},
            {"user_id":"2","email":"b@x.example"},
            {"user_id":"9","email":"stranger@x.example"},
            {"user_id":"8"}]}}"#;
        let found = people(rows, &keys);
        assert_eq!(found[&keys[0]], ["1"]);
        assert_eq!(found[&keys[1]], ["2"]);
        assert_eq!(found[&keys[2]], ["3"]);
        assert_eq!(found.len(), 3, "a row that nobody asked for is left out");
    }

    #[test]
    fn a_row_without_an_id_is_nobody() {
        let keys = [email("a@x.example")];
        for row in [
            r#"{"email":"a@x.example"}"#,
            r#"{"email":"a@x.example","user_id":""}"#,
            r#"{"email":"a@x.example","user_id":null,"status":null}"#,
        ] {
            let json = format!(r#"{{"data":{{"user_list":[{row}]}}}}"#);
            assert!(people(&json, &keys).is_empty());
        }
        assert!(people(r#"{"data":{}}"#, &keys).is_empty());
        assert!(people(r#"{"data":{"user_list":null}}"#, &keys).is_empty());
    }

    #[test]
    fn what_feishu_might_repeat_of_people_is_no_log_id_no_scope_and_no_page() {
        for id in [
            "20260911093000A1B2C3D4E5F60718293A",
            "0f8fad5b-d9cb-469f-a165-70867728950e",
        ] {
            assert!(is_log_id(id), "{id}");
        }
        let number = "+8613800138000";
        for text in [
            "",
            "wei.wang@acme.example-0123456789",
            number,
            "13800138000",
            &"x".repeat(129),
        ] {
            assert!(
                !is_log_id(text) && !is_scope(text) && !is_page(text),
                "{text}"
            );
        }
        assert!(is_scope("contact:user.employee_id:readonly") && is_scope("a:b_as_app"));
        assert!(!is_scope("mailto:wei.wang@acme.example") && !is_scope("tel:+8613800138000"));
        assert!(is_page(
            "https://open.feishu.cn/app/cli_1/auth?q=a:b&op_from=openapi"
        ));
        for page in [
            "https://open.feishu.cn/?q=wei@acme.example",
            "https://open.feishu.cn/?q=wei%40acme.example",
            "https://open.feishu.cn@elsewhere.example/",
            "httpx://open.feishu.cn/",
        ] {
            assert!(!is_page(page), "{page}");
        }
    }

    #[test]
    fn field_violations_point_at_keys() {
        let keys = [
            email("a@x.example"),
            email("b@x.example"),
            mobile("13800138000"),
        ];
        let error: ErrorBody = serde_json::from_str(
            r#"{"field_violations":[{"field":"emails[1]"},{"field":"mobiles.0"},{"field":"emails[7]"},{"field":"emails"}]}"#,
        )
        .unwrap();
        assert_eq!(
            error.culprits(&batch(&keys)),
            [keys[1].clone(), keys[2].clone()]
        );
    }
}
