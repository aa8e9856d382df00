//! `/metrics`: its form, that it tells what happened, and that it tells nothing of anybody.

use feishu_id::pb::{
    health::{HealthCheckRequest, health_client::HealthClient},
    identity::ResolveUserIdsStreamRequest,
};
use tonic::{Code, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use super::{
    exposition::Exposition,
    server::{Server, request},
};

const UNARY: &str = "feishu.identity.v1.IdentityService/ResolveUserIds";
const STREAM: &str = "feishu.identity.v1.IdentityService/ResolveUserIdsStream";
const WATCH: &str = "grpc.health.v1.Health/Watch";
const WEI: &str = "wei.wang@acme.example";
const NOBODY: &str = "nobody@acme.example";

#[tokio::test]
async fn every_metric_is_described_and_in_base_units() {
    let server = Server::start(&[]);
    let metrics = server.metrics().await;
    for (name, family) in &metrics.families {
        let is_of_any_process = name.starts_with("process_");
        assert!(
            name.starts_with("feishu_id_") || is_of_any_process,
            "{name}"
        );
        assert!(family.help.ends_with('.'), "{name}");
        for unit in ["milli", "micro", "minute", "_ms", "kilo", "mega", "_total"] {
            assert!(!name.contains(unit), "{name}");
        }
        let is_time = family.help.starts_with("How long")
            || ["duration", "timestamp"]
                .iter()
                .any(|part| name.contains(part));
        let is_time = is_time || (is_of_any_process && name.ends_with("_seconds"));
        assert_eq!(is_time, family.unit.as_deref() == Some("seconds"), "{name}");
    }
    for (name, kind) in [
        ("requests", "counter"),
        ("request_duration_seconds", "histogram"),
        ("requests_in_flight", "gauge"),
        ("connections", "gauge"),
        ("upstream_calls", "counter"),
        ("upstream_call_duration_seconds", "histogram"),
        ("upstream_call_identifiers", "histogram"),
        ("quota_wait_seconds", "histogram"),
        ("token_refreshes", "counter"),
        ("cache_entries", "gauge"),
        ("queue_depth", "gauge"),
        ("breaker_open", "gauge"),
        ("caller_identifiers", "counter"),
        ("refused_callers", "counter"),
    ] {
        let family = &metrics.families[&format!("feishu_id_{name}")];
        assert_eq!(family.kind, kind, "{name}");
    }
}

#[tokio::test]
async fn calls_move_what_they_should_and_nobody_is_named() {
    let server = Server::start(&[]);
    let mut client = server.client().await;
    for asked in [WEI, NOBODY, WEI] {
        client.resolve_user_ids(request(&[asked])).await.unwrap();
    }
    let refused = client.resolve_user_ids(request(&[])).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let metrics = server
        .metrics_when(|m| m.sum("feishu_id_requests_total", &[("rpc", UNARY)]) >= 4.0)
        .await;

    let unary = |code| [("rpc", UNARY), ("code", code)];
    for name in ["requests_total", "request_duration_seconds_count"] {
        let count = |code| metrics.sum(&format!("feishu_id_{name}"), &unary(code));
        assert_eq!(
            (count("OK"), count("INVALID_ARGUMENT")),
            (3.0, 1.0),
            "{name}"
        );
    }
    let ok = metrics.sum("feishu_id_request_duration_seconds_sum", &unary("OK"));
    assert!(ok > 0.0 && ok < 20.0, "{ok}");
    assert_eq!(metrics.sum("feishu_id_requests_in_flight", &[]), 0.0);
    assert_eq!(metrics.sum("feishu_id_connections", &[]), 1.0);
    assert_eq!(metrics.sum("feishu_id_cache_entries", &[]), 2.0);
    assert_eq!(metrics.sum("feishu_id_queue_depth", &[]), 0.0);
    assert_eq!(metrics.sum("feishu_id_breaker_open", &[]), 0.0);

    let asked = |outcome| {
        let labels = [("caller", "anonymous"), ("outcome", outcome)];
        metrics.sum("feishu_id_caller_identifiers_total", &labels)
    };
    assert_eq!((asked("resolved"), asked("not_found")), (2.0, 1.0));
    assert_eq!(metrics.sum("feishu_id_refused_callers_total", &[]), 0.0);

    let call = |endpoint| [("endpoint", endpoint), ("result", "ok")];
    let calls = |endpoint| metrics.sum("feishu_id_upstream_calls_total", &call(endpoint));
    assert_eq!(calls("token"), 1.0);
    assert_eq!(calls("lookup"), 2.0);
    let refreshes = [("result", "ok")];
    assert_eq!(
        metrics.sum("feishu_id_token_refreshes_total", &refreshes),
        1.0
    );
    let in_calls = metrics.sum("feishu_id_upstream_call_identifiers_sum", &[]);
    // Whoever was found rides along with the one who is not: if even they have no ID, the kind is not given.
    assert_eq!(in_calls, 3.0);
    let waits = metrics.sum("feishu_id_quota_wait_seconds_count", &[]);
    assert_eq!(waits, 2.0);

    let (_, text) = server.page("/metrics").await;
    for secret in personal(&server.banner) {
        assert!(!text.contains(&secret), "{secret}");
    }
    assert!(!text.contains('@') && !text.contains("+86"));
}

#[tokio::test]
async fn a_stream_counts_when_it_ends_and_what_is_broken_off_as_cancelled() {
    let server = Server::start(&[]);
    let mut client = server.client().await;
    let batch = || ResolveUserIdsStreamRequest {
        request: Some(request(&[WEI])),
        ..ResolveUserIdsStreamRequest::default()
    };
    let batches = tokio_stream::iter([batch(), batch()]);
    let answers = client.resolve_user_ids_stream(batches).await.unwrap();
    let mut answers = answers.into_inner();
    while answers.message().await.unwrap().is_some() {}

    let mut health = HealthClient::new(server.channel().await);
    let watch = health.watch(HealthCheckRequest::default()).await.unwrap();
    let mut watch = watch.into_inner();
    watch.message().await.unwrap();
    let in_flight = |m: &Exposition, rpc| m.sum("feishu_id_requests_in_flight", &[("rpc", rpc)]);
    server.metrics_when(|m| in_flight(m, WATCH) == 1.0).await;
    drop(watch);
    let ended = |m: &Exposition, rpc, code| {
        m.sum("feishu_id_requests_total", &[("rpc", rpc), ("code", code)])
    };
    let metrics = server
        .metrics_when(|m| ended(m, WATCH, "CANCELLED") == 1.0)
        .await;
    assert_eq!(ended(&metrics, STREAM, "OK"), 1.0);
    assert_eq!(in_flight(&metrics, STREAM), 0.0);
    assert_eq!(in_flight(&metrics, WATCH), 0.0);
}

#[tokio::test]
async fn unknown_methods_are_one_label_however_many_there_are() {
    let server = Server::start(&[]);
    let channel = server.channel().await;
    let before = server.metrics().await.values("rpc").len();
    for n in 0..20 {
        let path = PathAndQuery::try_from(format!("/made.up.Service{n}/Method")).unwrap();
        let mut client = Grpc::new(channel.clone());
        client.ready().await.unwrap();
        let codec: ProstCodec<_, ()> = ProstCodec::default();
        let called = client.unary(tonic::Request::new(()), path, codec).await;
        let refused = called.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented);
        assert!(refused.message().contains("no such method"), "{refused}");
    }
    let other = [("rpc", "other"), ("code", "UNIMPLEMENTED")];
    let metrics = server
        .metrics_when(|m| m.sum("feishu_id_requests_total", &other) == 20.0)
        .await;
    assert_eq!(metrics.values("rpc").len(), before);
}

#[tokio::test]
async fn a_failing_feishu_is_told_by_result() {
    let server = Server::start(&[]);
    let mut client = server.client().await;
    let control = server
        .banner
        .split_whitespace()
        .find(|w| w.ends_with("/stats"))
        .unwrap();
    let faults = control.replace("/stats", "/faults");
    #[expect(clippy::disallowed_methods, reason = "a test's client needs no limits")]
    let http = reqwest::Client::new();
    let switches = serde_json::json!({"scopes_removed": ["contact:user.id:readonly"]});
    let thrown = http.post(faults).json(&switches).send().await.unwrap();
    assert!(thrown.status().is_success());
    let failed = client.resolve_user_ids(request(&[WEI])).await.unwrap_err();
    assert_eq!(failed.code(), Code::FailedPrecondition);
    let metrics = server.metrics().await;
    let missing = [("endpoint", "lookup"), ("result", "scope_missing")];
    assert_eq!(metrics.sum("feishu_id_upstream_calls_total", &missing), 1.0);
}

/// What the simulated Feishu printed that nobody else should learn: its values and people.
fn personal(banner: &str) -> Vec<String> {
    let values = banner.lines().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.starts_with("FEISHU_APP")).then(|| value.to_owned())
    });
    let words = banner.split_whitespace().filter(|word| {
        word.contains('@')
            || word.starts_with('+')
            || word.starts_with("ou_")
            || word.starts_with("on_")
    });
    let found: Vec<_> = values.chain(words.map(str::to_owned)).collect();
    assert!(found.len() > 3, "{banner}");
    found
}
