//! What rows mean, against a directory that the test writes down.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Mutex;

use futures_util::{FutureExt as _, future::BoxFuture};

use std::sync::Arc;

use super::*;
use crate::{
    clock,
    directory::{
        Directory, DirectoryError, DirectoryErrorKind as Kind, LookupAnswer, LookupBatch,
        LookupScope,
    },
    identity::Email,
    quota::{Limit, Quota},
};

type Rows = Result<Vec<(&'static str, Option<PersonStatus>)>, Kind>;
type Answers = fn(&str, LookupScope) -> Rows;

/// Answers each identifier as the test says; remembers the calls.
struct Script {
    answers: Answers,
    calls: Mutex<Vec<(LookupScope, usize)>>,
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
            let mut people = std::collections::HashMap::new();
            for key in batch.keys() {
                let rows =
                    (self.answers)(key.as_str(), batch.scope()).map_err(|kind| DirectoryError {
                        kind,
                        message: "on purpose".to_owned(),
                        code: Some(7),
                        log_id: None,
                        help_url: None,
                    })?;
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

struct Bench {
    script: Arc<Script>,
    resolver: Resolver,
}

fn bench(answers: Answers) -> Bench {
    let script = Arc::new(Script {
        answers,
        calls: Mutex::default(),
    });
    let second = Limit {
        limit: 50,
        length: Duration::from_secs(1),
    };
    let batcher = Batcher::new(script.clone(), Quota::new(&[second]), 16, 1000);
    let tenants = BTreeMap::from([("acme".to_owned(), Tenant::new(batcher))]);
    let resolver = Resolver::new(tenants, Some("acme".to_owned()));
    Bench { script, resolver }
}

impl Bench {
    async fn ask(&self, who: &[&str], kinds: &[UserIdType], resigned: bool) -> Vec<Resolution> {
        let parse = |text: &&str| Email::parse(text).map(Identifier::Email);
        self.resolver
            .resolve(ResolveRequest {
                tenant: String::new(),
                user_id_types: kinds.to_vec(),
                identifiers: who.iter().map(parse).collect(),
                include_resigned: resigned,
                max_age: None,
                deadline: Deadline::after(Duration::from_secs(5)),
                when_full: WhenFull::Shed,
            })
            .await
            .unwrap()
    }

    fn calls(&self) -> usize {
        self.script.calls.lock().unwrap().len()
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
async fn a_missing_id_is_checked_unless_the_request_got_one() {
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
    bench.ask(&["known@x", "nobody@x"], &[], false).await;
    assert_eq!(bench.calls(), 3, "an ID in the same answer is proof enough");
    bench.ask(&["nobody@x"], &[UserIdType::OpenId], false).await;
    assert_eq!(bench.calls(), 4, "the open ID needs no check");
    bench.ask(&["nobody@x"], &[], false).await;
    assert_eq!(bench.calls(), 6, "the scope may have been taken away since");
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
    let request = |tenant: &str| ResolveRequest {
        tenant: tenant.to_owned(),
        user_id_types: vec![],
        identifiers: vec![],
        include_resigned: false,
        max_age: None,
        deadline: Deadline::after(Duration::from_secs(5)),
        when_full: WhenFull::Shed,
    };
    let failure = bench.resolver.resolve(request("nope")).await.unwrap_err();
    assert_eq!(failure.reason, Reason::TenantNotFound);
    let none = Resolver::new(BTreeMap::new(), None);
    let failure = none.resolve(request("")).await.unwrap_err();
    assert_eq!(failure.reason, Reason::InvalidRequest);
}
