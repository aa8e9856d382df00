#![expect(clippy::unwrap_used, reason = "tests")]

use crate::pb::identity::{
    ErrorReason, Identifier, Outcome, ResolveError, User, UserStatus, identifier::Kind as On,
};

use super::*;

fn email(text: &str) -> Identifier {
    Identifier {
        kind: Some(On::Email(text.to_owned())),
    }
}

fn row(own: &[&str], text: &str) -> Row {
    Row {
        own: ByteRecord::from(own.to_vec()),
        identifier: email(text),
    }
}

fn resolved(text: &str, user_id: &str) -> Resolution {
    Resolution {
        identifier: Some(email(text)),
        outcome: Outcome::Resolved.into(),
        user: Some(User {
            user_id: user_id.to_owned(),
            ..User::default()
        }),
        ..Resolution::default()
    }
}

fn invalid(text: &str, message: &str) -> Resolution {
    Resolution {
        identifier: Some(email(text)),
        outcome: Outcome::Invalid.into(),
        error: Some(Box::new(ResolveError {
            reason: ErrorReason::InvalidEmail.into(),
            message: message.to_owned(),
            ..ResolveError::default()
        })),
        ..Resolution::default()
    }
}

fn printed(
    format: Format,
    own_columns: Option<&[&str]>,
    rows: &[Row],
    answers: &[Resolution],
) -> String {
    let mut bytes = Vec::new();
    let header = own_columns.map(|names| ByteRecord::from(names.to_vec()));
    let mut output = Output::new(&mut bytes, format, &[Kind::UserId], header.as_ref()).unwrap();
    output.write(rows, answers).unwrap();
    output.finish().unwrap();
    drop(output);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn json_is_one_resolution_a_line_in_canonical_form() {
    let mut answer = resolved("a@b.c", "u1");
    answer.resolve_time = Some(prost_types::Timestamp {
        seconds: 1,
        nanos: 0,
    });
    let answers = [answer, invalid("x", "not an e-mail address")];
    assert_eq!(
        printed(Format::Json, None, &[], &answers),
        "{\"identifier\":{\"email\":\"a@b.c\"},\"outcome\":\"OUTCOME_RESOLVED\",\
         \"user\":{\"userId\":\"u1\"},\"resolveTime\":\"1970-01-01T00:00:01Z\"}\n\
         {\"identifier\":{\"email\":\"x\"},\"outcome\":\"OUTCOME_INVALID\",\
         \"error\":{\"reason\":\"ERROR_REASON_INVALID_EMAIL\",\
         \"message\":\"not an e-mail address\"}}\n"
    );
}

#[test]
fn csv_puts_the_inputs_own_columns_first() {
    let rows = [
        row(&["Ada, L.", "a@b.c"], "a@b.c"),
        row(&["=1+1", "x"], "x"),
    ];
    let answers = [resolved("a@b.c", "u1"), invalid("x", "no")];
    assert_eq!(
        printed(Format::Csv, Some(&["name", "email"]), &rows, &answers),
        "name,email,identifier,outcome,user_id,open_id,union_id,reason\n\
         \"Ada, L.\",a@b.c,a@b.c,RESOLVED,u1,,,\n\
         =1+1,x,x,INVALID,,,,INVALID_EMAIL\n"
    );
}

#[test]
fn csv_has_a_header_even_without_rows() {
    assert_eq!(
        printed(Format::Csv, None, &[], &[]),
        "identifier,outcome,user_id,open_id,union_id,reason\n"
    );
}

#[test]
fn csv_disarms_formulas_in_the_answers_columns_and_leaves_numbers_alone() {
    for (text, shown) in [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("@SUM(1)", "'@SUM(1)"),
        ("-2+3", "'-2+3"),
        ("+1+cmd", "'+1+cmd"),
        ("+86 138-0013-8000", "+86 138-0013-8000"),
        ("a@b.c", "a@b.c"),
    ] {
        let out = printed(
            Format::Csv,
            None,
            &[row(&[], text)],
            &[resolved(text, text)],
        );
        let expected = format!("\n{shown},RESOLVED,{shown},,,\n");
        assert!(out.ends_with(&expected), "{out}");
    }
}

#[test]
fn a_table_shows_ids_errors_candidates_and_states() {
    let mut left = resolved("b@b.c", "u2");
    let status = UserStatus {
        resigned: true,
        ..UserStatus::default()
    };
    left.user.as_mut().unwrap().status = Some(status);
    let user = |id: &str| User {
        user_id: id.to_owned(),
        ..User::default()
    };
    let ambiguous = Resolution {
        identifier: Some(email("c@b.c")),
        outcome: Outcome::Ambiguous.into(),
        candidates: vec![user("u3"), user("u4")],
        ..Resolution::default()
    };
    let answers = [
        resolved("a@b.c", "u1"),
        left,
        ambiguous,
        invalid("x", "why"),
    ];
    let out = printed(Format::Table, None, &[], &answers);
    let line = |start: &str| {
        out.lines()
            .find(|l| l.trim().starts_with(start))
            .unwrap()
            .to_owned()
    };
    assert!(line("identifier").contains("user_id"));
    assert!(!line("identifier").contains("open_id"));
    assert!(line("a@b.c").contains("resolved") && line("a@b.c").contains("u1"));
    assert!(line("b@b.c").contains("resigned"));
    assert!(line("c@b.c").contains("u3 or u4"));
    assert!(line("x").contains("invalid") && line("x").contains("why"));
}

#[test]
fn a_table_lets_no_control_character_through() {
    let nasty = "a\u{1b}[2J\u{202e}@b.c\n";
    let out = printed(Format::Table, None, &[], &[resolved(nasty, "u")]);
    assert!(!out.contains('\u{1b}') && !out.contains('\u{202e}'));
    assert!(out.contains("a\u{fffd}[2J\u{fffd}@b.c\u{fffd}"));
}
