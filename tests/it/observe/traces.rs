//! Traces as a collector gets them: whose part is what, who is sampled, and that they tell nothing of
//! anybody and hold up nobody.

use std::time::Duration;

use feishu_id::pb::identity::{Outcome, ResolveUserIdsRequest, ResolveUserIdsResponse};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use tokio::{net::TcpListener, time::Instant};
use tonic::{Code, Request, Response, Status};

use super::{
    collector::{Collector, attribute},
    feishu::{Feishu, ID, SECRET, TOKEN},
    server::{Server, request},
};

const UNARY: &str = "feishu.identity.v1.IdentityService/ResolveUserIds";
const WEI: &str = "canary.wei@example.com";
const FENG: &str = "canary.feng@example.com";
/// The flags of `traceparent`.
const SAMPLED: &str = "01";
const NOT_SAMPLED: &str = "00";

/// A server that sends its spans there, soon, and asks that Feishu.
fn serve(feishu: &Feishu, collector: &str, more: &[(&str, &str)]) -> Server {
    let feishu = feishu.env();
    let mut env: Vec<(&str, &str)> = feishu.iter().map(|(k, v)| (*k, v.as_str())).collect();
    env.push(("FEISHU_ID_TELEMETRY__OTLP_ENDPOINT", collector));
    env.push(("FEISHU_ID_TELEMETRY__TRACE_SAMPLE_RATIO", "0"));
    env.push(("OTEL_BSP_SCHEDULE_DELAY", "50"));
    env.extend(more);
    Server::launch(&["--log-level", "warn", "serve"], &env)
}

/// The id of a caller's trace.
fn trace_id(number: u8) -> [u8; 16] {
    [number; 16]
}

/// A request of a caller that traces it, or says that it does not.
fn traced(number: u8, flags: &str, who: &[&str]) -> Request<ResolveUserIdsRequest> {
    let mut request = Request::new(request(who));
    let hex = format!("{number:02x}");
    let parent = format!("00-{}-{}-{flags}", hex.repeat(16), hex.repeat(8));
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", parent.parse().unwrap());
    metadata.insert("tracestate", "vendor=value".parse().unwrap());
    request
}

async fn ask(
    server: &Server,
    request: Request<ResolveUserIdsRequest>,
) -> Result<Response<ResolveUserIdsResponse>, Status> {
    server.client().await.resolve_user_ids(request).await
}

fn resolved(response: Response<ResolveUserIdsResponse>) -> usize {
    let resolutions = response.into_inner().resolutions;
    let resolved = resolutions.iter();
    resolved
        .filter(|resolution| resolution.outcome() == Outcome::Resolved)
        .count()
}

#[tokio::test]
async fn a_request_is_one_trace_from_its_caller_through_the_stages_to_feishu() {
    let (feishu, collector) = (Feishu::start(true).await, Collector::start().await);
    let server = serve(&feishu, &collector.url(), &[("OTEL_SERVICE_NAME", "ids")]);
    let answer = ask(&server, traced(0xab, SAMPLED, &[WEI])).await.unwrap();
    assert_eq!(resolved(answer), 1);
    let trace = trace_id(0xab);
    let spans = collector.spans_when(|s| s.requests().len() == 1).await;
    let spans = if spans.all("call", &trace).is_empty() {
        collector
            .spans_when(|s| !s.all("call", &trace).is_empty())
            .await
    } else {
        spans
    };
    let one = |name| spans.one(name, &trace);

    let server_span = one(UNARY);
    assert_eq!(server_span.parent_span_id, [0xab; 8]);
    assert_eq!(server_span.trace_state, "vendor=value");
    let said = |key| attribute(server_span, key).unwrap();
    assert_eq!(said("rpc.system.name"), "grpc");
    assert_eq!(said("rpc.method"), UNARY);
    assert_eq!(said("rpc.response.status_code"), "OK");
    assert_eq!(said("server.port"), server.grpc.port().to_string());
    assert!(attribute(server_span, "error.type").is_none());

    for (child, parent) in [
        ("resolve", UNARY),
        ("recall", "resolve"),
        ("lookup", "resolve"),
        ("wait", "resolve"),
        ("queue", "lookup"),
        ("call", "lookup"),
        ("quota", "call"),
        ("token", "call"),
    ] {
        let (child, parent) = (one(child), one(parent));
        assert_eq!(child.parent_span_id, parent.span_id, "{}", child.name);
        assert!(child.start_time_unix_nano <= child.end_time_unix_nano);
    }
    let resolve = one("resolve");
    let said = |key| attribute(resolve, key);
    assert_eq!(said("feishu_id.tenant").as_deref(), Some("default"));
    assert_eq!(said("feishu_id.identifiers").as_deref(), Some("1"));
    assert_eq!(said("feishu_id.outcome.resolved").as_deref(), Some("1"));
    assert_eq!(said("feishu_id.source.upstream").as_deref(), Some("1"));

    let calls = spans.all("POST", &trace);
    assert_eq!(calls.len(), 2);
    for (kind, parent, path) in [
        (
            "token",
            "token",
            "/open-apis/auth/v3/tenant_access_token/internal",
        ),
        (
            "lookup",
            "call",
            "/open-apis/contact/v3/users/batch_get_id?user_id_type=user_id",
        ),
    ] {
        let parent = one(parent);
        let is_it = |call: &&&Span| call.parent_span_id == parent.span_id;
        let call = calls.iter().find(is_it).unwrap();
        assert_eq!(call.kind(), SpanKind::Client);
        assert!(attribute(call, "url.full").unwrap().ends_with(path));
        let status = attribute(call, "http.response.status_code");
        assert_eq!(status.as_deref(), Some("200"));
        // Feishu was told of this very span, and of nothing else.
        let span = u64::from_be_bytes(call.span_id.as_slice().try_into().unwrap());
        let told = format!("00-{}-{span:016x}-01", "ab".repeat(16));
        assert_eq!(feishu.headers(kind, "traceparent"), [Some(told)]);
        assert_eq!(feishu.headers(kind, "tracestate"), [None]);
    }
    let service = collector.service();
    assert_eq!(service["service.name"], "ids");
    assert_eq!(service["service.version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn an_answer_from_memory_is_two_spans_and_a_refusal_says_its_code() {
    let (feishu, collector) = (Feishu::start(true).await, Collector::start().await);
    let server = serve(&feishu, &collector.url(), &[]);
    ask(&server, traced(1, NOT_SAMPLED, &[WEI])).await.unwrap();
    ask(&server, traced(2, SAMPLED, &[WEI])).await.unwrap();
    let refused = ask(&server, traced(3, SAMPLED, &[])).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let spans = collector.spans_when(|s| s.requests().len() == 2).await;
    assert!(spans.0.iter().all(|span| span.trace_id != trace_id(1)));
    let warm: Vec<_> = spans
        .0
        .iter()
        .filter(|s| s.trace_id == trace_id(2))
        .collect();
    let names: Vec<_> = warm.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["resolve", UNARY]);
    let source = attribute(warm[0], "feishu_id.source.cache");
    assert_eq!(source.as_deref(), Some("1"));
    let refused = spans.one(UNARY, &trace_id(3));
    let code = attribute(refused, "rpc.response.status_code");
    assert_eq!(code.as_deref(), Some("INVALID_ARGUMENT"));
    // The caller's mistake is no failure of the server's.
    assert!(attribute(refused, "error.type").is_none());
    // What the caller does not trace is not told to Feishu either.
    assert_eq!(feishu.headers("lookup", "traceparent"), [None]);
}

#[tokio::test]
async fn who_says_nothing_is_traced_by_lot() {
    let (feishu, collector) = (Feishu::start(true).await, Collector::start().await);
    let all = [("FEISHU_ID_TELEMETRY__TRACE_SAMPLE_RATIO", "1")];
    let server = serve(&feishu, &collector.url(), &all);
    let mut nonsense = Request::new(request(&[WEI]));
    let parent = "00-xyz-1-01".parse().unwrap();
    nonsense.metadata_mut().insert("traceparent", parent);
    ask(&server, nonsense).await.unwrap();
    ask(&server, Request::new(request(&[WEI]))).await.unwrap();
    ask(&server, traced(1, NOT_SAMPLED, &[WEI])).await.unwrap();
    let spans = collector.spans_when(|s| s.requests().len() >= 2).await;
    let requests = spans.requests();
    assert_eq!(requests.len(), 2);
    assert_ne!(requests[0].trace_id, requests[1].trace_id);
    assert!(requests.iter().all(|span| span.parent_span_id.is_empty()));
    // Nobody, of a lot of none.
    let server = serve(&feishu, &collector.url(), &[]);
    for _ in 0..20 {
        ask(&server, Request::new(request(&[WEI]))).await.unwrap();
    }
    ask(&server, traced(2, SAMPLED, &[WEI])).await.unwrap();
    let spans = collector.spans_when(|s| s.requests().len() >= 3).await;
    assert_eq!(spans.requests().len(), 3);
}

#[tokio::test]
async fn who_joins_the_flight_of_another_links_to_it_and_calls_link_to_all_they_carry() {
    let (feishu, collector) = (Feishu::start(false).await, Collector::start().await);
    let server = serve(&feishu, &collector.url(), &[]);
    let mut client = server.client().await;
    let first = tokio::spawn({
        let mut client = client.clone();
        async move { client.resolve_user_ids(traced(1, SAMPLED, &[WEI])).await }
    });
    feishu.until_asked("lookup", 1).await;
    let second =
        tokio::spawn(async move { client.resolve_user_ids(traced(2, SAMPLED, &[WEI])).await });
    // It has joined once it waits.
    tokio::time::sleep(Duration::from_millis(200)).await;
    feishu.open();
    for asked in [first, second] {
        assert_eq!(resolved(asked.await.unwrap().unwrap()), 1);
    }
    assert_eq!(feishu.headers("lookup", "host").len(), 1);
    let spans = collector
        .spans_when(|s| s.requests().len() == 2 && !s.all("lookup", &trace_id(1)).is_empty())
        .await;
    let flight = spans.one("lookup", &trace_id(1));
    assert!(spans.all("lookup", &trace_id(2)).is_empty());
    let wait = spans.one("wait", &trace_id(2));
    let links: Vec<_> = wait.links.iter().map(|link| &link.span_id).collect();
    assert_eq!(links, [&flight.span_id]);
    assert_eq!(wait.links[0].trace_id, trace_id(1));
    let said = attribute(wait, "feishu_id.coalesced");
    assert_eq!(said.as_deref(), Some("1"));
    assert!(spans.one("wait", &trace_id(1)).links.is_empty());
}

#[tokio::test]
async fn flights_that_share_a_call_and_the_call_link_to_each_other() {
    let (feishu, collector) = (Feishu::start(true).await, Collector::start().await);
    let server = serve(&feishu, &collector.url(), &[]);
    // A machine may stand still between the two for longer than a call gathers: then both are asked for
    // once more.
    for number in 7..27 {
        let mut request = traced(number, SAMPLED, &[WEI, FENG]);
        request.get_mut().max_age = Some(prost_types::Duration::default());
        let answer = ask(&server, request).await.unwrap();
        assert_eq!(resolved(answer), 2);
        let trace = trace_id(number);
        let spans = collector
            .spans_when(|s| s.all("lookup", &trace).len() == 2 && !s.all("call", &trace).is_empty())
            .await;
        let flights = spans.all("lookup", &trace);
        if flights.iter().any(|flight| !flight.links.is_empty()) {
            return linked_both_ways(spans.one("call", &trace), &flights);
        }
    }
    unreachable!("no two flights shared a call");
}

fn linked_both_ways(call: &Span, flights: &[&Span]) {
    let (own, others): (Vec<&Span>, Vec<_>) = flights
        .iter()
        .partition(|flight| flight.span_id == call.parent_span_id);
    assert_eq!((own.len(), others.len()), (1, 1));
    assert!(own[0].links.is_empty());
    let linked = |from: &Span| -> Vec<Vec<u8>> {
        from.links.iter().map(|link| link.span_id.clone()).collect()
    };
    assert_eq!(linked(others[0]), [call.span_id.as_slice()]);
    assert_eq!(linked(call), [others[0].span_id.as_slice()]);
    let emails = attribute(call, "feishu_id.emails").unwrap();
    assert!(emails.parse::<u32>().unwrap() >= 2, "{emails}");
}

#[tokio::test]
async fn spans_tell_nothing_of_anybody() {
    let (feishu, collector) = (Feishu::start(true).await, Collector::start().await);
    let server = serve(&feishu, &collector.url(), &[]);
    for number in 1..4 {
        let who = [WEI, FENG, "canary no address"];
        ask(&server, traced(number, SAMPLED, &who)).await.unwrap();
    }
    // Not even what no tenant is called.
    let mut strange = traced(4, SAMPLED, &[WEI]);
    "canary.tenant@example.com".clone_into(&mut strange.get_mut().tenant);
    ask(&server, strange).await.unwrap_err();
    collector.spans_when(|s| s.requests().len() == 4).await;
    let bytes = collector.bytes();
    for secret in ["canary", TOKEN, ID, SECRET, "cli_test"] {
        let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
        assert!(!found, "{secret}");
    }
}

#[tokio::test]
async fn a_large_batch_makes_a_bounded_number_of_spans() {
    let (feishu, collector) = (Feishu::start(true).await, Collector::start().await);
    let server = serve(&feishu, &collector.url(), &[]);
    let people: Vec<String> = (0..400).map(|n| format!("canary{n}@example.com")).collect();
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    let answer = ask(&server, traced(9, SAMPLED, &people)).await.unwrap();
    assert_eq!(resolved(answer), 400);
    let spans = collector.spans_when(|s| s.requests().len() == 1).await;
    assert!(spans.0.len() <= 100, "{}", spans.0.len());
}

#[tokio::test]
async fn a_failing_feishu_is_an_error_of_its_call() {
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let (feishu, collector) = (Feishu::start(true).await, Collector::start().await);
    let server = serve(
        &feishu,
        &collector.url(),
        &[("FEISHU_BASE_URL", address.as_str())],
    );
    let mut request = traced(5, SAMPLED, &[WEI]);
    request.set_timeout(Duration::from_secs(2));
    ask(&server, request).await.unwrap_err();
    let trace = trace_id(5);
    let spans = collector.spans_when(|s| s.requests().len() == 1).await;
    let call = spans.all("POST", &trace)[0];
    let why = attribute(call, "error.type");
    assert_eq!(why.as_deref(), Some("unavailable"));
    assert_eq!(call.status.clone().unwrap().code(), StatusCode::Error);
    let server_span = spans.one(UNARY, &trace);
    assert!(attribute(server_span, "error.type").is_some());
    let resolve = spans.one("resolve", &trace);
    assert!(attribute(resolve, "error.type").is_some());
}

#[tokio::test]
async fn what_waits_is_sent_at_a_stop() {
    let (feishu, collector) = (Feishu::start(true).await, Collector::start().await);
    let never = [("OTEL_BSP_SCHEDULE_DELAY", "3600000")];
    let mut server = serve(&feishu, &collector.url(), &never);
    ask(&server, traced(6, SAMPLED, &[WEI])).await.unwrap();
    assert!(collector.spans().0.is_empty());
    server.terminate();
    assert_eq!(server.exit_code().await, Some(0));
    let spans = collector.spans();
    assert_eq!(spans.requests().len(), 1);
    assert!(!spans.all("POST", &trace_id(6)).is_empty());
}

/// Takes connections, and says nothing.
async fn black_hole() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test]
async fn a_collector_that_does_not_answer_holds_up_nobody() {
    let feishu = Feishu::start(true).await;
    let (listener, url) = black_hole().await;
    let all = [("FEISHU_ID_TELEMETRY__TRACE_SAMPLE_RATIO", "1")];
    let mut server = serve(&feishu, &url, &all);
    let mut client = server.client().await;
    client.resolve_user_ids(request(&[WEI])).await.unwrap();
    // Two spans each: more than may wait and be on their way.
    let began = Instant::now();
    for _ in 0..2000 {
        client.resolve_user_ids(request(&[WEI])).await.unwrap();
    }
    let took = began.elapsed();
    // Had one waited for the collector, that alone were five seconds each.
    assert!(took < Duration::from_secs(20), "{took:?}");
    let dropped = [("result", "dropped")];
    let metrics = server
        .metrics_when(|m| m.sum("feishu_id_trace_spans_total", &dropped) > 0.0)
        .await;
    assert_eq!(
        metrics.sum("feishu_id_trace_spans_total", &[("result", "sent")]),
        0.0
    );
    server.terminate();
    let began = Instant::now();
    assert_eq!(server.exit_code().await, Some(0));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    drop(listener);
}

#[tokio::test]
async fn a_collector_that_is_gone_is_told_of_once_in_a_while() {
    let feishu = Feishu::start(true).await;
    let (listener, url) = black_hole().await;
    drop(listener);
    let all = [("FEISHU_ID_TELEMETRY__TRACE_SAMPLE_RATIO", "1")];
    let server = serve(&feishu, &url, &all);
    let mut client = server.client().await;
    let failed = [("result", "failed")];
    for _ in 0..10 {
        let before = server.metrics().await;
        let before = before.sum("feishu_id_trace_spans_total", &failed);
        client.resolve_user_ids(request(&[WEI])).await.unwrap();
        server
            .metrics_when(|m| m.sum("feishu_id_trace_spans_total", &failed) > before)
            .await;
    }
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains("spans are lost"));
    assert!((1..=2).contains(&lines.count()), "{log}");
    assert!(!log.contains("canary"), "{log}");
}
