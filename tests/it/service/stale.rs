//! Through an outage, with a real Feishu that goes away: who is known is answered, marked, in time.

use std::time::Duration;

use feishu_id::pb::identity::{ErrorReason, Outcome, Resolution};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::harness::{Service, email, people, relaxed};

const TTL: Duration = Duration::from_secs(1);

/// A service that knows these people, all of whom are past their TTL.
async fn long_known(count: usize) -> Service {
    let service = Service::start_with(|config| {
        config.cache.ttl = TTL;
        config.cache.negative_ttl = TTL;
        // What a call that hangs takes until it is given up: above every deadline here.
        config.upstream.timeout = Duration::from_secs(15);
    })
    .await;
    let mut who = people(0..count);
    who.push(email("nobody@acme.example"));
    let known = service.ask(who).await.unwrap();
    assert_eq!(known[count].outcome(), Outcome::NotFound);
    sleep(TTL).await;
    service
}

async fn ask(service: &Service, count: usize, timeout: Duration) -> (Vec<Resolution>, Duration) {
    let start = Instant::now();
    let answers = service.call(relaxed(people(0..count)), timeout).await;
    (answers.unwrap(), start.elapsed())
}

fn is_stale(resolution: &Resolution) -> bool {
    resolution.stale && resolution.outcome() == Outcome::Resolved
}

#[tokio::test]
async fn while_feishu_hangs_a_stale_answer_comes_in_time_for_the_deadline() {
    let service = long_known(100).await;
    let hang = json!({"fault": "hang", "fault_hang_seconds": 10});
    service.faults(hang).await;
    for (deadline, expected) in [(5000, 1800), (1000, 900)] {
        let (answers, took) = ask(&service, 100, Duration::from_millis(deadline)).await;
        assert!(answers.iter().all(is_stale));
        let off = took.abs_diff(Duration::from_millis(expected));
        assert!(off <= Duration::from_millis(100), "{deadline} ms: {took:?}");
    }
}

#[tokio::test]
async fn once_an_outage_is_noticed_stale_answers_cost_nothing_and_end_with_it() {
    let service = long_known(100).await;
    service.faults(json!({"fault": "drop"})).await;
    let second = Duration::from_secs(1);
    let before = service.count("batch_get_id_calls").await;
    for _ in 0..10 {
        let (answers, took) = ask(&service, 100, 5 * second).await;
        assert!(answers.iter().all(is_stale));
        assert!(took < 2 * second);
    }
    let calls = service.count("batch_get_id_calls").await - before;
    // Five, and the other halves of those that were under way then.
    assert!(calls <= 10, "{calls} calls until it was noticed");
    let nobody = relaxed(vec![email("nobody@acme.example"), people(0..1).remove(0)]);
    let answers = service.call(nobody, 5 * second).await.unwrap();
    assert_eq!(answers[0].outcome(), Outcome::Failed);
    let reason = answers[0].error.as_ref().unwrap().reason();
    assert_eq!(reason, ErrorReason::UpstreamUnavailable);
    assert!(is_stale(&answers[1]));
    service.faults(json!({"fault": "none"})).await;
    let back = Instant::now();
    loop {
        let (answers, _) = ask(&service, 100, 5 * second).await;
        if !answers.iter().any(is_stale) {
            break;
        }
        assert!(back.elapsed() <= 35 * second, "it is still not asked");
        sleep(second / 4).await;
    }
}
