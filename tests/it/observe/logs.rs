//! Log lines: each of a request's bears its id, failures are told once in a while, and nobody is named.

use serde_json::Value;
use tonic::{Code, Request};

use super::{
    feishu::Feishu,
    server::{Server, request},
};
use crate::server::raw::{ACK, PING, Raw};

const WEI: &str = "canary.wei@example.com";

fn serve(feishu: &Feishu, level: &str, more: &[(&str, &str)]) -> Server {
    let feishu = feishu.env();
    let mut env: Vec<(&str, &str)> = feishu.iter().map(|(k, v)| (*k, v.as_str())).collect();
    env.extend(more);
    Server::launch(&["--log-level", level, "serve"], &env)
}

/// The lines that say this, once there are some.
async fn lines(server: &Server, what: &str) -> Vec<String> {
    for _ in 0..200 {
        let log = server.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains(what)).collect();
        if !lines.is_empty() {
            return lines.into_iter().map(str::to_owned).collect();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{}", server.log());
}

#[tokio::test]
async fn a_request_without_an_id_gets_one_that_its_lines_and_its_error_bear() {
    let feishu = Feishu::start(true).await;
    let server = serve(&feishu, "debug", &[]);
    let mut client = server.client().await;
    let well = client.resolve_user_ids(request(&[WEI])).await.unwrap();
    assert!(!well.metadata().contains_key("x-request-id"));
    let refused = client.resolve_user_ids(request(&[])).await.unwrap_err();
    let id = refused.metadata().get("x-request-id").unwrap();
    let id = id.to_str().unwrap();
    let told = lines(&server, &format!("request_id={id}")).await;
    assert!(told[0].contains("answered"), "{told:?}");
    let told = lines(&server, "answered").await;
    assert!(
        told.iter().all(|line| line.contains("request_id=")),
        "{told:?}"
    );
    assert!(!server.log().contains("canary"), "{}", server.log());
}

#[tokio::test]
async fn a_callers_own_id_comes_back_and_stands_in_every_line() {
    let feishu = Feishu::start(true).await;
    let server = serve(&feishu, "debug", &[]);
    let mut client = server.client().await;
    let with_id = |who: &[&str]| {
        let mut request = Request::new(request(who));
        let id = "job-17/4711".parse().unwrap();
        request.metadata_mut().insert("x-request-id", id);
        request
    };
    let well = client.resolve_user_ids(with_id(&[WEI])).await.unwrap();
    assert_eq!(well.metadata().get("x-request-id").unwrap(), "job-17/4711");
    let refused = client.resolve_user_ids(with_id(&[])).await.unwrap_err();
    assert_eq!(
        refused.metadata().get("x-request-id").unwrap(),
        "job-17/4711"
    );
    let told = lines(&server, "request_id=job-17/4711").await;
    assert!(told[0].contains("answered"), "{told:?}");
}

#[tokio::test]
async fn a_stream_that_fails_says_its_id_in_its_trailers() {
    let feishu = Feishu::start(true).await;
    let server = serve(&feishu, "warn", &[]);
    let mut client = server.client().await;
    let mut asked = Request::new(tokio_stream::pending());
    asked.set_timeout(std::time::Duration::from_millis(200));
    let stream = client.resolve_user_ids_stream(asked).await.unwrap();
    let ended = stream.into_inner().message().await.unwrap_err();
    assert_eq!(ended.code(), Code::DeadlineExceeded);
    assert!(ended.metadata().contains_key("x-request-id"), "{ended:?}");
}

#[tokio::test]
async fn json_lines_are_objects_with_the_ids_as_members() {
    let feishu = Feishu::start(true).await;
    let collector = super::collector::Collector::start().await;
    let url = collector.url();
    let server = Server::launch_json(
        "debug",
        &feishu.env(),
        &[
            ("FEISHU_ID_TELEMETRY__OTLP_ENDPOINT", url.as_str()),
            ("FEISHU_ID_TELEMETRY__TRACE_SAMPLE_RATIO", "1"),
        ],
    );
    let mut client = server.client().await;
    client.resolve_user_ids(request(&[WEI])).await.unwrap();
    let told = lines(&server, "\"answered\"").await;
    let line: Value = serde_json::from_str(&told[0]).unwrap();
    assert_eq!(line["message"], "answered");
    assert_eq!(line["level"], "DEBUG");
    assert_eq!(line["status"], Value::Null);
    assert!(line["duration_ms"].is_u64(), "{line}");
    assert!(line["target"].is_string() && line["timestamp"].is_string());
    assert!(line["request_id"].as_str().unwrap().contains('-'));
    assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
    for line in server.log().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["message"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn what_fails_over_and_over_is_told_once_in_a_while() {
    let feishu = Feishu::start(true).await;
    // A port on which nobody listens any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let server = serve(&feishu, "info", &[("FEISHU_BASE_URL", address.as_str())]);
    let mut client = server.client().await;
    for n in 0..60 {
        let mut asked = Request::new(request(&[&format!("canary{n}@example.com")]));
        asked.set_timeout(std::time::Duration::from_millis(500));
        client.resolve_user_ids(asked).await.unwrap_err();
    }
    let told = lines(&server, "a request failed").await;
    // One for each reason that there was, and one more for each ten seconds that it took.
    assert!(told.len() <= 8, "{told:#?}");
    let told = lines(&server, "no access token from Feishu").await;
    let named = told.iter().all(|line| line.contains("tenant=\"default\""));
    assert!(named, "{told:#?}");
    let all = server.log();
    assert!(all.lines().count() < 30, "{all}");
    assert!(!all.contains("canary"), "{all}");
}

#[tokio::test]
async fn a_month_that_runs_out_is_told_with_its_tenant() {
    let feishu = Feishu::start(true).await;
    let more = [("FEISHU_ID_QUOTA__PER_MONTH", "3")];
    let server = serve(&feishu, "warn", &more);
    let mut client = server.client().await;
    let mut failed = 0;
    // A token and two lookups.
    for n in 0..3 {
        let asked = request(&[&format!("canary{n}@example.com")]);
        failed += u32::from(client.resolve_user_ids(asked).await.is_err());
    }
    assert_eq!(failed, 1);
    for what in [
        "most of the month's calls",
        "only what is known is answered",
        "no more calls this month",
    ] {
        let told = lines(&server, what).await;
        let named = told.iter().all(|line| line.contains("tenant=\"default\""));
        assert!(told.len() == 1 && named, "{told:#?}");
    }
    let all = server.log();
    assert!(!all.contains("failed calls in a row"), "{all}");
}

#[tokio::test]
async fn what_a_client_makes_a_library_say_without_end_is_told_now_and_then() {
    let feishu = Feishu::start(true).await;
    let server = serve(&feishu, "info", &[]);
    for _ in 0..3 {
        let mut raw = Raw::open(server.grpc).await;
        for _ in 0..3000 {
            raw.frame(PING, ACK, 0, &[7; 8]);
        }
        // Its answer comes after all of these have been read.
        raw.frame(PING, 0, 0, &[8; 8]);
        let answer = raw.send_until(PING).await.unwrap();
        assert_eq!(answer.payload, [8; 8]);
    }
    let told = lines(&server, "that we never sent").await.len();
    assert!((1..=3).contains(&told), "{told}");
}
