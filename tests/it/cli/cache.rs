//! `cache` against a server on the simulated Feishu.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Stdio},
};

use serde_json::Value;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{fake::Fake, feishu_id, run};

/// A running `serve --sandbox`; ends when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(settings: &[(&str, &str)]) -> Self {
        let mut child = feishu_id(&["serve", "--sandbox", "--listen", "127.0.0.1:0"])
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "it ended");
            if let Some(address) = line.trim().strip_prefix("feishu-id listens on ") {
                break address.to_owned();
            }
        };
        // What else it has to say is read, so that it never waits for us.
        std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
        Self { child, address }
    }

    /// The same arguments with `--server`; the standard output of a run that ends well.
    fn says(&self, args: &[&str]) -> String {
        let told = run(&[args, &["--server", &self.address]].concat());
        assert_eq!(told.code, Some(0), "{args:?}: {}", told.stderr);
        told.stdout
    }

    fn entries(&self) -> i64 {
        let stats = self.says(&["cache", "stats", "--format", "json"]);
        let stats: Value = serde_json::from_str(&stats).unwrap();
        // The proto's JSON leaves zeros out.
        let entries = &stats["cache"]["entries"];
        entries
            .as_str()
            .map_or(0, |entries| entries.parse().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_is_remembered_is_seen_and_flushed() {
    let server = Server::start();
    let both = "yiming.luo@both.example";
    let resolve = || {
        for args in [
            &["resolve", "wei.wang@acme.example", "+8613000009009", both][..],
            &["resolve", "--tenant", "globex", both],
        ] {
            server.says(args);
        }
        run(&[
            "resolve",
            "--server",
            &server.address,
            "nobody@acme.example",
        ]);
    };
    resolve();
    assert_eq!(server.entries(), 5);
    for (args, flushed) in [
        (&["WEI.WANG@acme.example", "13000009009"][..], 2),
        (&["--negative", both], 0),
        (&["--tenant", "acme", "--negative"], 1),
        (&["--tenant", "globex"], 1),
        (&["--really", "--negative"], 0),
        (&["--really"], 1),
    ] {
        let told = server.says(&[&["cache", "flush"], args].concat());
        assert_eq!(told, format!("flushed: {flushed} in memory\n"), "{args:?}");
    }
    assert_eq!(server.entries(), 0);
}

#[test]
fn the_stats_are_readable_and_one_tenant_can_be_picked() {
    let server = Server::start();
    server.says(&["resolve", "wei.wang@acme.example"]);
    let all = server.says(&["cache", "stats"]);
    for part in [
        concat!("feishu-id ", env!("CARGO_PKG_VERSION"), ", up "),
        "in force for",
        "1 of 1000000 entries",
        "12h, in an outage 1day more",
        "acme (default)",
        "globex",
        "accepted",
        "not known yet",
        " old, good for 1h 59m",
        " of 1000 in 1m",
        "2 calls in 20",
        "none since the start",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    let one = server.says(&["cache", "stats", "--tenant", "globex"]);
    assert!(one.contains("globex") && !one.contains("acme"), "{one}");
}

#[test]
fn all_tenants_need_a_second_word() {
    for args in [&["cache", "flush"][..], &["cache", "flush", "--negative"]] {
        // Before any server is asked.
        let told = run(&[args, &["--server", "127.0.0.1:1"]].concat());
        assert_eq!(told.code, Some(2), "{}", told.stderr);
        assert!(
            told.stderr.contains("everybody of every tenant"),
            "{}",
            told.stderr
        );
        assert!(told.stderr.contains("--really"), "{}", told.stderr);
        assert!(told.stdout.is_empty());
    }
}

#[test]
fn a_server_that_is_not_there_exits_with_3() {
    for args in [
        &["cache", "stats"][..],
        &["cache", "flush", "--really"],
        &["cache", "flush", "a@b.c"],
    ] {
        let told = run(&[args, &["--server", "127.0.0.1:1"]].concat());
        assert_eq!(told.code, Some(3), "{args:?}: {}", told.stderr);
        assert!(told.stderr.contains("feishu-id serve"), "{}", told.stderr);
    }
}

#[test]
fn what_cannot_be_meant_exits_with_2_and_repeats_nobodys_address() {
    let server = Server::start();
    server.says(&["resolve", "wei.wang@acme.example"]);
    for (args, said) in [
        (
            &["flush", "wei.wang@acme.example", "wei@"][..],
            "IDENTIFIER 2: not an e-mail address",
        ),
        (&["flush", "12"], "IDENTIFIER 1: not a mobile number"),
        (&["flush", "--tenant", "nowhere"], "no tenant of this name"),
        (&["stats", "--tenant", "nowhere"], "no tenant of this name"),
        // A script's variable that is not set: not the default tenant's everybody.
        (
            &["flush", "--tenant", ""],
            "a value is required for '--tenant <NAME>'",
        ),
        (
            &["flush", "--tenant="],
            "a value is required for '--tenant <NAME>'",
        ),
        (&["flush", "a@b.example", "--really"], "cannot be used with"),
        (
            &["flush", "--tenant", "globex", "--really"],
            "cannot be used with",
        ),
    ] {
        let told = run(&[&["cache"], args, &["--server", &server.address]].concat());
        assert_eq!(told.code, Some(2), "{args:?}: {}", told.stderr);
        assert!(told.stderr.contains(said), "{args:?}: {}", told.stderr);
        assert!(!told.stderr.contains("wei"), "{}", told.stderr);
    }
    assert_eq!(server.entries(), 1);
}

/// `cache flush` of so many people.
fn flush_of(count: usize, server: &str) -> super::Ended {
    let people: Vec<_> = (0..count)
        .map(|who| format!("load-{who}@acme.example"))
        .collect();
    let mut args = vec!["cache", "flush", "--server", server];
    args.extend(people.iter().map(String::as_str));
    run(&args)
}

#[test]
fn more_people_than_a_server_takes_at_a_time_are_flushed_in_parts() {
    for most in ["100", "1"] {
        let server = Server::start_with(&[("FEISHU_ID_GRPC__MAX_IDENTIFIERS", most)]);
        for who in ["load-0@acme.example", "load-249@acme.example"] {
            server.says(&["resolve", who]);
        }
        let told = flush_of(250, &server.address);
        assert_eq!(
            told.stdout, "flushed: 2 in memory\n",
            "{most}: {}",
            told.stderr
        );
        assert_eq!((told.code, server.entries()), (Some(0), 0));
    }
}

/// The error of a server whose store is `why`.
fn store_unavailable(why: &str) -> Status {
    let details = ErrorDetails::with_error_info("STORE_UNAVAILABLE", "feishu-id", []);
    Status::with_error_details(Code::Unavailable, why, details)
}

#[test]
fn a_server_that_answers_that_it_cannot_is_not_said_to_have_gone() {
    let server = Fake::administration(vec![Some(store_unavailable("the store is busy"))]);
    let told = flush_of(1, &server.url);
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    let expected = "error: the server could not do it, try again: the store is busy\n";
    assert_eq!(told.stderr, expected);
    let told = run(&["cache", "flush", "--really", "--server", &server.url]);
    assert_eq!(
        (told.code, told.stdout.as_str()),
        (
            Some(0),
            "flushed: 1000000 in memory, 2000000 in the store\n"
        )
    );
}

#[test]
fn what_was_flushed_before_a_failure_is_told() {
    let failing = vec![None, None, Some(store_unavailable("the disk is full"))];
    let server = Fake::administration(failing);
    let told = flush_of(2500, &server.url);
    assert_eq!((told.code, told.stdout.as_str()), (Some(1), ""));
    assert!(told.stderr.contains("the disk is full"), "{}", told.stderr);
    let expected =
        "the first 2000 of 2500 named were flushed before: 2000 in memory, 4000 in the store";
    assert!(told.stderr.contains(expected), "{}", told.stderr);
}
