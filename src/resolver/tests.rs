//! What rows mean, against a directory that the test writes down.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join_all},
};

mod stale;
mod stored;

use super::*;
use crate::{
    backoff::Random,
    batch::{BatchSettings, Batcher},
    cache::{Cache, Ttls},
    clock,
    directory::{
        Directory, DirectoryError, DirectoryErrorKind as Kind, LookupAnswer, LookupBatch,
        LookupScope, SharedFailure,
    },
    identity::{Email, Person, PersonStatus},
    metrics::{Identifiers, Waited},
    quota::{Limit, Quota},
};

const TTL: Duration = Duration::from_secs(1000);
const NEGATIVE: Duration = Duration::from_mins(1);
const STALE: Duration = Duration::from_hours(24);

type Rows = Result<Vec<(&'static str, Option<PersonStatus>)>, Kind>;
type Answers = fn(&str, LookupScope) -> Rows;

/// Answers each identifier as the test says; remembers the calls.
struct Script {
    answers: Answers,
    calls: Mutex<Vec<(LookupScope, usize)>>,
    latency_ms: AtomicU64,
    /// Refuses the next call because of the rate limit.
    throttle: AtomicBool,
    /// Every call fails so.
    down: Mutex<Option<Kind>>,
    /// If it is not zero, for want of a token, which is asked for again after so long.
    shared_for_ms: AtomicU64,
}

impl Directory for Script {
    fn lookup<'a>(
        &'a self,
        batch: &'a LookupBatch,
    ) -> BoxFuture<'a, Result<LookupAnswer, DirectoryError>> {
        async {
            self.calls
                .lock()
                .unwrap()
                .push((batch.scope(), batch.len()));
            tokio::time::sleep(Duration::from_millis(
                self.latency_ms.load(Ordering::SeqCst),
            ))
            .await;
            if self.throttle.swap(false, Ordering::SeqCst) {
                return Err(error(Kind::Throttled { retry_after: None }));
            }
            if let Some(kind) = self.down.lock().unwrap().clone() {
                let mut error = error(kind);
                let pause = Duration::from_millis(self.shared_for_ms.load(Ordering::SeqCst));
                let at = Instant::now();
                let until = at + pause;
                error.shared = (!pause.is_zero()).then(|| Box::new(SharedFailure { at, until }));
                return Err(error);
            }
            let mut people = std::collections::HashMap::new();
            for key in batch.keys() {
                let rows = (self.answers)(key.as_str(), batch.scope()).map_err(error)?;
                let rows = rows.into_iter().map(|(id, status)| Person {
                    id: id.to_owned(),
                    status,
                });
                people.insert(key.clone(), rows.collect());
            }
            Ok(LookupAnswer {
                asked_at: clock::wall_now(),
                people,
            })
        }
        .boxed()
    }
}

fn error(kind: Kind) -> DirectoryError {
    DirectoryError {
        kind,
        message: "on purpose".to_owned(),
        code: Some(7),
        log_id: None,
        help_url: None,
        shared: None,
    }
}

struct Bench {
    script: Arc<Script>,
    resolver: Resolver,
}

fn bench(answers: Answers) -> Bench {
    bench_with(answers, None)
}

fn bench_with(answers: Answers, tier: Option<Arc<Tier>>) -> Bench {
    let script = Arc::new(Script {
        answers,
        calls: Mutex::default(),
        latency_ms: AtomicU64::default(),
        throttle: AtomicBool::default(),
        down: Mutex::default(),
        shared_for_ms: AtomicU64::default(),
    });
    let second = Limit {
        limit: 50,
        length: Duration::from_secs(1),
    };
    let random: Random = || 0.5;
    let settings = BatchSettings {
        tenant: "acme".to_owned(),
        max_in_flight: 16,
        max_queue: 1000,
        random,
        waited: Waited::default(),
    };
    let batcher = Batcher::new(script.clone(), Arc::new(Quota::new(&[second])), settings);
    let ttls = Ttls {
        found: TTL,
        negative: NEGATIVE,
        serve_stale: STALE,
    };
    let cache = Arc::new(Cache::new(1000, ttls, random));
    let tenant = Tenant::new(0, batcher, cache, tier, Identifiers::default());
    let tenants = BTreeMap::from([("acme".to_owned(), tenant)]);
    let resolver = Resolver::new(tenants, Some("acme".to_owned()));
    Bench { script, resolver }
}

impl Bench {
    async fn ask(&self, who: &[&str], kinds: &[UserIdType], resigned: bool) -> Vec<Resolution> {
        let terms = Terms {
            user_id_types: kinds.iter().copied().collect(),
            include_resigned: resigned,
            ..terms(who.len())
        };
        self.resolve(who, &terms).await
    }

    fn goes_down(&self, kind: impl Into<Option<Kind>>) {
        *self.script.down.lock().unwrap() = kind.into();
    }

    async fn ask_by(
        &self,
        who: &[&str],
        max_age: Option<Duration>,
        within: Duration,
    ) -> Vec<Resolution> {
        let terms = Terms {
            max_age,
            deadline: Deadline::after(within),
            ..terms(who.len())
        };
        self.resolve(who, &terms).await
    }

    async fn resolve(&self, who: &[&str], terms: &Terms) -> Vec<Resolution> {
        let parse = |text: &&str| Email::parse(text).map(Identifier::Email);
        let who: Vec<_> = who.iter().map(parse).collect();
        self.resolver.resolve("", terms, &who).await.unwrap()
    }

    fn tenant(&self) -> Arc<Tenant> {
        self.resolver.tenant("").unwrap()
    }

    fn calls(&self) -> usize {
        self.script.calls.lock().unwrap().len()
    }
}

fn terms(identifiers: usize) -> Terms {
    Terms {
        user_id_types: Kinds::default(),
        include_resigned: false,
        max_age: None,
        identifiers,
        caller: CallerId(1),
        deadline: Deadline::after(Duration::from_secs(5)),
        when_full: WhenFull::Shed,
    }
}

fn ids(resolution: &Resolution) -> Vec<&str> {
    match resolution {
        Resolution::Resolved(resolved) => resolved.ids.values().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

const LEFT: Option<PersonStatus> = Some(PersonStatus {
    frozen: false,
    resigned: true,
    activated: false,
    exited: false,
    unjoined: false,
});

const STAYS: Option<PersonStatus> = Some(PersonStatus {
    frozen: false,
    resigned: false,
    activated: true,
    exited: false,
    unjoined: false,
});

#[tokio::test(start_paused = true)]
async fn a_batch_waits_as_a_whole_before_anybody_else_has_a_turn() {
    let bench = bench(|who, _| {
        Ok(vec![(
            if who == "a@x.example" { "ou_a" } else { "ou_b" },
            None,
        )])
    });
    let who = ["a@x.example", "b@x.example", "c@x.example"];
    let terms = terms(who.len());
    let mut asks = Box::pin(bench.resolve(&who, &terms));
    assert!(asks.as_mut().now_or_never().is_none());
    // No other task has run: on a busy machine that may take longer than a call gathers.
    assert_eq!(bench.tenant().core.batcher.waiting(), 3);
    assert_eq!(asks.await.len(), 3);
    assert_eq!(bench.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_same_person_twice_is_asked_for_once_and_answered_twice_in_order() {
    let bench = bench(|who, _| {
        Ok(if who == "a@x" {
            vec![("1", None)]
        } else {
            vec![]
        })
    });
    let answers = bench
        .ask(&["a@x", "b@x", " A@X ", "nonsense"], &[], false)
        .await;
    assert_eq!(ids(&answers[0]), ["1"]);
    assert!(matches!(answers[1], Resolution::NotFound { .. }));
    assert_eq!(ids(&answers[2]), ["1"]);
    assert!(matches!(&answers[3], Resolution::Invalid(f) if f.reason == Reason::InvalidEmail));
    assert_eq!(
        *bench
            .script
            .calls
            .lock()
            .unwrap()
            .iter()
            .map(|c| &c.1)
            .collect::<Vec<_>>(),
        [&2]
    );
}

#[tokio::test(start_paused = true)]
async fn who_has_not_left_is_preferred() {
    let bench = bench(|who, _| {
        Ok(match who {
            "one-stays@x" => vec![("old", LEFT), ("new", STAYS), ("older", LEFT)],
            "two-stay@x" => vec![("1", STAYS), ("2", STAYS), ("3", LEFT)],
            "all-left@x" => vec![("1", LEFT), ("2", LEFT)],
            _ => vec![("only", LEFT)],
        })
    });
    let who = ["one-stays@x", "two-stay@x", "all-left@x", "only-left@x"];
    let answers = bench.ask(&who, &[], true).await;
    assert_eq!(ids(&answers[0]), ["new"]);
    let candidates = |n: usize| match &answers[n] {
        Resolution::Ambiguous { candidates, .. } => candidates.len(),
        _ => 0,
    };
    assert_eq!(candidates(1), 3, "one per row that was given");
    assert_eq!(candidates(2), 2);
    assert_eq!(ids(&answers[3]), ["only"]);
    assert_eq!(bench.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn rows_without_a_status_are_told_apart_by_asking_without_the_resigned() {
    let bench = bench(|who, scope| {
        Ok(match (who, scope.include_resigned) {
            ("recycled@x", true) => vec![("old", None), ("new", None)],
            ("recycled@x", false) => vec![("new", None)],
            ("gone@x", true) => vec![("1", None), ("2", None)],
            _ => vec![],
        })
    });
    let answers = bench.ask(&["recycled@x", "gone@x"], &[], true).await;
    assert_eq!(ids(&answers[0]), ["new"]);
    assert!(
        matches!(&answers[1], Resolution::Ambiguous { candidates, .. } if candidates.len() == 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_missing_id_is_checked_unless_somebody_in_the_call_got_one() {
    let bench = bench(|who, _| {
        Ok(if who == "known@x" {
            vec![("1", None)]
        } else {
            vec![]
        })
    });
    let nobody = bench.ask(&["nobody@x"], &[], false).await;
    assert!(matches!(nobody[0], Resolution::NotFound { .. }));
    assert_eq!(bench.calls(), 2, "one lookup and one check");
    bench.ask(&["other@x"], &[UserIdType::OpenId], false).await;
    assert_eq!(bench.calls(), 3, "the open ID needs no check");
    bench.ask(&["known@x", "no-one@x"], &[], false).await;
    assert_eq!(bench.calls(), 4, "an ID in the same call is proof enough");
    bench.ask(&["nemo@x"], &[], false).await;
    assert_eq!(bench.calls(), 5, "somebody known rides along");
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_is_taken_away_makes_nobody_seem_missing() {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let bench = bench(|who, scope| {
        let taken = TAKEN.load(Ordering::SeqCst);
        let gives = !taken || scope.user_id_type == UserIdType::OpenId;
        Ok(match who {
            "nobody@x" => vec![],
            _ if gives => vec![("1", None)],
            _ => vec![],
        })
    });
    bench.ask(&["a@x"], &[], false).await;
    TAKEN.store(true, Ordering::SeqCst);
    let answers = bench.ask(&["b@x", "nobody@x"], &[], false).await;
    assert!(matches!(&answers[0], Resolution::Failed(f) if f.reason == Reason::IdKindNotGranted));
    assert!(matches!(answers[1], Resolution::NotFound { .. }));
    TAKEN.store(false, Ordering::SeqCst);
    let answers = bench.ask(&["b@x"], &[], false).await;
    assert_eq!(ids(&answers[0]), ["1"], "it was not remembered");
}

#[tokio::test(start_paused = true)]
async fn found_and_not_found_are_remembered_and_failures_never() {
    let bench = bench(|who, _| match who {
        "known@x" => Ok(vec![("1", None)]),
        "broken@x" => Err(Kind::AppUnavailable),
        _ => Ok(vec![]),
    });
    bench.ask(&["known@x", "nobody@x"], &[], false).await;
    bench.ask(&["known@x", "nobody@x"], &[], false).await;
    assert_eq!(bench.calls(), 1);
    tokio::time::sleep(NEGATIVE).await;
    bench.ask(&["known@x", "nobody@x"], &[], false).await;
    assert_eq!(bench.calls(), 2, "not found is asked again sooner");
    for calls in [3, 4] {
        bench.ask(&["broken@x"], &[], false).await;
        assert_eq!(bench.calls(), calls);
    }
    bench.ask(&["known@x"], &[UserIdType::OpenId], false).await;
    bench.ask(&["known@x"], &[], true).await;
    assert_eq!(
        bench.calls(),
        6,
        "another kind and another question are others"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_identifier_costs_nothing_when_it_is_asked_again() {
    let bench = bench(|who, _| match who {
        "poison@x" => Err(Kind::ContentRefused { culprits: vec![] }),
        _ => Ok(vec![("1", None)]),
    });
    for _ in 0..2 {
        let answers = bench.ask(&["poison@x", "a@x"], &[], false).await;
        assert!(matches!(&answers[0], Resolution::Invalid(f)
            if f.reason == Reason::RefusedByFeishu && f.feishu_code == Some(7)));
        assert_eq!(ids(&answers[1]), ["1"]);
    }
    assert_eq!(bench.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_who_ask_for_the_same_person_at_once_make_one_call() {
    let bench = bench(|_, _| Ok(vec![("1", None)]));
    let asks = (0..1000).map(|_| bench.ask(&["a@x"], &[], false));
    for answers in join_all(asks).await {
        assert_eq!(ids(&answers[0]), ["1"]);
    }
    assert_eq!(bench.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_cancels_nobody_and_what_only_it_wanted_is_not_asked_for() {
    let bench = bench(|_, _| Ok(vec![("1", None)]));
    let hasty = async {
        let ask = bench.ask(&["a@x", "only-mine@x"], &[], false);
        tokio::time::timeout(Duration::ZERO, ask).await
    };
    let (gone, answers) = tokio::join!(hasty, bench.ask(&["a@x"], &[], false));
    assert!(gone.is_err());
    assert_eq!(ids(&answers[0]), ["1"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        *bench
            .script
            .calls
            .lock()
            .unwrap()
            .iter()
            .map(|c| c.1)
            .collect::<Vec<_>>(),
        [1]
    );
    assert!(bench.tenant().is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_late_joiner_with_more_time_gets_an_answer_when_the_first_has_none_left() {
    let bench = bench(|_, _| Ok(vec![("1", None)]));
    // A refusal makes everybody wait for a second.
    let ask = |seconds| bench.ask_by(&["a@x"], None, Duration::from_secs(seconds));
    bench.script.throttle.store(true, Ordering::SeqCst);
    let later = async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        ask(30).await
    };
    let (hasty, patient) = tokio::join!(ask(1), later);
    assert!(matches!(&hasty[0], Resolution::Failed(_)));
    assert_eq!(ids(&patient[0]), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_older_than_the_max_age_is_given() {
    let bench = bench(|_, _| Ok(vec![("1", None)]));
    let ask = |max_age: u64| {
        let max_age = Some(Duration::from_secs(max_age));
        bench.ask_by(&["a@x"], max_age, Duration::from_secs(5))
    };
    bench.ask(&["a@x"], &[], false).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    ask(101).await;
    assert_eq!(bench.calls(), 1);
    ask(99).await;
    assert_eq!(bench.calls(), 2);
    ask(99).await;
    assert_eq!(bench.calls(), 2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    ask(0).await;
    assert_eq!(bench.calls(), 3);
    tokio::time::sleep(TTL).await;
    ask(1_000_000).await;
    assert_eq!(bench.calls(), 4, "above the TTL it changes nothing");
}

#[tokio::test(start_paused = true)]
async fn who_wants_it_new_shares_a_call_that_has_not_left_and_no_other() {
    let bench = bench(|_, _| Ok(vec![("1", None)]));
    bench.script.latency_ms.store(50, Ordering::SeqCst);
    let new = || bench.ask_by(&["a@x"], Some(Duration::ZERO), Duration::from_secs(5));
    let later = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        tokio::join!(new(), new(), bench.ask(&["a@x"], &[], false))
    };
    let (_, _, (one, two, any)) = tokio::join!(new(), new(), later);
    for answers in [one, two, any] {
        assert_eq!(ids(&answers[0]), ["1"]);
    }
    assert_eq!(bench.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_popular_person_is_refreshed_behind_and_never_missed() {
    let bench = bench(|_, _| Ok(vec![("1", None)]));
    bench.script.latency_ms.store(50, Ordering::SeqCst);
    bench.ask(&["a@x"], &[], false).await;
    let start = tokio::time::Instant::now();
    while start.elapsed() < TTL * 10 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let asked = tokio::time::Instant::now();
        bench.ask(&["a@x"], &[], false).await;
        assert_eq!(asked.elapsed(), Duration::ZERO);
    }
    // At best one in 0.98 of a TTL.
    assert!((10..=11).contains(&bench.calls()), "{}", bench.calls());
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_leaves_the_answer_and_is_not_tried_at_every_read() {
    static BROKEN: AtomicBool = AtomicBool::new(false);
    let bench = bench(|_, _| {
        let broken = BROKEN.load(Ordering::SeqCst);
        let rows = vec![("1", None)];
        if broken {
            Err(Kind::Unavailable)
        } else {
            Ok(rows)
        }
    });
    bench.ask(&["a@x"], &[], false).await;
    BROKEN.store(true, Ordering::SeqCst);
    tokio::time::sleep(TTL * 98 / 100).await;
    for _ in 0..1000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let answers = bench.ask(&["a@x"], &[], false).await;
        assert_eq!(ids(&answers[0]), ["1"]);
    }
    assert!(bench.calls() <= 3, "{}", bench.calls());
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_granted_is_never_taken_for_nobody() {
    let answers: [Answers; 2] = [
        |who, scope| match scope.user_id_type {
            UserIdType::OpenId if who != "nobody@x" => Ok(vec![("ou_1", None)]),
            _ => Ok(vec![]),
        },
        |who, scope| match scope.user_id_type {
            UserIdType::OpenId if who != "nobody@x" => Ok(vec![("ou_1", None)]),
            UserIdType::OpenId => Ok(vec![]),
            _ => Err(Kind::IdKindRefused),
        },
    ];
    for answer in answers {
        let bench = bench(answer);
        let answers = bench.ask(&["a@x", "nobody@x"], &[], false).await;
        assert!(matches!(&answers[0], Resolution::Failed(f)
            if f.reason == Reason::IdKindNotGranted
                && f.message.contains("contact:user.employee_id:readonly")));
        assert!(matches!(answers[1], Resolution::NotFound { .. }));
        let both = [UserIdType::UserId, UserIdType::OpenId];
        let answers = bench.ask(&["a@x"], &both, false).await;
        assert_eq!(ids(&answers[0]), ["ou_1"]);
        assert!(matches!(&answers[0], Resolution::Resolved(r)
            if r.missing.as_ref().unwrap().reason == Reason::IdKindNotGranted));
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_tenant_fails_the_request() {
    let bench = bench(|_, _| Ok(vec![]));
    let begin = |resolver: &Resolver, tenant| {
        let tenants = resolver.tenants();
        tenants.begin(tenant, &terms(1)).err().unwrap()
    };
    let failure = begin(&bench.resolver, "nope");
    assert_eq!(failure.reason, Reason::TenantNotFound);
    let none = Resolver::new(BTreeMap::new(), None);
    let failure = begin(&none, "");
    assert_eq!(failure.reason, Reason::InvalidRequest);
}

#[tokio::test(start_paused = true)]
async fn who_has_come_since_they_were_not_found_is_found_by_every_kind() {
    static CAME: AtomicBool = AtomicBool::new(false);
    let bench = bench(|who, _| {
        let is_there = who == "known@x" || CAME.load(Ordering::SeqCst);
        Ok(if is_there { vec![("1", None)] } else { vec![] })
    });
    let answers = bench.ask(&["new@x", "known@x"], &[], false).await;
    assert!(matches!(answers[0], Resolution::NotFound { .. }));
    CAME.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let both = [UserIdType::UserId, UserIdType::OpenId];
    let answers = bench.ask(&["new@x"], &both, false).await;
    assert_eq!(ids(&answers[0]), ["1", "1"]);
}
