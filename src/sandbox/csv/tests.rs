#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;

fn problem(text: &str) -> (u64, String) {
    parse(text.as_bytes()).err().unwrap()
}

#[test]
fn columns_come_in_any_order_behind_a_byte_order_mark_and_in_quotes() {
    let text = "\u{feff}Mobile,EMAIL,name,tenant,status,visible\r\n\
                130 0000 0001,\"a,b@x.example\",\"Li, Na\",one,frozen,no\r\n\
                ,c@x.example,C,,,\r\n";
    let tenants = parse(text.as_bytes()).unwrap();
    let names: Vec<&str> = tenants.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["one", "acme"]);
    let first = &tenants[0].1[0];
    assert_eq!(first.name, "Li, Na");
    assert_eq!(first.email.as_deref(), Some("a,b@x.example"));
    assert_eq!(first.mobile.as_deref(), Some("+8613000000001"));
    assert_eq!(first.status, Status::Frozen);
    assert!(!first.visible);
    assert!(tenants[1].1[0].visible);
}

#[test]
fn missing_ids_are_made_up_and_given_ones_kept() {
    let text = "email,user_id\na@x.example,mine\nb@x.example,\n";
    let people = parse(text.as_bytes()).unwrap().remove(0).1;
    assert_eq!(people[0].user_id, "mine");
    assert_eq!(people[1].user_id.len(), 8);
    let again = parse(text.as_bytes()).unwrap().remove(0).1;
    assert_eq!(again[1].user_id, people[1].user_id);
}

#[test]
fn whatever_is_wrong_is_said_with_its_line() {
    for (text, line, words) in [
        ("email,phone\n", 1, "unknown column \"phone\""),
        ("email,email\n", 1, "twice"),
        ("name,tenant\n", 1, "neither a column"),
        ("email\n", 1, "nobody"),
        ("", 1, "neither a column"),
        ("email\na@x\n\n\nb\n", 5, "has no @"),
        ("email\n\"a@x\n\"\nb\n", 2, "is its quote closed"),
        ("email\n\"a@x\n", 2, "is its quote closed"),
        (
            "email,status\na@x,gone\n",
            2,
            "status \"gone\" is not one of active",
        ),
        ("email,visible\na@x,\nb@x,maybe\n", 3, "visible \"maybe\""),
        (
            "email,mobile,name\n,,A\n",
            2,
            "neither an email nor a mobile",
        ),
        ("email,name\na@x,A,more\n", 2, "3 fields, the header 2"),
        ("email,name\na@x\n", 2, "1 fields, the header 2"),
        ("mobile\n2025550101\n", 2, "mobile \"2025550101\""),
        ("email,tenant\na@x,Acme Inc\n", 2, "tenant \"Acme Inc\""),
        ("email,user_id\na@x,u\nb@x,u\n", 3, "that of line 2"),
        ("email\na@x\na@x\n", 3, "that of line 2"),
    ] {
        let (at, problem) = problem(text);
        assert!(problem.contains(words), "{text:?}: {problem}");
        assert_eq!(at, line, "{text:?}: {problem}");
    }
}

#[test]
fn text_that_is_not_utf_8_is_refused_with_its_line() {
    let (line, problem) = parse(b"email\na@x\n\xff@x\n").err().unwrap();
    assert_eq!((line, problem.as_str()), (3, "the text is not UTF-8"));
}

#[test]
fn the_error_names_the_file() {
    let error = load(Path::new("/nowhere/people.csv")).err().unwrap();
    assert!(error.to_string().contains("/nowhere/people.csv"), "{error}");
}
