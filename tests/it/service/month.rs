//! The month's share of calls: counted as Feishu counts them, and never exceeded.

use std::time::Duration;

use feishu_id::pb::identity::Outcome;
use tokio::time::sleep;
use tonic::Code;

use super::harness::{Service, people, reason, relaxed};

const PLENTY: Duration = Duration::from_secs(20);

#[tokio::test]
async fn when_it_is_spent_who_is_known_is_answered_and_nobody_is_asked() {
    let service = Service::start_with(|config| {
        config.quota.per_month = Some(3);
        config.cache.ttl = Duration::from_secs(1);
    })
    .await;
    // A token and two lookups.
    for n in 0..2 {
        service.ask(people(n..n + 1)).await.unwrap();
    }
    let failed = service.ask(people(2..3)).await.unwrap_err();
    assert_eq!(failed.code(), Code::ResourceExhausted);
    assert_eq!(reason(&failed), "MONTHLY_QUOTA_EXHAUSTED");
    assert!(failed.message().contains("quota.per_month"), "{failed}");
    sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        let answers = service.call(relaxed(people(0..3)), PLENTY).await.unwrap();
        assert!(answers[0].stale && answers[1].stale);
        assert_eq!(answers[2].outcome(), Outcome::Failed);
    }
    let calls = service.count("batch_get_id_calls").await + service.count("token_requests").await;
    assert_eq!(calls, 3);
}
