//! Packing, splitting, retries and deadlines against a directory made for the test.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{collections::HashMap, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture, future::join_all};
use tokio::time::sleep;

use super::*;
use crate::{
    caller::CallerId,
    clock,
    directory::{DirectoryErrorKind as Kind, LookupBatch, SharedFailure},
    identity::{Email, Mobile, UserIdType},
    quota::{Limit, Quota},
};

type Lookups = HashMap<Identifier, LookupResult>;

const SCOPE: LookupScope = LookupScope {
    user_id_type: UserIdType::UserId,
    include_resigned: false,
};

/// Knows everybody by their own identifier; refuses calls that contain a poisoned key.
#[derive(Default)]
struct Echo {
    calls: Mutex<Vec<(usize, usize)>>,
    poison: Vec<Identifier>,
    unknown: Vec<Identifier>,
    names_culprits: bool,
    refuses_all: bool,
    latency: Duration,
    /// How the next calls fail, one after the other.
    failures: Mutex<Vec<Kind>>,
    /// How a call with a poisoned key fails, if not as refused.
    poison_fails: Option<Kind>,
    /// Once set, calls with this key fail.
    poison_later: Option<(Identifier, Arc<Mutex<bool>>)>,
    panics: bool,
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
            assert!(!self.panics, "on purpose");
            if let Some(kind) = self.failures.lock().unwrap().pop() {
                return Err(failure(kind));
            }
            let bad: Vec<_> = batch
                .keys()
                .filter(|key| self.poison.contains(key))
                .cloned()
                .collect();
            if let Some((key, from_now_on)) = &self.poison_later
                && *from_now_on.lock().unwrap()
                && batch.keys().any(|other| other == key)
            {
                return Err(failure(Kind::Unavailable));
            }
            if let Some(kind) = &self.poison_fails
                && !bad.is_empty()
            {
                return Err(failure(kind.clone()));
            }
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
                people: batch
                    .keys()
                    .filter(|key| !self.unknown.contains(key))
                    .map(person)
                    .collect(),
            })
        }
        .boxed()
    }
}

fn failure(kind: Kind) -> DirectoryError {
    DirectoryError::new(kind, "on purpose")
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
    let second = Limit {
        limit: 50,
        length: Duration::from_secs(1),
    };
    batcher_within(echo, &[second])
}

fn batcher_within(echo: Echo, limits: &[Limit]) -> (Arc<Echo>, Batcher) {
    let echo = Arc::new(echo);
    let settings = BatchSettings {
        tenant: "acme".to_owned(),
        max_in_flight: 16,
        max_queue: 2000,
        random: || 0.5,
        waited: Waited::default(),
    };
    let batcher = Batcher::new(echo.clone(), Arc::new(Quota::new(limits)), settings);
    (echo, batcher)
}

fn wish(seconds: u64, class: Class) -> Wish {
    Wish {
        deadline: Instant::now() + Duration::from_secs(seconds),
        class,
        caller: CallerId(1),
        alone: false,
    }
}

async fn look_up(
    batcher: &Batcher,
    scope: LookupScope,
    key: Identifier,
    interest: Arc<Interest>,
) -> LookupResult {
    batcher.line_up(scope, key, interest)?.answer().await
}

async fn run(batcher: &Batcher, keys: Vec<Identifier>, seconds: u64) -> Lookups {
    let wish = wish(seconds, Class::Bulk);
    let lookups = keys.into_iter().map(|key| async move {
        let (interest, _stake) = Interest::new(wish);
        let result = look_up(batcher, SCOPE, key.clone(), interest).await;
        (key, result)
    });
    join_all(lookups).await.into_iter().collect()
}

impl Echo {
    fn calls(&self) -> Vec<(usize, usize)> {
        self.calls.lock().unwrap().clone()
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
    assert_eq!(echo.calls().len(), 2);
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
        let calls = echo.calls().len();
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
    assert_eq!(echo.calls().len(), 5);
    for result in lookups.values() {
        let Err(LookupError::Directory(error)) = result else {
            unreachable!("a failure, not a refusal")
        };
        assert_eq!(error.kind, Kind::InvalidResponse);
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_shares_a_call_and_a_lone_key_hardly_waits() {
    let (echo, batcher) = batcher(Echo::default());
    let start = Instant::now();
    run(&batcher, emails(1), 10).await;
    assert!(start.elapsed() <= Duration::from_millis(1));
    let keys: Vec<_> = emails(50).into_iter().skip(1).chain(mobiles(50)).collect();
    run(&batcher, keys, 10).await;
    // The one who was found rides along as a witness.
    assert_eq!(echo.calls(), [(1, 0), (50, 50)]);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_one_person_alone_on_an_idle_service_waits_for_nothing() {
    let (_echo, batcher) = batcher(Echo::default());
    for (alone, waits) in [(true, false), (false, true)] {
        sleep(Duration::from_secs(5)).await;
        let start = Instant::now();
        let wish = Wish {
            alone,
            ..wish(10, Class::Interactive)
        };
        let (interest, _stake) = Interest::new(wish);
        let looked = look_up(&batcher, SCOPE, emails(1)[0].clone(), interest).await;
        assert!(looked.is_ok());
        assert_eq!(start.elapsed() > Duration::ZERO, waits);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_costs_one_more_call_and_no_failure() {
    let (echo, batcher) = batcher(Echo {
        failures: Mutex::new(vec![Kind::TokenRejected]),
        ..Echo::default()
    });
    let start = Instant::now();
    let lookups = run(&batcher, emails(1), 10).await;
    assert!(lookups.values().all(Result::is_ok));
    assert_eq!(echo.calls().len(), 2);
    assert!(start.elapsed() < Duration::from_millis(10), "no pause");
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_rejected_again_and_again_are_reported() {
    let (echo, batcher) = batcher(Echo {
        failures: Mutex::new(vec![Kind::TokenRejected; 9]),
        ..Echo::default()
    });
    let lookups = run(&batcher, emails(1), 10).await;
    assert!(lookups.values().all(Result::is_err));
    assert_eq!(echo.calls().len(), 5, "one for free and four attempts");
}

#[tokio::test(start_paused = true)]
async fn a_hiccup_is_tried_again_apart_from_others_and_reaches_nobody() {
    let (echo, batcher) = batcher(Echo {
        failures: Mutex::new(vec![Kind::Unavailable]),
        latency: Duration::from_millis(10),
        ..Echo::default()
    });
    let others = async {
        sleep(Duration::from_millis(80)).await;
        run(&batcher, mobiles(3), 10).await
    };
    let (first, others) = tokio::join!(run(&batcher, emails(3), 10), others);
    assert!(first.values().chain(others.values()).all(Result::is_ok));
    assert_eq!(echo.calls(), [(3, 0), (0, 3), (3, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_breaks_feishu_takes_nobody_down_with_it() {
    let keys: Vec<_> = emails(50).into_iter().chain(mobiles(50)).collect();
    let (echo, batcher) = batcher(Echo {
        poison: vec![keys[17].clone()],
        poison_fails: Some(Kind::Unavailable),
        ..Echo::default()
    });
    let lookups = run(&batcher, keys.clone(), 60).await;
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(lookups[key].is_ok(), n != 17, "{n}");
    }
    let calls = echo.calls().len();
    assert!(calls <= 20, "{calls} calls");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_is_not_tried_for_ever_nor_past_the_deadline() {
    for (seconds, most) in [(60, 4), (1, 4)] {
        let (echo, batcher) = batcher(Echo {
            failures: Mutex::new(vec![Kind::TimedOut; 99]),
            ..Echo::default()
        });
        let start = Instant::now();
        let lookups = run(&batcher, emails(1), seconds).await;
        let Err(LookupError::Directory(error)) = &lookups[&emails(1)[0]] else {
            unreachable!("{lookups:?}")
        };
        assert_eq!(error.kind, Kind::TimedOut);
        assert!(echo.calls().len() <= most);
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test(start_paused = true)]
async fn after_five_failures_in_a_row_nobody_waits_and_a_probe_brings_it_back() {
    let (echo, batcher) = batcher(Echo {
        failures: Mutex::new(vec![Kind::Unavailable; 5]),
        ..Echo::default()
    });
    let first = run(&batcher, emails(1), 60).await;
    assert!(first.values().all(Result::is_err));
    let second = run(&batcher, emails(1), 60).await;
    assert!(
        second
            .values()
            .all(|r| matches!(r, Err(LookupError::NotAsked { .. })))
    );
    assert_eq!(echo.calls().len(), 5);
    let start = Instant::now();
    let third = run(&batcher, emails(1), 60).await;
    let Err(LookupError::NotAsked { retry_after, .. }) = &third[&emails(1)[0]] else {
        unreachable!("{third:?}")
    };
    assert_eq!(start.elapsed(), Duration::ZERO);
    sleep(*retry_after).await;
    let back = run(&batcher, emails(60), 60).await;
    assert!(back.values().all(Result::is_ok), "{back:?}");
}

#[tokio::test(start_paused = true)]
async fn what_needs_mending_is_not_tried_again() {
    let (echo, batcher) = batcher(Echo {
        failures: Mutex::new(vec![Kind::BadCredentials]),
        ..Echo::default()
    });
    let lookups = run(&batcher, emails(3), 60).await;
    assert!(lookups.values().all(Result::is_err));
    assert_eq!(echo.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_is_waited_for_by_those_who_can_and_told_the_others_at_once() {
    let (echo, batcher) = batcher(Echo {
        failures: Mutex::new(vec![Kind::Throttled {
            retry_after: Some(Duration::from_secs(5)),
        }]),
        ..Echo::default()
    });
    let start = Instant::now();
    let hasty = async {
        let lookups = run(&batcher, emails(1), 2).await;
        (lookups, start.elapsed())
    };
    let (hasty, patient) = tokio::join!(hasty, run(&batcher, mobiles(1), 60));
    assert!(patient.values().all(Result::is_ok));
    assert!(start.elapsed() >= Duration::from_secs(5));
    let told = |r: &LookupResult| matches!(r, Err(LookupError::QuotaExhausted { .. }));
    assert!(hasty.0.values().all(told), "{:?}", hasty.0);
    assert!(hasty.1 < Duration::from_millis(100));
    assert_eq!(echo.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_the_wait_and_keeps_what_is_answered() {
    let (echo, batcher) = batcher(Echo {
        latency: Duration::from_millis(1500),
        ..Echo::default()
    });
    // 1,000 keys of one kind are 20 calls; 16 fly at once, so 4 would leave too late to be of use.
    let start = Instant::now();
    let lookups = run(&batcher, emails(1000), 1).await;
    // What has left is waited for here; the resolver's callers wait no longer than they want to.
    assert_eq!(start.elapsed().as_millis() / 100, 17);
    let answered = lookups.values().filter(|r| r.is_ok()).count();
    assert_eq!(answered, 800);
    let late = |r: &&LookupResult| matches!(r, Err(LookupError::DeadlineExceeded));
    assert_eq!(lookups.values().filter(late).count(), 200);
    assert_eq!(
        echo.calls().len(),
        16,
        "what nobody waits for costs no call"
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_takes_their_key_along_and_cancels_nobody() {
    let (echo, batcher) = batcher(Echo {
        latency: Duration::from_millis(50),
        ..Echo::default()
    });
    let (interest, gone) = Interest::new(wish(10, Class::Interactive));
    let stays = interest.join(wish(10, Class::Interactive), None).unwrap();
    let key = emails(1)[0].clone();
    let lookup = look_up(&batcher, SCOPE, key.clone(), interest.clone());
    drop(gone);
    assert!(lookup.await.is_ok(), "somebody else waits");
    drop(stays);
    let (interest, gone) = Interest::new(wish(10, Class::Interactive));
    let lookup = look_up(&batcher, SCOPE, key, interest.clone());
    drop(gone);
    assert!(matches!(lookup.await, Err(LookupError::DeadlineExceeded)));
    assert!(
        interest.join(wish(10, Class::Bulk), None).is_none(),
        "given up"
    );
    assert_eq!(echo.calls().len(), 1);
    assert_eq!(batcher.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_left_cannot_be_joined_by_who_wants_a_later_one() {
    let (_echo, batcher) = batcher(Echo {
        latency: Duration::from_millis(50),
        ..Echo::default()
    });
    let (interest, _stake) = Interest::new(wish(10, Class::Interactive));
    let key = emails(1)[0].clone();
    let before = Instant::now();
    let later = async {
        let fresh = |interest: &Arc<Interest>| {
            interest.join(wish(10, Class::Interactive), Some(Instant::now()))
        };
        assert!(fresh(&interest).is_some(), "it has not left yet");
        sleep(Duration::from_millis(20)).await;
        assert!(fresh(&interest).is_none());
        assert!(
            interest
                .join(wish(10, Class::Interactive), Some(before))
                .is_some()
        );
    };
    let (looked, ()) = tokio::join!(look_up(&batcher, SCOPE, key, interest.clone()), later);
    assert!(looked.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_refresh_rides_along_or_leaves_when_it_is_urgent() {
    let (echo, batcher) = batcher(Echo::default());
    let refresh = |n: usize| {
        let now = Instant::now();
        let wish = Wish::refresh(now + Duration::from_mins(1), now + Duration::from_secs(90));
        let (interest, stake) = Interest::new(wish);
        let lookup = look_up(&batcher, SCOPE, emails(n + 1)[n].clone(), interest);
        async move {
            let looked = lookup.await;
            drop(stake);
            looked
        }
    };
    let start = Instant::now();
    let somebody = async {
        sleep(Duration::from_secs(10)).await;
        run(&batcher, mobiles(1), 10).await
    };
    let (rode, _) = tokio::join!(refresh(0), somebody);
    assert!(rode.is_ok());
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(echo.calls(), [(1, 1)]);
    assert!(refresh(1).await.is_ok());
    assert_eq!(start.elapsed().as_secs(), 70, "nobody came by");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_somebody_comes_to_wait_for_leaves_at_once() {
    let (_echo, batcher) = batcher(Echo::default());
    let start = Instant::now();
    let wish_to_refresh = Wish::refresh(
        start + Duration::from_mins(1),
        start + Duration::from_secs(90),
    );
    let (interest, _stake) = Interest::new(wish_to_refresh);
    let joins = async {
        sleep(Duration::from_secs(1)).await;
        interest.join(wish(10, Class::Interactive), None)
    };
    let key = emails(1)[0].clone();
    let (looked, joined) = tokio::join!(look_up(&batcher, SCOPE, key, interest.clone()), joins);
    assert!(looked.is_ok() && joined.is_some());
    assert!(start.elapsed() < Duration::from_millis(1010));
}

#[tokio::test(start_paused = true)]
async fn who_was_not_found_in_a_call_that_gave_nobody_an_id_is_told_apart() {
    let (_echo, batcher) = batcher(Echo {
        unknown: emails(3)[1..].to_vec(),
        ..Echo::default()
    });
    let given = |lookups: Lookups| lookups.into_values().map(|l| l.unwrap().kind_was_given);
    let unknown = emails(3)[1].clone();
    assert!(given(run(&batcher, vec![unknown.clone()], 10).await).all(|given| !given));
    run(&batcher, emails(1), 10).await;
    // From now on somebody known rides along.
    assert!(given(run(&batcher, vec![unknown], 10).await).all(|given| given));
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_a_failed_call_and_the_queue_goes_on() {
    let (echo, batcher) = batcher(Echo {
        panics: true,
        ..Echo::default()
    });
    let lookups = run(&batcher, emails(1), 10).await;
    assert!(lookups.values().all(Result::is_err));
    assert_eq!(echo.calls().len(), 4);
    assert_eq!(batcher.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_sheds_or_slows_down_and_bulk_does_not_shut_others_out() {
    let (_echo, batcher) = batcher(Echo::default());
    let bulk = wish(10, Class::Bulk);
    let places = batcher.admit(1500, bulk, WhenFull::Shed).await.unwrap();
    let _kept = batcher.admit(250, bulk, WhenFull::Shed).await.unwrap();
    let shed = batcher.admit(1, bulk, WhenFull::Shed).await;
    assert!(matches!(shed, Err(LookupError::Overloaded)));
    let interactive = wish(10, Class::Interactive);
    let mut few = batcher.admit(2, interactive, WhenFull::Shed).await.unwrap();
    assert!(few.split().is_some() && few.split().is_some() && few.split().is_none());
    let frees = async {
        sleep(Duration::from_secs(1)).await;
        drop(places);
    };
    let (slowed, ()) = tokio::join!(batcher.admit(500, bulk, WhenFull::Wait), frees);
    assert!(slowed.is_ok());
    let hasty = wish(1, Class::Bulk);
    let late = batcher.admit(1500, hasty, WhenFull::Wait).await;
    assert!(matches!(late, Err(LookupError::DeadlineExceeded)));
}

#[tokio::test(start_paused = true)]
async fn what_the_quota_cannot_serve_in_time_is_refused_at_once_with_a_time_to_come_back() {
    let (_echo, batcher) = batcher(Echo {
        latency: Duration::from_millis(100),
        ..Echo::default()
    });
    let busy = run(&batcher, emails(10_000), 60);
    let late = async {
        sleep(Duration::from_millis(10)).await;
        let start = Instant::now();
        let refused = batcher.admit(1, wish(1, Class::Bulk), WhenFull::Shed).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        let Err(LookupError::QuotaExhausted { retry_after }) = refused else {
            unreachable!("{refused:?}")
        };
        assert!((1..=4).contains(&retry_after.as_secs()), "{retry_after:?}");
        // Bulk in front of it does not count against a single lookup.
        let interactive = wish(1, Class::Interactive);
        assert!(batcher.admit(1, interactive, WhenFull::Shed).await.is_ok());
    };
    let (busy, ()) = tokio::join!(busy, late);
    assert!(busy.values().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn full_calls_of_one_kind_of_id_do_not_keep_another_waiting() {
    let limit = |limit, seconds| Limit {
        limit,
        length: Duration::from_secs(seconds),
    };
    let (_echo, batcher) = batcher_within(Echo::default(), &[limit(50, 1), limit(1000, 60)]);
    sleep(Duration::from_mins(2)).await;
    let other = async {
        sleep(Duration::from_millis(500)).await;
        let scope = LookupScope {
            user_id_type: UserIdType::OpenId,
            ..SCOPE
        };
        let start = Instant::now();
        let (interest, _stake) = Interest::new(wish(10, Class::Interactive));
        let looked = look_up(&batcher, scope, mobiles(1)[0].clone(), interest).await;
        assert!(looked.is_ok());
        start.elapsed()
    };
    let (bulk, waited) = tokio::join!(run(&batcher, emails(20_000), 60), other);
    assert!(bulk.values().all(Result::is_ok));
    assert!(waited < Duration::from_millis(250), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_witness_who_spoils_calls_is_not_taken_along_again() {
    let spoiled = Arc::new(Mutex::new(false));
    let (echo, batcher) = batcher(Echo {
        poison_later: Some((emails(1)[0].clone(), spoiled.clone())),
        ..Echo::default()
    });
    assert!(
        run(&batcher, emails(1), 10)
            .await
            .values()
            .all(Result::is_ok)
    );
    *spoiled.lock().unwrap() = true;
    for n in 0..20 {
        let somebody = vec![mobiles(n + 1)[n].clone()];
        assert!(
            run(&batcher, somebody, 10)
                .await
                .values()
                .all(Result::is_ok),
            "{n}"
        );
    }
    assert!(echo.calls().len() <= 23);
}

#[tokio::test(start_paused = true)]
async fn at_the_door_nobody_is_charged_for_what_another_caller_waits_for() {
    let (_echo, batcher) = batcher(Echo::default());
    let busy = run(&batcher, emails(20_000), 60);
    let others = async {
        sleep(Duration::from_millis(10)).await;
        let hasty = |caller| Wish {
            caller: CallerId(caller),
            ..wish(2, Class::Bulk)
        };
        assert!(batcher.admit(11, hasty(1), WhenFull::Shed).await.is_err());
        assert!(batcher.admit(11, hasty(2), WhenFull::Shed).await.is_ok());
    };
    tokio::join!(busy, others);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_does_not_take_those_of_who_does_not() {
    let (_echo, batcher) = batcher(Echo::default());
    let bulk = wish(100, Class::Bulk);
    let held = batcher.admit(2000, bulk, WhenFull::Wait).await.unwrap();
    let waits = batcher.admit(2000, bulk, WhenFull::Wait);
    let shed = async {
        sleep(Duration::from_secs(1)).await;
        assert!(batcher.admit(100, bulk, WhenFull::Shed).await.is_ok());
        drop(held);
    };
    let (waited, ()) = tokio::join!(waits, shed);
    assert!(waited.is_ok());
}

#[tokio::test(start_paused = true)]
async fn four_refused_keys_in_one_request_are_four_refused_keys() {
    let (_echo, batcher) = batcher(Echo {
        poison: emails(4),
        ..Echo::default()
    });
    let lookups = run(&batcher, emails(4), 10).await;
    let refused = |r: &LookupResult| matches!(r, Err(LookupError::Refused(_)));
    assert!(lookups.values().all(refused), "{lookups:?}");
}

#[tokio::test(start_paused = true)]
async fn many_refused_keys_are_found_one_by_one_where_somebody_known_is_taken() {
    let bad: Vec<_> = emails(40).into_iter().step_by(5).collect();
    let (echo, batcher) = batcher(Echo {
        poison: bad.clone(),
        ..Echo::default()
    });
    run(&batcher, mobiles(1), 10).await;
    let lookups = run(&batcher, emails(40), 60).await;
    for (key, result) in &lookups {
        let refused = matches!(result, Err(LookupError::Refused(_)));
        assert_eq!(refused, bad.contains(key), "{result:?}");
        assert!(refused || result.is_ok());
    }
    assert!(echo.calls().len() <= 50, "{}", echo.calls().len());
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_what_waits_what_is_out_and_what_went_wrong_last() {
    let (echo, batcher) = batcher(Echo {
        poison: vec![emails(3)[2].clone()],
        latency: Duration::from_millis(100),
        ..Echo::default()
    });
    let status = batcher.status();
    assert_eq!((status.waiting, status.in_flight), (0, 0));
    assert_eq!(status.breaker, BreakerState::Closed);
    let (_, status) = tokio::join!(run(&batcher, emails(3), 10), async {
        sleep(Duration::from_millis(50)).await;
        batcher.status()
    });
    assert_eq!((status.waiting, status.in_flight), (0, 1));
    let status = batcher.status();
    assert_eq!(status.in_flight, 0);
    assert!(
        status.last_error.is_none(),
        "one is refused, which is no trouble"
    );
    let kinds = vec![Kind::Unavailable; 4];
    *echo.failures.lock().unwrap() = kinds;
    run(&batcher, emails(1), 10).await;
    let last = batcher.status().last_error.unwrap();
    assert_eq!(last.error.kind, Kind::Unavailable);
    run(&batcher, emails(1), 10)
        .await
        .into_values()
        .next()
        .unwrap()
        .unwrap();
    let status = batcher.status();
    assert_eq!(status.last_error.unwrap().at, last.at, "it stays");
    *echo.failures.lock().unwrap() = vec![Kind::MonthlyQuotaSpent];
    run(&batcher, emails(1), 10).await;
    let probe_at = Instant::now() + Duration::from_hours(1);
    let status = batcher.status();
    assert_eq!(status.breaker, BreakerState::Open { probe_at });
    assert_eq!(
        status.last_error.unwrap().error.kind,
        Kind::MonthlyQuotaSpent
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_many_calls_hear_of_has_one_time_in_the_status() {
    let (_, batcher) = batcher(Echo::default());
    let now = Instant::now();
    let heard = |until| {
        let mut error = failure(Kind::Unavailable);
        error.shared = Some(Box::new(SharedFailure { at: now, until }));
        batcher.shared.notes.failed(&Arc::new(error));
        batcher.status().last_error.unwrap().at
    };
    let first = heard(now);
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(heard(now), first);
    assert!(heard(now + Duration::from_secs(1)) > first);
}
