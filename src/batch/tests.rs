//! Packing, splitting and deadlines against a directory made for the test.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Mutex;

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::time::sleep;

use super::*;
use crate::{
    clock,
    directory::LookupAnswer,
    identity::{Email, Mobile, UserIdType},
    quota::Limit,
};

const SCOPE: LookupScope = LookupScope {
    user_id_type: UserIdType::UserId,
    include_resigned: false,
};

/// Knows everybody by their own identifier; refuses calls that contain a poisoned key.
#[derive(Default)]
struct Echo {
    calls: Mutex<Vec<(usize, usize)>>,
    poison: Vec<Identifier>,
    names_culprits: bool,
    refuses_all: bool,
    latency: Duration,
    token_rejections: Mutex<usize>,
}

impl Directory for Echo {
    fn lookup<'a>(
        &'a self,
        batch: &'a LookupBatch,
    ) -> BoxFuture<'a, Result<LookupAnswer, DirectoryError>> {
        async {
            self.calls
                .lock()
                .unwrap()
                .push((batch.emails().len(), batch.mobiles().len()));
            sleep(self.latency).await;
            let mut rejections = self.token_rejections.lock().unwrap();
            if *rejections > 0 {
                *rejections -= 1;
                return Err(failure(Kind::TokenRejected));
            }
            let bad: Vec<_> = batch
                .keys()
                .filter(|key| self.poison.contains(key))
                .cloned()
                .collect();
            if self.refuses_all || !bad.is_empty() {
                let culprits = if self.names_culprits { bad } else { Vec::new() };
                return Err(failure(Kind::ContentRefused { culprits }));
            }
            let person = |key: &Identifier| {
                let id = key.as_str().to_owned();
                (key.clone(), vec![Person { id, status: None }])
            };
            Ok(LookupAnswer {
                asked_at: clock::wall_now(),
                people: batch.keys().map(person).collect(),
            })
        }
        .boxed()
    }
}

fn failure(kind: Kind) -> DirectoryError {
    DirectoryError {
        kind,
        message: "on purpose".to_owned(),
        code: None,
        log_id: None,
        help_url: None,
    }
}

fn emails(count: usize) -> Vec<Identifier> {
    (0..count)
        .map(|n| Identifier::Email(Email::parse(&format!("p{n}@x.example")).unwrap()))
        .collect()
}

fn mobiles(count: usize) -> Vec<Identifier> {
    (0..count)
        .map(|n| Identifier::Mobile(Mobile::parse(&format!("139{n:08}")).unwrap()))
        .collect()
}

fn batcher(echo: Echo) -> (Arc<Echo>, Batcher) {
    let echo = Arc::new(echo);
    let second = Limit {
        limit: 50,
        length: Duration::from_secs(1),
    };
    let batcher = Batcher::new(echo.clone(), Quota::new(&[second]), 16, 2000);
    (echo, batcher)
}

async fn run(batcher: &Batcher, keys: Vec<Identifier>, seconds: u64) -> Lookups {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    batcher.lookup(SCOPE, keys, deadline, WhenFull::Shed).await
}

#[test]
fn a_batch_never_exceeds_fifty_of_a_kind_and_both_kinds_share_calls() {
    for (e, m, calls) in [
        (0, 0, 0),
        (1, 0, 1),
        (70, 50, 2),
        (50, 50, 1),
        (51, 0, 2),
        (500, 500, 10),
        (3, 101, 3),
    ] {
        for keys in [
            emails(e).into_iter().chain(mobiles(m)).collect::<Vec<_>>(),
            mobiles(m).into_iter().chain(emails(e)).collect(),
        ] {
            let batches = pack(SCOPE, keys);
            assert_eq!(batches.len(), calls, "{e} e-mails and {m} mobiles");
            assert!(
                batches
                    .iter()
                    .all(|b| b.emails().len() <= 50 && b.mobiles().len() <= 50)
            );
            assert_eq!(batches.iter().map(LookupBatch::len).sum::<usize>(), e + m);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_key_gets_its_own_answer() {
    let (echo, batcher) = batcher(Echo::default());
    let keys: Vec<_> = emails(70).into_iter().chain(mobiles(50)).collect();
    let lookups = run(&batcher, keys.clone(), 10).await;
    for key in keys {
        assert_eq!(lookups[&key].as_ref().unwrap().people[0].id, key.as_str());
    }
    assert_eq!(echo.calls.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_poisoned_key_is_refused_alone() {
    let keys: Vec<_> = emails(50).into_iter().chain(mobiles(50)).collect();
    for (bad, names_culprits, most_calls) in [(17, false, 15), (99, false, 15), (17, true, 2)] {
        let (echo, batcher) = batcher(Echo {
            poison: vec![keys[bad].clone()],
            names_culprits,
            ..Echo::default()
        });
        let lookups = run(&batcher, keys.clone(), 10).await;
        for (n, key) in keys.iter().enumerate() {
            match &lookups[key] {
                Ok(looked) => assert_eq!(looked.people[0].id, key.as_str()),
                Err(error) => assert!(n == bad && matches!(error, LookupError::Refused(_))),
            }
        }
        assert!(lookups[&keys[bad]].is_err());
        let calls = echo.calls.lock().unwrap().len();
        assert!(calls <= most_calls, "{calls} calls");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_in_every_part_is_not_the_contents_fault() {
    let (echo, batcher) = batcher(Echo {
        refuses_all: true,
        ..Echo::default()
    });
    let lookups = run(&batcher, emails(40), 10).await;
    assert_eq!(echo.calls.lock().unwrap().len(), 5);
    for result in lookups.values() {
        let Err(LookupError::Directory(error)) = result else {
            unreachable!("a failure, not a refusal")
        };
        assert_eq!(error.kind, Kind::InvalidResponse);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_costs_one_more_call_and_no_failure() {
    let (echo, batcher) = batcher(Echo {
        token_rejections: Mutex::new(1),
        ..Echo::default()
    });
    let lookups = run(&batcher, emails(1), 10).await;
    assert!(lookups.values().all(Result::is_ok));
    assert_eq!(echo.calls.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_second_rejection_is_reported() {
    let (echo, batcher) = batcher(Echo {
        token_rejections: Mutex::new(9),
        ..Echo::default()
    });
    let lookups = run(&batcher, emails(1), 10).await;
    assert!(lookups.values().all(Result::is_err));
    assert_eq!(echo.calls.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_the_wait_and_keeps_what_is_answered() {
    let (_echo, batcher) = batcher(Echo {
        latency: Duration::from_millis(1500),
        ..Echo::default()
    });
    // 1,000 keys of one kind are 20 calls; 16 fly at once, so 4 are asked too late.
    let start = Instant::now();
    let lookups = run(&batcher, emails(1000), 2).await;
    assert_eq!(start.elapsed(), Duration::from_secs(2));
    let answered = lookups.values().filter(|r| r.is_ok()).count();
    assert_eq!(answered, 800);
    let late = |r: &&Result<Looked, LookupError>| matches!(r, Err(LookupError::DeadlineExceeded));
    assert_eq!(lookups.values().filter(late).count(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_sheds_or_slows_down() {
    let (_echo, batcher) = batcher(Echo {
        latency: Duration::from_millis(100),
        ..Echo::default()
    });
    let deadline = Instant::now() + Duration::from_secs(10);
    let (first, shed, waited) = tokio::join!(
        batcher.lookup(SCOPE, emails(1500), deadline, WhenFull::Shed),
        batcher.lookup(SCOPE, emails(501), deadline, WhenFull::Shed),
        batcher.lookup(SCOPE, emails(501), deadline, WhenFull::Wait),
    );
    assert!(first.values().chain(waited.values()).all(Result::is_ok));
    assert!(
        shed.values()
            .all(|r| matches!(r, Err(LookupError::Overloaded)))
    );
}
