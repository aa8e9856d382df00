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

#[tokio::test]
async fn no_span_and_no_event_of_any_library_that_is_let_through_holds_anybodys_data_or_a_secret() {
    spans::every_field_of_all_of_them().await;
}

/// Longest that anything here waits for; far above what it takes.
const PATIENCE: Duration = Duration::from_secs(20);
