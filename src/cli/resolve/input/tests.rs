#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

/// All rows as `kind:text`, and the error that ended them, if one did.
fn read(content: &[u8], column: Option<&str>) -> (Vec<String>, Option<String>) {
    let reader: Reader = Box::new(io::Cursor::new(content.to_vec()));
    let input = match Input::read(reader, "f".to_owned(), column) {
        Ok(input) => input,
        Err(error) => return (Vec::new(), Some(error.to_string())),
    };
    let mut rows = Vec::new();
    for row in input {
        match row {
            Ok(row) => rows.push(show(&row)),
            Err(error) => return (rows, Some(error.to_string())),
        }
    }
    (rows, None)
}

fn show(row: &Row) -> String {
    match &row.identifier.kind {
        Some(Kind::Email(text)) => format!("email:{text}"),
        Some(Kind::Mobile(text)) => format!("mobile:{text}"),
        None => "none".to_owned(),
    }
}

fn rows(content: &str, column: Option<&str>) -> Vec<String> {
    let (rows, error) = read(content.as_bytes(), column);
    assert_eq!(error, None);
    rows
}

fn error(content: &[u8], column: Option<&str>) -> String {
    read(content, column).1.unwrap()
}

#[test]
fn an_argument_with_an_at_is_an_email_else_a_mobile() {
    let input = Input::arguments(vec![" a@b.c ".to_owned(), "138 0013 8000".to_owned()]);
    let shown: Vec<_> = input.map(|row| show(&row.unwrap())).collect();
    assert_eq!(shown, ["email:a@b.c", "mobile:138 0013 8000"]);
}

#[test]
fn lines_may_have_a_bom_windows_ends_blanks_and_no_last_newline() {
    let read = rows("\u{feff}a@b.c\r\n\r\n  \r\n+8613800138000\r\nd@e.f", None);
    assert_eq!(
        read,
        ["email:a@b.c", "mobile:+8613800138000", "email:d@e.f"]
    );
}

#[test]
fn an_empty_file_has_nobody() {
    assert!(rows("", None).is_empty());
    assert!(rows("\n\n", None).is_empty());
}

#[test]
fn a_header_makes_it_csv_and_an_email_is_preferred_to_a_mobile() {
    let table = "\u{feff}Name, Email ,MOBILE\r\nAda,a@b.c,1\r\nBob,,2\r\nEve, ,\r\n";
    assert_eq!(rows(table, None), ["email:a@b.c", "mobile:2", "none"]);
}

#[test]
fn a_column_email_holds_emails_whatever_they_look_like() {
    assert_eq!(rows("email\nnobody\n", None), ["email:nobody"]);
}

#[test]
fn semicolons_and_tabs_part_columns_too() {
    assert_eq!(rows("name;mobile\nAda;1\n", None), ["mobile:1"]);
    assert_eq!(rows("name\temail\nAda\ta@b.c\n", None), ["email:a@b.c"]);
}

#[test]
fn a_named_column_holds_either_kind() {
    let table = "id,联系方式\n1,a@b.c\n2,138\n";
    assert_eq!(rows(table, Some("联系方式")), ["email:a@b.c", "mobile:138"]);
    // One column alone needs no delimiter.
    assert_eq!(rows("who\na@b.c\n", Some("WHO")), ["email:a@b.c"]);
}

#[test]
fn a_column_that_is_not_there_is_an_error_that_lists_those_that_are() {
    assert_eq!(
        error(b"\na,b\n1,2\n", Some("c")),
        "f:2: has no column \"c\"; it has: a, b"
    );
    let told = error(b"name,phone\n", None);
    assert!(told.starts_with("f:1: has neither a column email nor mobile"));
}

#[test]
fn a_row_of_another_length_is_an_error_with_its_line_after_the_good_rows() {
    for (table, line) in [
        ("\nname,email\nAda,a@b.c\nBob\n", 4),
        ("name,email\r\nAda,a@b.c\r\nBob\r\n", 3),
        ("name,email\n\"Ada\nL.\",a@b.c\nBob", 4),
        ("name,email\nAda,a@b.c\n\n\nBob\n", 5),
    ] {
        let (rows, error) = read(table.as_bytes(), None);
        assert_eq!(rows, ["email:a@b.c"]);
        let expected = format!("f:{line}: has 1 columns where the header has 2");
        assert_eq!(error.unwrap(), expected);
    }
}

#[test]
fn a_quote_that_is_never_closed_is_an_error_and_does_not_draw_in_the_file() {
    let told = error(b"email\n\"a@b.c\nd@e.f\n", None);
    assert_eq!(
        told,
        "f:2: the identifier holds a line break: is a quote not closed?"
    );

    let mut long = b"email\n\"a@b.c\n".to_vec();
    for _ in 0..100_000 {
        long.extend_from_slice(b"d@e.f\n");
    }
    let told = error(&long, None);
    assert!(
        told.contains("the row is longer than 65536 bytes"),
        "{told}"
    );
}

#[test]
fn other_columns_may_have_any_encoding_and_come_back_as_they_were() {
    let content = b"name,email\n\xb0\xa2\xb4\xef,a@b.c\n";
    let reader: Reader = Box::new(io::Cursor::new(content.to_vec()));
    let mut input = Input::read(reader, "f".to_owned(), None).unwrap();
    assert_eq!(input.header().unwrap(), vec!["name", "email"]);
    let row = input.next().unwrap().unwrap();
    assert_eq!(row.own.get(0).unwrap(), b"\xb0\xa2\xb4\xef");
    assert_eq!(row.text(), "a@b.c");
}

#[test]
fn what_is_not_utf_8_is_an_error_with_its_line() {
    let told = error(b"a@b.c\n\xff@b.c\n", None);
    assert_eq!(told, "f:2: is not UTF-8: save the file as UTF-8");
    let told = error(b"email\na@b.c\n\xff@b.c\n", None);
    assert_eq!(
        told,
        "f:3: the identifier is not UTF-8: save the file as UTF-8"
    );
    let told = error(b"\xff\xfea\0@\0b\0", None);
    assert_eq!(told, "f:1: the file is UTF-16: save it as UTF-8");
}

#[test]
fn a_line_without_end_is_an_error() {
    let mut content = b"a@b.c\n".to_vec();
    content.resize(200_000, b'x');
    let (rows, error) = read(&content, None);
    assert_eq!(rows, ["email:a@b.c"]);
    assert!(
        error
            .unwrap()
            .starts_with("f:2: the line is longer than 65536 bytes")
    );
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_that_names_it() {
    let error = Input::open(Path::new("/nonexistent/people.csv"), None)
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .starts_with("/nonexistent/people.csv: cannot be read: ")
    );
}
