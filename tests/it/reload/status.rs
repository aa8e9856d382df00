//! What `GetStatus` tells of the configuration.

use std::{
    process::Command,
    time::{Duration, SystemTime},
};

use feishu_id::{
    callers::KeyHash,
    clock,
    pb::identity::{
        ConfigurationStatus, GetStatusRequest, GetStatusResponse,
        admin_service_client::AdminServiceClient,
    },
};
use tonic::{Code, Request, Response, Status, transport::Endpoint};

use super::server::Server;

/// What is told to whoever has this key.
async fn status(server: &Server, key: Option<&str>) -> Result<GetStatusResponse, Status> {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap();
    let mut client = AdminServiceClient::new(endpoint.connect().await.unwrap());
    let mut request = Request::new(GetStatusRequest::default());
    if let Some(key) = key {
        let value = format!("Bearer {key}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    client.get_status(request).await.map(Response::into_inner)
}

async fn configuration(server: &Server, key: Option<&str>) -> ConfigurationStatus {
    status(server, key).await.unwrap().configuration.unwrap()
}

fn time(at: Option<prost_types::Timestamp>) -> SystemTime {
    SystemTime::try_from(at.unwrap()).unwrap()
}

#[tokio::test]
async fn it_tells_since_when_one_is_in_force_and_why_the_next_one_is_not() {
    let before = clock::wall_now() - Duration::from_millis(1);
    let server = Server::start("status", "").await;
    let begun = configuration(&server, None).await;
    assert!((before..=clock::wall_now()).contains(&time(begun.applied_time)));
    assert!(begun.refused_time.is_none() && begun.refused_reason.is_empty());

    server.configure("[cache]\nttl = 5\nx = 1");
    server.until_reloads("refused", 1.0).await;
    let refused = configuration(&server, None).await;
    assert_eq!(refused.applied_time, begun.applied_time);
    assert!(time(refused.refused_time) > time(begun.applied_time));
    for mistake in [
        "feishu-id.toml:2: cache.ttl: a duration needs a unit",
        "cache.x: no such setting",
    ] {
        assert!(refused.refused_reason.contains(mistake), "{refused:?}");
    }
    let stats = Command::new(env!("CARGO_BIN_EXE_feishu-id"))
        .args(["cache", "stats", "--server", &server.grpc.to_string()])
        .output()
        .unwrap();
    let stats = String::from_utf8(stats.stdout).unwrap();
    assert!(stats.contains("in force for"), "{stats}");
    assert!(stats.contains("the next one was refused"), "{stats}");
    assert!(stats.contains("a duration needs a unit"), "{stats}");

    server.configure("[cache]\nttl = \"5s\"");
    server.until_reloads("applied", 1.0).await;
    let mended = configuration(&server, None).await;
    assert!(time(mended.applied_time) > time(refused.refused_time));
    assert!(mended.refused_time.is_none() && mended.refused_reason.is_empty());
}

#[tokio::test]
async fn why_is_for_those_who_may_ask_about_all_tenants() {
    let caller = |name: &str, tenants: &str| {
        let hash = KeyHash::of(name.as_bytes());
        format!(
            "[callers.{name}]\nkey_hashes = [\"{hash}\"]\ntenants = [\"{tenants}\"]\n\
             permissions = [\"admin\"]\n"
        )
    };
    let callers = caller("all", "*") + &caller("of_globex", "globex");
    let server = Server::start("reason", &callers).await;
    server.configure(&format!("[tenants.initech]\napp_id = 7\n{callers}"));
    server.until_reloads("refused", 1.0).await;
    let all = configuration(&server, Some("all")).await;
    assert!(all.refused_reason.contains("initech"), "{all:?}");
    let one = configuration(&server, Some("of_globex")).await;
    assert_eq!(one.refused_time, all.refused_time);
    assert_eq!(one.refused_reason, "");
}

#[tokio::test]
async fn that_no_caller_is_left_is_told_since_nobody_may_call_then() {
    let hash = KeyHash::of(b"only");
    let only = format!(
        "[callers.only]\nkey_hashes = [\"{hash}\"]\ntenants = [\"*\"]\npermissions = [\"admin\"]\n"
    );
    let server = Server::start("nobody", &only).await;
    assert!(status(&server, Some("only")).await.is_ok());
    server.configure("");
    server.until_reloads("applied", 1.0).await;
    server.until_said("nobody may call any more").await;
    server.configure("[cache]\nttl = \"5s\"");
    server.until_reloads("applied", 2.0).await;
    let said = server.said("nobody may call any more");
    assert_eq!(said, 2, "as long as it is so");
    for key in [Some("only"), None] {
        let refused = status(&server, key).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
}
