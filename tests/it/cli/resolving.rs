//! `resolve` against a server.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    sync::atomic::Ordering,
};

use feishu_id::pb::identity::ErrorReason;

use super::{
    TempFile, ended,
    fake::{Fake, Script},
    feishu_id, run, run_with_input,
};

fn people(count: usize) -> String {
    let lines: Vec<_> = (0..count).map(|n| format!("p{n}@example.com\n")).collect();
    lines.concat()
}

#[test]
fn all_resolved_exits_with_0_and_the_summary_goes_to_standard_error() {
    let server = Fake::start(Script::default());
    let told = run(&["resolve", "--server", &server.url, "a@b.c", "138"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stdout.contains("id-of-a@b.c"));
    assert!(told.stdout.contains("id-of-138"));
    assert!(
        told.stderr.starts_with("2 resolved of 2 in "),
        "{}",
        told.stderr
    );
}

#[test]
fn somebody_not_found_exits_with_1() {
    let server = Fake::start(Script::default());
    let told = run(&["resolve", "--server", &server.url, "a@b.c", "nobody@b.c"]);
    assert_eq!(told.code, Some(1));
    assert!(told.stdout.contains("not found"));
    assert!(
        told.stderr.starts_with("1 resolved, 1 not found of 2"),
        "{}",
        told.stderr
    );
}

#[test]
fn csv_from_a_file_keeps_its_columns_and_its_order() {
    let server = Fake::start(Script::default());
    let file = TempFile::new(
        "people.csv",
        "\u{feff}name,email,mobile\r\nAda,a@b.c,1\r\nBob,,+86 2\r\nEve,,\r\n",
    );
    let told = run(&[
        "resolve",
        "--server",
        &server.url,
        "--format",
        "csv",
        "--file",
        file.path(),
    ]);
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    assert_eq!(
        told.stdout,
        "name,email,mobile,identifier,outcome,user_id,open_id,union_id,reason\n\
         Ada,a@b.c,1,a@b.c,RESOLVED,id-of-a@b.c,,,\n\
         Bob,,+86 2,+86 2,RESOLVED,id-of-+86 2,,,\n\
         Eve,,,,NOT_FOUND,,,,\n"
    );
}

#[test]
fn order_is_kept_where_answers_overtake_one_another() {
    let server = Fake::start(Script {
        overtake: true,
        ..Script::default()
    });
    let input = people(6500);
    let args = [
        "resolve",
        "--server",
        &server.url,
        "--format",
        "json",
        "--file",
        "-",
    ];
    let told = run_with_input(&args, input.as_bytes());
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let got: Vec<String> = told
        .stdout
        .lines()
        .map(|line| {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(json["outcome"], "OUTCOME_RESOLVED");
            json["identifier"]["email"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(got, input.lines().collect::<Vec<_>>());
    assert_eq!(server.seen.batches.load(Ordering::SeqCst), 7);
    assert_eq!(server.seen.largest_batch.load(Ordering::SeqCst), 1000);
}

#[test]
fn a_stream_that_breaks_off_is_taken_up_where_it_ended() {
    let server = Fake::start(Script {
        break_off_after: Some(2),
        ..Script::default()
    });
    let args = [
        "resolve",
        "--server",
        &server.url,
        "--format",
        "csv",
        "--file",
        "-",
    ];
    let told = run_with_input(&args, people(5000).as_bytes());
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert_eq!(told.stdout.lines().count(), 5001);
    assert_eq!(server.seen.streams.load(Ordering::SeqCst), 2);
    assert_eq!(server.seen.batches.load(Ordering::SeqCst), 5);
}

#[test]
fn nobody_at_the_address_exits_with_3() {
    // Bound and never accepted from would hang in the backlog; closed refuses.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap().to_string();
    drop(closed);
    let told = run(&["resolve", "--server", &address, "a@b.c"]);
    assert_eq!(told.code, Some(3));
    assert!(
        told.stderr
            .contains(&format!("cannot reach http://{address}"))
    );
    assert!(told.stderr.contains("feishu-id serve"));
}

#[test]
fn feishu_out_of_reach_exits_with_3_and_says_so_per_identifier() {
    let server = Fake::start(Script {
        fail: Some(ErrorReason::UpstreamUnavailable),
        ..Script::default()
    });
    let told = run(&[
        "resolve",
        "--server",
        &server.url,
        "--format",
        "csv",
        "a@b.c",
    ]);
    assert_eq!(told.code, Some(3));
    assert!(
        told.stdout
            .ends_with("a@b.c,FAILED,,,,UPSTREAM_UNAVAILABLE\n")
    );
    assert!(told.stderr.contains("failed (1): as the script says"));
}

#[test]
fn a_tenant_that_is_not_there_exits_with_2() {
    let server = Fake::start(Script {
        fail: Some(ErrorReason::TenantNotFound),
        ..Script::default()
    });
    let told = run(&["resolve", "--server", &server.url, "--tenant", "x", "a@b.c"]);
    assert_eq!(told.code, Some(2));
    assert!(told.stderr.contains("error: as the script says"));
}

#[test]
fn bad_csv_exits_with_2_and_the_line_after_answering_what_was_good() {
    let server = Fake::start(Script::default());
    let args = [
        "resolve",
        "--server",
        &server.url,
        "--format",
        "csv",
        "--file",
        "-",
    ];
    let told = run_with_input(&args, b"name,email\nAda,a@b.c\nBob\n");
    assert_eq!(told.code, Some(2), "{}", told.stderr);
    assert!(
        told.stdout.contains("Ada,a@b.c,a@b.c,RESOLVED"),
        "{}",
        told.stdout
    );
    let expected = "error: standard input:3: has 1 columns where the header has 2";
    assert!(told.stderr.contains(expected), "{}", told.stderr);
}

#[test]
fn a_reader_that_wants_one_line_is_no_panic() {
    for (format, first) in [("json", "p0@example.com"), ("csv", "identifier,")] {
        one_line(format, first);
    }
}

fn one_line(format: &str, first: &str) {
    let server = Fake::start(Script::default());
    let file = TempFile::new("many.txt", people(20_000));
    let mut child = feishu_id(&[
        "resolve",
        "--server",
        &server.url,
        "--format",
        format,
        "--file",
        file.path(),
    ])
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.contains(first));
    let told = ended(child.wait_with_output().unwrap());
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stderr.is_empty(), "{}", told.stderr);
}
