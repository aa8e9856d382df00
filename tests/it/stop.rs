//! The built binary is told to stop, with everything going on that can go on.

#![expect(clippy::expect_used, reason = "tests")]

use std::time::Duration;

use feishu_id::pb::{
    health::{
        HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
    },
    identity::{ResolveUserIdsStreamRequest, resolve_user_ids_stream_response::Result as Answer},
};
use futures_util::future::join_all;
use prost::Message as _;
use serde_json::json;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tonic::Code;

use crate::{
    observe::server::{Server, request},
    server::raw::{DATA, RESOLVE_STREAM, Raw, SETTINGS, WINDOW_UPDATE},
};

/// `drain.timeout` here.
const BOUND: Duration = Duration::from_secs(8);

/// What is awaited comes within half a minute, or the test fails instead of hanging.
async fn soon<F: Future>(awaited: F) -> F::Output {
    timeout(Duration::from_secs(30), awaited)
        .await
        .expect("it does not come")
}

/// Feishu takes so long for each call.
#[expect(clippy::disallowed_methods, reason = "a test's client needs no limits")]
async fn slow_down(server: &Server, milliseconds: u64) {
    let (before, _) = server.banner.split_once("/stats").expect("its address");
    let (_, control) = before.rsplit_once("http://").expect("its address");
    let faults = format!("http://{control}/faults");
    let switches = json!({"latency_ms": milliseconds, "quota_enabled": false});
    let told = reqwest::Client::new().post(faults).json(&switches).send();
    assert!(soon(told).await.unwrap().status().is_success());
}

/// A stream that has sent a batch for somebody nobody knows yet, and goes on.
async fn stream(server: &Server, number: u64) -> tokio::task::JoinHandle<Result<u64, Code>> {
    let mut client = server.client().await;
    let email = format!("load-{number}@acme.example");
    let batch = ResolveUserIdsStreamRequest {
        batch_id: number,
        request: Some(request(&[&email])),
        timeout: None,
    };
    let batches = tokio_stream::StreamExt::chain(
        tokio_stream::iter([batch]),
        futures_util::stream::pending(),
    );
    let mut answers = client
        .resolve_user_ids_stream(batches)
        .await
        .unwrap()
        .into_inner();
    tokio::spawn(async move {
        let mut answered = 0;
        loop {
            match answers.message().await {
                Ok(Some(answer)) => {
                    assert!(matches!(answer.result, Some(Answer::Response(_))));
                    answered += 1;
                }
                Ok(None) => return Ok(answered),
                Err(status) if answered == 1 => return Err(status.code()),
                Err(status) => unreachable!("not even one answer: {status:?}"),
            }
        }
    })
}

/// A client that asks for megabytes of answers on 40 streams, with no flow control in the way, and reads
/// nothing.
async fn non_reader(server: &Server) -> Raw {
    let mut raw = Raw::wide(server.grpc).await;
    raw.frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    raw.frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0, 0]);
    // Malformed ones, which are answered without Feishu.
    let batch = ResolveUserIdsStreamRequest {
        batch_id: 1,
        request: Some(request(&["a@@"; 1000])),
        timeout: None,
    };
    let message = batch.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let message = [&[0], &length[..], &message].concat();
    for n in 0..40 {
        raw.call(2 * n + 1, RESOLVE_STREAM, &[]);
        for _ in 0..7 {
            raw.frame(DATA, 0, 2 * n + 1, &message);
        }
    }
    raw.send().await;
    raw
}

#[tokio::test]
async fn a_stop_fails_no_call_in_flight_and_keeps_its_bound_whoever_is_connected() {
    let bound = format!("{}s", BOUND.as_secs());
    let mut server = Server::start(&[
        ("FEISHU_ID_DRAIN__TIMEOUT", &bound),
        ("FEISHU_ID_QUOTA__PER_SECOND", "10000"),
        ("FEISHU_ID_QUOTA__PER_MINUTE", "100000"),
    ]);
    slow_down(&server, 1500).await;
    let mut health = HealthClient::new(server.channel().await);
    let watch = health.watch(HealthCheckRequest::default()).await;
    let mut watch = watch.unwrap().into_inner();
    let first = soon(watch.message()).await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    let _silent = TcpStream::connect(server.grpc).await.unwrap();
    let _non_reader = non_reader(&server).await;
    let streams = join_all((0..20).map(|n| stream(&server, n))).await;
    let clients = join_all((0..4).map(|_| server.client())).await;
    let calls: Vec<_> = (0..200_usize)
        .map(|n| {
            let mut client = clients[n % clients.len()].clone();
            let email = format!("load-{}@acme.example", 1000 + n);
            tokio::spawn(async move { client.resolve_user_ids(request(&[&email])).await })
        })
        .collect();
    server
        .metrics_when(|metrics| {
            let in_flight = |rpc: &str| {
                let rpc = format!("feishu.identity.v1.IdentityService/{rpc}");
                metrics.sum("feishu_id_requests_in_flight", &[("rpc", &rpc)])
            };
            in_flight("ResolveUserIds") >= 200.0 && in_flight("ResolveUserIdsStream") >= 60.0
        })
        .await;

    let told = Instant::now();
    server.terminate();
    for call in calls {
        soon(call).await.unwrap().unwrap();
    }
    for stream in streams {
        assert_eq!(soon(stream).await.unwrap(), Err(Code::Unavailable));
    }
    let next = soon(watch.message()).await.unwrap().unwrap();
    assert_eq!(next.status(), ServingStatus::NotServing);
    let end = soon(watch.message()).await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
    assert_eq!(server.exit_code().await, Some(0));
    let took = told.elapsed();
    assert!(took < BOUND + Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn while_a_stop_is_announced_only_health_says_so() {
    let mut server = Server::start(&[("FEISHU_ID_DRAIN__DELAY", "2s")]);
    let mut health = HealthClient::new(server.channel().await);
    let mut old = server.client().await;
    let told = Instant::now();
    server.terminate();
    let not_serving = async {
        loop {
            let status = health.check(HealthCheckRequest::default()).await;
            if status.unwrap().into_inner().status() == ServingStatus::NotServing {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    soon(not_serving).await;
    let people = request(&["wei.wang@acme.example"]);
    soon(old.resolve_user_ids(people.clone())).await.unwrap();
    let mut new = server.client().await;
    soon(new.resolve_user_ids(people)).await.unwrap();
    assert_eq!(server.exit_code().await, Some(0));
    assert!(told.elapsed() >= Duration::from_secs(2));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    for delay in ["0s", "1m"] {
        let mut server = Server::start(&[
            ("FEISHU_ID_DRAIN__DELAY", delay),
            ("FEISHU_ID_DRAIN__TIMEOUT", "1m"),
        ]);
        slow_down(&server, 60_000).await;
        let mut client = server.client().await;
        let call = tokio::spawn(async move {
            let mut request = tonic::Request::new(request(&["load-1@acme.example"]));
            request.set_timeout(Duration::from_mins(1));
            client.resolve_user_ids(request).await
        });
        server
            .metrics_when(|metrics| metrics.sum("feishu_id_requests_in_flight", &[]) >= 1.0)
            .await;
        server.terminate();
        sleep(Duration::from_millis(300)).await;
        let told = Instant::now();
        server.terminate();
        assert_eq!(server.exit_code().await, Some(0), "{delay}");
        assert!(told.elapsed() < Duration::from_secs(3), "{delay}");
        soon(call).await.unwrap().unwrap_err();
    }
}

#[tokio::test]
async fn what_was_answered_before_a_stop_is_known_after_it() {
    let dir = std::env::temp_dir().join(format!("feishu-id-stop-{}", std::process::id()));
    let data = dir.to_str().unwrap();
    let people = ["load-1@acme.example", "load-2@acme.example"];
    // The sandbox of `serve --sandbox` keeps nothing, so the two are apart.
    let sandbox = Server::start(&[]);
    let feishu = |name: &str| {
        let start = format!("{name}=");
        let line = sandbox
            .banner
            .lines()
            .find_map(|line| line.strip_prefix(&start));
        line.expect("printed at the start").to_owned()
    };
    let (base_url, app_id) = (feishu("FEISHU_BASE_URL"), feishu("FEISHU_APP_ID"));
    let secret = feishu("FEISHU_APP_SECRET");
    let env = [
        ("FEISHU_BASE_URL", base_url.as_str()),
        ("FEISHU_APP_ID", &app_id),
        ("FEISHU_APP_SECRET", &secret),
        ("FEISHU_ID_DATA__DIR", data),
    ];
    let mut first = Server::launch(&["--log-level", "error", "serve"], &env);
    let mut client = first.client().await;
    soon(client.resolve_user_ids(request(&people)))
        .await
        .unwrap();
    // At once, without a moment for the store to write by itself.
    first.terminate();
    assert_eq!(first.exit_code().await, Some(0));
    drop(sandbox);
    let second = Server::launch(&["--log-level", "error", "serve"], &env);
    let mut client = second.client().await;
    let answer = soon(client.resolve_user_ids(request(&people)))
        .await
        .unwrap();
    let resolutions = answer.into_inner().resolutions;
    assert!(
        resolutions.iter().all(|one| one.user.is_some()),
        "{resolutions:?}"
    );
    drop(second);
    std::fs::remove_dir_all(&dir).unwrap();
}
