//! How much a caller may ask for.

use std::time::Duration;

use feishu_id::{
    config::CallerConfig,
    pb::identity::{Identifier, resolve_user_ids_stream_response::Result as Answer},
};
use tokio::time::Instant;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{about, batch, by, caller, pushback, start};
use crate::service::harness::{email, reason};

fn slow(per_second: u64) -> CallerConfig {
    CallerConfig {
        identifiers_per_second: Some(per_second),
        ..caller("slow", &["acme"])
    }
}

/// So many whom nobody needs to be asked about: what costs the caller is not what costs Feishu.
fn nonsense(count: usize) -> Vec<Identifier> {
    vec![email("nonsense"); count]
}

#[tokio::test]
async fn who_asks_for_too_much_is_told_when_to_come_back() {
    let service = start(vec![slow(10), caller("other", &["acme"])]).await;
    let ask = async |key, count| {
        let request = by(key, about("acme", nonsense(count)));
        service.client().resolve_user_ids(request).await
    };
    // Larger than the burst of ten seconds, which is 100: it is answered, and paid for afterwards.
    let large = ask("slow", 300).await.unwrap();
    assert_eq!(large.into_inner().resolutions.len(), 300);
    let refused = ask("slow", 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(reason(&refused), "RATE_LIMITED");
    let info = refused.get_details_retry_info().unwrap();
    let delay = info.retry_delay.unwrap();
    assert!((15..=20).contains(&delay.as_secs()), "{delay:?}");
    let millis = i64::try_from(delay.as_millis()).unwrap();
    assert_eq!(pushback(&refused), Some(millis));
    ask("other", 1000).await.unwrap();
}

#[tokio::test]
async fn a_stream_is_slowed_and_not_refused() {
    // After two batches of 1000 it owes 10.5 seconds: the third waits for half a second.
    let service = start(vec![slow(190)]).await;
    let batches = (0..3).map(|id| batch(id, about("acme", nonsense(1000))));
    let request = by("slow", tokio_stream::iter(batches.collect::<Vec<_>>()));
    let began = Instant::now();
    let stream = service
        .client()
        .resolve_user_ids_stream(request)
        .await
        .unwrap();
    let mut answers = stream.into_inner();
    let mut came = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        assert!(
            matches!(answer.result, Some(Answer::Response(_))),
            "{answer:?}"
        );
        came.push((answer.batch_id, began.elapsed()));
    }
    assert_eq!(
        came.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert!(came[2].1 >= Duration::from_millis(450), "{came:?}");
    assert!(
        came[2].1.saturating_sub(came[1].1) >= Duration::from_millis(250),
        "{came:?}"
    );
}
