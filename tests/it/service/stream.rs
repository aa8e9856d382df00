//! The stream of batches: how many calls it makes, what fails alone, how it ends.

use std::{collections::BTreeMap, time::Duration};

use feishu_id::pb::identity::{
    ErrorReason, ResolveUserIdsRequest, ResolveUserIdsStreamRequest,
    resolve_user_ids_stream_response::Result as Answer,
};
use serde_json::json;
use tonic::Request;

use super::harness::{Service, outcomes, people, request};

fn batch(batch_id: u64, request: ResolveUserIdsRequest) -> ResolveUserIdsStreamRequest {
    ResolveUserIdsStreamRequest {
        batch_id,
        request: Some(request),
        timeout: None,
    }
}

async fn run(
    service: &Service,
    batches: Vec<ResolveUserIdsStreamRequest>,
) -> BTreeMap<u64, Answer> {
    let mut request = Request::new(tokio_stream::iter(batches));
    request.set_timeout(Duration::from_mins(1));
    let mut answers = service
        .client()
        .resolve_user_ids_stream(request)
        .await
        .unwrap()
        .into_inner();
    let mut told = BTreeMap::new();
    while let Some(answer) = answers.message().await.unwrap() {
        assert!(
            told.insert(answer.batch_id, answer.result.unwrap())
                .is_none()
        );
    }
    told
}

#[tokio::test]
async fn ten_thousand_people_are_a_hundred_calls_and_no_refusal() {
    let service = Service::start().await;
    let batches = (0..10).map(|n| {
        let from = usize::try_from(n).unwrap() * 1000;
        batch(n, request(people(from..from + 1000)))
    });
    let answers = run(&service, batches.collect()).await;
    assert_eq!(answers.len(), 10);
    for answer in answers.values() {
        let Answer::Response(response) = answer else {
            unreachable!("a batch failed: {answer:?}")
        };
        assert_eq!(outcomes(&response.resolutions)["OUTCOME_RESOLVED"], 1000);
    }
    assert_eq!(service.count("batch_get_id_calls").await, 100);
    assert_eq!(service.count("rate_limited").await, 0);
}

#[tokio::test]
async fn a_bad_batch_fails_alone() {
    let service = Service::start().await;
    let nobody = request(Vec::new());
    let elsewhere = ResolveUserIdsRequest {
        tenant: "nonesuch".to_owned(),
        ..request(people(0..1))
    };
    let no_time = ResolveUserIdsStreamRequest {
        timeout: Some(prost_types::Duration {
            seconds: -1,
            nanos: 0,
        }),
        ..batch(4, request(people(0..1)))
    };
    let answers = run(
        &service,
        vec![
            batch(1, request(people(0..1))),
            batch(2, nobody),
            batch(3, elsewhere),
            no_time,
            ResolveUserIdsStreamRequest {
                batch_id: 5,
                request: None,
                timeout: None,
            },
            batch(6, request(people(0..1))),
        ],
    )
    .await;
    let reason = |id: u64| match &answers[&id] {
        Answer::Response(_) => None,
        Answer::Error(error) => Some(error.reason()),
    };
    assert_eq!((reason(1), reason(6)), (None, None));
    assert_eq!(reason(2), Some(ErrorReason::InvalidRequest));
    assert_eq!(reason(3), Some(ErrorReason::TenantNotFound));
    assert_eq!(reason(4), Some(ErrorReason::InvalidRequest));
    assert_eq!(reason(5), Some(ErrorReason::InvalidRequest));
}

#[tokio::test]
async fn a_batchs_own_timeout_ends_it_alone() {
    let service = Service::start().await;
    service.ask(people(0..1)).await.unwrap();
    service
        .faults(json!({"fault": "hang", "fault_endpoint": "batch_get_id", "fault_next": 1}))
        .await;
    let hasty = ResolveUserIdsStreamRequest {
        timeout: Some(prost_types::Duration {
            seconds: 0,
            nanos: 300_000_000,
        }),
        ..batch(1, request(people(0..1)))
    };
    let answers = run(&service, vec![hasty]).await;
    let Answer::Error(error) = &answers[&1] else {
        unreachable!("answered by a hanging Feishu")
    };
    assert_eq!(error.reason(), ErrorReason::DeadlineExceeded);
}

#[tokio::test]
async fn many_small_batches_are_slowed_and_not_refused() {
    let service = Service::start_with(|config| {
        config.quota.per_second = 100_000;
        config.quota.per_minute = 100_000;
    })
    .await;
    service
        .faults(json!({"quota_enabled": false, "latency_ms": 2}))
        .await;
    // Each in a frame of its own, as fast as they go: far more than is worked on at a time.
    let batches = futures_util::stream::unfold(0, |n| async move {
        tokio::task::yield_now().await;
        (n < 6000).then(|| (batch(n, request(people(0..1))), n + 1))
    });
    let mut request = Request::new(batches);
    request.set_timeout(Duration::from_mins(1));
    let mut answers = service
        .client()
        .resolve_user_ids_stream(request)
        .await
        .unwrap()
        .into_inner();
    let mut told = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        assert!(answer.result.is_some());
        told += 1;
    }
    assert_eq!(told, 6000);
}

#[tokio::test]
async fn a_caller_that_does_not_read_answers_is_not_read_from() {
    let service = Service::start().await;
    service.faults(json!({"quota_enabled": false})).await;
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = sent.clone();
    // Large answers, so that few of them fill what may be under way.
    let batches = (0..2000).map(move |n| {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        batch(n, request(vec![people(0..1).remove(0); 1000]))
    });
    let mut answers = service
        .client()
        .resolve_user_ids_stream(tokio_stream::iter(batches))
        .await
        .unwrap()
        .into_inner();
    let mut before = usize::MAX;
    // Wait until no more goes out.
    while before != sent.load(std::sync::atomic::Ordering::SeqCst) {
        before = sent.load(std::sync::atomic::Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(
        before < 500,
        "{before} batches were taken without one answer read"
    );
    assert!(answers.message().await.unwrap().is_some());
}

#[tokio::test]
async fn while_memory_is_scarce_a_batch_is_read_when_the_one_before_it_is_done() {
    let service = Service::start_with(|config| {
        config.quota.per_second = 100_000;
        config.quota.per_minute = 100_000;
        // A quarter is less than the 300 kB that a batch is counted as.
        config.grpc.max_bytes_in_flight = 1 << 20;
    })
    .await;
    service.ask(people(0..1)).await.unwrap();
    let before = service.count("batch_get_id_calls").await;
    service
        .faults(json!({"quota_enabled": false, "latency_ms": 800}))
        .await;
    let batches = (0..4).map(|n| {
        let from = usize::try_from(n + 1).unwrap() * 300;
        batch(n, request(people(from..from + 300)))
    });
    let streamed = run(&service, batches.collect());
    let looked = async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        service.count("batch_get_id_calls").await - before
    };
    let (answers, calls) = tokio::join!(streamed, looked);
    assert_eq!(calls, 3, "300 people are three full calls");
    assert_eq!(answers.len(), 4);
    for answer in answers.values() {
        let Answer::Response(response) = answer else {
            unreachable!("a batch failed: {answer:?}")
        };
        assert_eq!(outcomes(&response.resolutions)["OUTCOME_RESOLVED"], 300);
    }
}
