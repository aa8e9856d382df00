//! A call's query and body, read as Feishu's gateway reads them.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::sandbox::person::IdKind;
use crate::sandbox::reply::Refused;

/// What was asked.
#[derive(Default)]
pub(in super::super) struct Question {
    pub(in super::super) kind: IdKind,
    pub(in super::super) emails: Vec<String>,
    pub(in super::super) mobiles: Vec<String>,
    pub(in super::super) include_resigned: bool,
}

impl Question {
    pub(in super::super) fn read(query: Option<&str>, body: &[u8]) -> Result<Self, Refused> {
        let body = object(body)?;
        Ok(Self {
            kind: kind(query.unwrap_or_default())?,
            emails: texts(&body, "emails")?,
            mobiles: texts(&body, "mobiles")?,
            include_resigned: match body.get("include_resigned") {
                None | Some(Value::Null) => false,
                Some(Value::Bool(include)) => *include,
                Some(_) => return Err(wrong_type("include_resigned")),
            },
        })
    }

    pub(super) fn has_duplicates(&self) -> bool {
        let mut seen = HashSet::new();
        let mut all = self.emails.iter().chain(&self.mobiles);
        !all.all(|identifier| seen.insert(identifier.to_lowercase()))
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Refused> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Refused::new(400, 9499, "Bad Request").with(
            "details",
            json!([{"key": "body", "value": "the body is not a JSON object"}]),
        )),
    }
}

fn kind(query: &str) -> Result<IdKind, Refused> {
    let named = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("user_id_type="))
        .unwrap_or_default();
    if named.is_empty() {
        return Ok(IdKind::default());
    }
    IdKind::named(named).ok_or_else(|| {
        let options = "the options are open_id, union_id and user_id";
        Refused::new(400, 99_992_402, "field validation failed").violations([(
            "user_id_type".to_owned(),
            named,
            options,
        )])
    })
}

fn texts(body: &Map<String, Value>, name: &str) -> Result<Vec<String>, Refused> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list
            .iter()
            .map(|item| item.as_str().map(ToOwned::to_owned))
            .collect::<Option<Vec<String>>>()
            .ok_or_else(|| wrong_type(name)),
        Some(_) => Err(wrong_type(name)),
    }
}

fn wrong_type(name: &str) -> Refused {
    let msg =
        format!("Invalid parameter type in json: {name}. Please check and modify accordingly.");
    Refused::new(400, 9499, msg)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(query: Option<&str>, body: &str) -> i64 {
        match Question::read(query, body.as_bytes()) {
            Ok(_) => 0,
            Err(refused) => refused.reply("").code.unwrap_or(-1),
        }
    }

    #[test]
    fn what_is_missing_is_empty() {
        for body in [
            "",
            "{}",
            r#"{"emails":null,"mobiles":[],"include_resigned":null}"#,
        ] {
            assert_eq!(code(None, body), 0, "{body}");
        }
    }

    #[test]
    fn broken_json_and_wrong_types_are_bad_requests() {
        for body in [
            "{",
            "[]",
            r#"{"emails":"a@x"}"#,
            r#"{"mobiles":[1]}"#,
            r#"{"include_resigned":"yes"}"#,
        ] {
            assert_eq!(code(None, body), 9499, "{body}");
        }
    }

    #[test]
    fn only_the_three_kinds_of_id_exist() {
        for (query, expected) in [
            ("user_id_type=open_id", 0),
            ("a=b&user_id_type=union_id", 0),
            ("user_id_type=user_id", 0),
            ("user_id_type=", 0),
            ("user_id_type=email", 99_992_402),
        ] {
            assert_eq!(code(Some(query), "{}"), expected, "{query}");
        }
    }

    #[test]
    fn an_address_in_other_letters_is_a_duplicate() {
        let mut question = Question {
            emails: vec!["a@x".to_owned(), "A@x".to_owned()],
            ..Question::default()
        };
        assert!(question.has_duplicates());
        question.emails.truncate(1);
        assert!(!question.has_duplicates());
    }
}
