//! What a change does to a server, whoever tells it of it.

use std::{
    fs,
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use feishu_id::pb::identity::{
    Identifier, Outcome, Resolution, ResolveUserIdsRequest, identifier::Kind,
};
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::sleep;
use tonic::{Code, Status};

use super::server::{Server, tenant_of};

const APPLIED: &str = "has been read again and is in force";
const REFUSED: &str = "the new configuration is refused";
/// A secret that the sandbox does not have at its start.
const NEW_SECRET: &str = "b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b3";

fn request(tenant: &str, who: &str, anew: bool) -> ResolveUserIdsRequest {
    ResolveUserIdsRequest {
        tenant: tenant.to_owned(),
        identifiers: vec![Identifier {
            kind: Some(Kind::Email(who.to_owned())),
        }],
        max_age: anew.then(prost_types::Duration::default),
        ..ResolveUserIdsRequest::default()
    }
}

async fn ask(server: &Server, tenant: &str) -> Result<Resolution, Status> {
    let who = format!("load-1@{tenant}.example");
    let mut client = server.client().await;
    let answer = client.resolve_user_ids(request(tenant, &who, true)).await?;
    Ok(answer.into_inner().resolutions.remove(0))
}

/// Calls by several clients for as long as `meanwhile` takes; none may fail. Says how many there were.
async fn calling(server: &Server, meanwhile: impl Future<Output = ()>) -> usize {
    let (calls, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let call = |caller: usize| {
        let (calls, is_over) = (&calls, &is_over);
        async move {
            let mut client = server.client().await;
            for n in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let who = format!("load-{}@acme.example", caller * 1000 + n % 100);
                let request = request("", &who, n % 50 == 0);
                let answer = client.resolve_user_ids(request).await;
                let answer = answer.unwrap_or_else(|failed| panic!("{failed}: {}", server.log()));
                let resolution = answer.into_inner().resolutions.remove(0);
                assert_eq!(resolution.outcome(), Outcome::Resolved);
                calls.fetch_add(1, Ordering::Relaxed);
                // Some 300 calls a second in all, a few of which go to Feishu.
                sleep(Duration::from_millis(10)).await;
            }
        }
    };
    let meanwhile = async {
        meanwhile.await;
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(join_all((0..4).map(call)), meanwhile);
    calls.into_inner()
}

#[tokio::test]
async fn a_hundred_reloads_under_load_fail_no_call() {
    let server = Server::start("hundred", "").await;
    let reloads = async {
        for n in 1..=100_u32 {
            server.configure(&format!(
                "[cache]\nttl = \"{}s\"\n[quota]\nper_second = {}\n[upstream]\ntimeout = \"{}s\"",
                10 + n % 3,
                40 + n % 10,
                4 + n % 2
            ));
            server.signal("-HUP");
            server.until_reloads("applied", f64::from(n)).await;
        }
    };
    let calls = calling(&server, reloads).await;
    assert!(calls > 50, "{calls}");
    assert!(server.said(APPLIED) >= 100);
    assert_eq!(server.reloads("refused").await, 0.0);
}

#[tokio::test]
async fn a_secret_that_is_rotated_at_feishu_and_in_its_file_fails_no_call() {
    let server = Server::start("rotation", "").await;
    let rotate = async {
        sleep(Duration::from_millis(300)).await;
        server
            .faults(&json!({"secrets": {"acme": NEW_SECRET}}))
            .await;
        sleep(Duration::from_millis(300)).await;
        // Nobody tells the server: it looks at the file itself.
        server.folder.write("acme.secret", NEW_SECRET);
        server.until_said("tenants_changed=\"acme\"").await;
        sleep(Duration::from_millis(300)).await;
    };
    let calls = calling(&server, rotate).await;
    assert!(calls > 20, "{calls}");
    let metrics = server.metrics().await;
    let tokens = |result| {
        let labels = [("tenant", "acme"), ("result", result)];
        metrics.sum("feishu_id_token_refreshes_total", &labels)
    };
    assert_eq!((tokens("ok"), tokens("bad_credentials")), (2.0, 0.0));
    assert!(!server.log().contains(NEW_SECRET));
}

#[tokio::test]
async fn a_bad_file_is_refused_as_a_whole_and_the_one_before_stays_in_force() {
    let server = Server::start("refused", "").await;
    let applied_at = async || {
        let name = "feishu_id_config_last_reload_success_timestamp_seconds";
        server.metrics().await.sum(name, &[])
    };
    let is_good = async || {
        let name = "feishu_id_config_last_reload_successful";
        server.metrics().await.sum(name, &[])
    };
    let began = applied_at().await;
    assert!(began > 1_700_000_000.0 && is_good().await == 1.0);
    // One mistake beside what would be a good change.
    let sandbox = &server.sandbox;
    let acme = tenant_of(sandbox, &sandbox.tenants()[0]);
    let bad = format!("[quota]\nper_second = 7\n[cache]\nttl = 5\n{acme}");
    server.folder.write("feishu-id.toml", &bad);
    server.until_reloads("refused", 1.0).await;
    assert!(server.log().contains("cache.ttl: a duration needs a unit"));
    assert_eq!(is_good().await, 0.0);
    assert_eq!(
        ask(&server, "globex").await.unwrap().outcome(),
        Outcome::Resolved
    );
    // It is not tried again until somebody touches it, and then for another reason.
    sleep(Duration::from_millis(2500)).await;
    assert_eq!(server.said(REFUSED), 1);
    server.folder.write(
        "feishu-id.toml",
        &bad.replace("ttl = 5", "ttl = \"5s\"\nx = 1"),
    );
    server.until_reloads("refused", 2.0).await;
    assert!(server.log().contains("cache.x: no such setting"));
    // A file that it names and that is not there yet mends it by coming.
    let missing = bad
        .replace("ttl = 5", "ttl = \"5s\"")
        .replace("acme.secret", "late.secret");
    server.folder.write("feishu-id.toml", &missing);
    server.until_reloads("refused", 3.0).await;
    let secret = &sandbox.tenants()[0].app_secret;
    server.folder.write("late.secret", secret);
    server.until_reloads("applied", 1.0).await;
    assert_eq!(is_good().await, 1.0);
    assert!(applied_at().await > began);
    assert_eq!(
        ask(&server, "acme").await.unwrap().outcome(),
        Outcome::Resolved
    );
    let gone = ask(&server, "globex").await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let metrics = server.metrics().await;
    assert!(metrics.values("tenant").contains("acme"));
    assert!(!metrics.values("tenant").contains("globex"));
    assert!(!server.log().contains(secret.as_str()));
}

#[tokio::test]
async fn a_file_that_is_put_back_as_it_was_is_good_again() {
    let server = Server::start("back", "").await;
    let good = fs::read_to_string(server.folder.path("feishu-id.toml")).unwrap();
    server.folder.write("feishu-id.toml", "not TOML");
    server.until_reloads("refused", 1.0).await;
    server.folder.write("feishu-id.toml", &good);
    server.until_reloads("applied", 1.0).await;
    // What is only touched is not worth a word.
    server.folder.write("feishu-id.toml", &good);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(server.reloads("applied").await, 1.0);
}

#[tokio::test]
async fn a_secret_that_kubernetes_swaps_is_taken_up() {
    let server = Server::start("kubernetes", "").await;
    let folder = &server.folder;
    let acme = &server.sandbox.tenants()[0];
    for (version, secret) in [("..1", acme.app_secret.as_str()), ("..2", NEW_SECRET)] {
        fs::create_dir(folder.path(version)).unwrap();
        fs::write(
            folder.path(version).join("acme.secret"),
            format!("{secret}\n"),
        )
        .unwrap();
    }
    symlink("..1", folder.path("..data")).unwrap();
    fs::remove_file(folder.path("acme.secret")).unwrap();
    symlink("..data/acme.secret", folder.path("acme.secret")).unwrap();
    // The same content by another way: nothing to tell.
    sleep(Duration::from_secs(3)).await;
    assert_eq!(
        server.reloads("applied").await + server.reloads("refused").await,
        0.0
    );
    server
        .faults(&json!({"secrets": {"acme": NEW_SECRET}}))
        .await;
    symlink("..2", folder.path("..data_tmp")).unwrap();
    fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
    server.until_reloads("applied", 1.0).await;
    assert!(
        server.log().contains("tenants_changed=\"acme\""),
        "{}",
        server.log()
    );
    assert_eq!(
        ask(&server, "acme").await.unwrap().outcome(),
        Outcome::Resolved
    );
}

#[tokio::test]
async fn the_log_level_changes_and_what_cannot_is_named() {
    let server = Server::start("level", "[log]\nlevel = \"error\"").await;
    assert_eq!(server.log(), "", "nothing has failed");
    server
        .configure("[log]\nlevel = \"info\"\n[grpc]\nmax_identifiers = 7\n[drain]\ndelay = \"1s\"");
    server.until_said(APPLIED).await;
    let log = server.log();
    for key in ["grpc.max_identifiers", "drain.delay"] {
        assert!(
            log.contains(&format!("takes effect at the next start key=\"{key}\"")),
            "{log}"
        );
    }
    assert_eq!(server.said("takes effect at the next start"), 2, "{log}");
    server.configure("[log]\nlevel = \"error\"");
    server.until_reloads("applied", 2.0).await;
    server.signal("-HUP");
    server.until_reloads("applied", 3.0).await;
    assert_eq!(server.said(APPLIED), 1, "{}", server.log());
}

#[tokio::test]
async fn a_level_from_the_command_line_or_the_environment_stays() {
    let by_variable = Server::start_with("variable", "[log]\nlevel = \"error\"", |command| {
        command.env("FEISHU_ID_LOG_LEVEL", "info")
    });
    let by_flag = Server::start_with("flag", "[log]\nlevel = \"error\"", |command| {
        command.args(["--log-level", "info"])
    });
    for server in [by_variable.await, by_flag.await] {
        server.configure("[log]\nlevel = \"error\"\n[cache]\nttl = \"5s\"");
        server.signal("-HUP");
        server.until_said(APPLIED).await;
    }
}

#[tokio::test]
async fn a_hangup_is_never_the_end() {
    let mut server = Server::start("hangup", "[drain]\ndelay = \"2s\"").await;
    for n in 1..=3_u32 {
        server.signal("-HUP");
        server.until_reloads("applied", f64::from(n)).await;
    }
    server.signal("-TERM");
    server.until_said("draining").await;
    for _ in 0..5 {
        server.signal("-HUP");
        sleep(Duration::from_millis(50)).await;
        assert!(server.is_running(), "{}", server.log());
    }
    assert_eq!(server.exit_code().await, Some(0));
    assert_eq!(server.said(APPLIED), 3);
}
