//! People and secrets that stand nowhere else are led through the whole program while it tells all that
//! it can tell, and then looked for in everything that it has told: logs, metrics, errors, the store,
//! what commands print. Whatever is found there has leaked.

mod calls;
mod commands;
mod faults;
mod gathered;
mod marks;
mod program;
mod spans;
mod upstream;
mod world;

use std::time::Duration;

use gathered::Gathered;
use world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_server_tells_holds_anybodys_data_or_a_secret() {
    let world = World::start().await;
    let mut told = Gathered::default();

    let server = world.serve(&["--log-level", "trace"]).await;
    calls::of_every_kind(&server, &world, &mut told).await;
    calls::that_break_the_rules(&server, &mut told).await;
    faults::every_switch(&server, &world, &mut told).await;
    faults::every_answer_of_a_hostile_feishu(&server, &world, &mut told).await;
    commands::against(&server, &mut told);
    told.page("metrics", server.page("/metrics").await);
    told.page("readyz", server.page("/readyz").await);
    calls::while_it_drains(server, &mut told).await;

    // The next process finds what this one has stored, and writes its log in the other form.
    let server = world
        .serve(&["--log-level", "trace", "--log-format", "json"])
        .await;
    calls::of_every_kind(&server, &world, &mut told).await;
    calls::that_break_the_rules(&server, &mut told).await;
    told.page("metrics", server.page("/metrics").await);
    calls::while_it_drains(server, &mut told).await;

    told.files("store", &world.data_dir());
    told.add("traces", world.collector.bytes());
    world
        .tokens()
        .await
        .into_iter()
        .for_each(|token| told.look_for("token", &token));
    // What is told of by its name is found in each of them: they are what they are taken for.
    for (source, text, least) in [
        ("text log", "a lookup call failed", 300),
        ("json log", "a request failed", 50),
        ("metrics", marks::TENANT, 50),
        ("traces", "identityservice/resolveuserids", 1),
        ("traces", "batch_get_id", 1),
        ("error", "tenant h1: ", 50),
        ("cache stats", marks::TENANT, 10),
    ] {
        told.must_tell(source, text, least);
    }
    told.must_hold_nothing();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_command_says_beside_its_answer_holds_anybodys_data_or_a_secret() {
    let world = World::start().await;
    let mut told = Gathered::default();
    commands::that_resolve(&world, &mut told);
    commands::that_check_configurations(&world, &mut told);
    told.must_tell("check-config", marks::TENANT, 20);
    told.must_tell("resolve", "resolved", 1);
    told.must_hold_nothing();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_log_line_of_a_handshake_holds_the_servers_key() {
    let world = World::start().await;
    let mut told = Gathered::default();
    let authority = crate::certificates::Authority::new();
    let issued = authority.issue(&crate::certificates::HERE);
    let certificate = world.file("server.pem", &issued.certificate);
    let key = world.file("server.key", &issued.key);
    let tls = format!("[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
    let good = std::fs::read_to_string(world.configuration()).unwrap();
    let path = world.file("tls.toml", &format!("{good}{tls}"));
    let server = program::Server::start(&["--log-level", "trace"], &path).await;
    let garbage = program::send(server.grpc, &[0x16, 3, 1, 0, 2, 1, 0]).await;
    told.add("page", garbage);
    told.add(
        "page",
        program::send(server.grpc, marks::EMAIL.as_bytes()).await,
    );
    told.page("metrics", server.page("/metrics").await);
    server.terminate();
    server.ended(&mut told).await;
    let checked = program::run(program::feishu_id().args(["check-config", &path]));
    told.add("check-config", checked.stdout);
    // One whose key is cut off, and one with its files the wrong way round.
    let cut = world.file("cut.key", &issued.key[..issued.key.len() / 2]);
    for (certificate, key) in [(&certificate, &cut), (&key, &certificate)] {
        let tls = format!("[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
        let path = world.file("bad.toml", &format!("{good}{tls}"));
        let refused = program::run(program::feishu_id().args(["serve", "--config", &path]));
        assert_eq!(refused.status.code(), Some(2));
        told.add("standard error", refused.stderr);
    }
    let lines = issued.key.lines().filter(|line| !line.starts_with("-----"));
    lines.for_each(|line| told.look_for("key", line));
    told.must_tell("text log", "serving", 1);
    told.must_hold_nothing();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_callers_key_is_told_neither_a_good_one_nor_a_bad_one() {
    let world = World::start().await;
    let mut told = Gathered::default();
    let made = program::run(program::feishu_id().args(["keys", "new", "web"]));
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    // The lines for the configuration hold its hash alone.
    told.add("keys", made.stderr.clone());
    let lines = String::from_utf8(made.stderr).unwrap();
    let good = std::fs::read_to_string(world.configuration()).unwrap();
    let callers = format!("{lines}\ntenants = [\"*\"]\npermissions = [\"fresh\", \"admin\"]\n");
    let path = world.file("callers.toml", &format!("{good}\n{callers}"));
    let server = program::Server::start(&["--log-level", "trace"], &path).await;
    for shown in [&key, marks::KEY] {
        calls::with_key(&server, shown, &mut told).await;
    }
    told.page("metrics", server.page("/metrics").await);
    let checked = program::run(program::feishu_id().args(["check-config", &path]));
    assert!(checked.status.success());
    told.add("check-config", checked.stdout);
    server.terminate();
    server.ended(&mut told).await;
    told.look_for("key", &key);
    // Who was let in, and who was not, is in the audit log.
    told.must_tell("text log", "audit", 10);
    told.must_tell("text log", "refused", 10);
    told.must_hold_nothing();
}

#[tokio::test]
async fn no_span_and_no_event_of_any_library_that_is_let_through_holds_anybodys_data_or_a_secret() {
    spans::every_field_of_all_of_them().await;
}

/// Longest that anything here waits for; far above what it takes.
const PATIENCE: Duration = Duration::from_secs(20);
