//! How long answers live; time is an argument.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::time::SystemTime;

use super::*;
use crate::identity::Person;

const TTL: Duration = Duration::from_secs(1000);
const NEGATIVE: Duration = Duration::from_mins(1);
const STALE: Duration = Duration::from_secs(500);
const KIND: UserIdType = UserIdType::UserId;

fn cache() -> Cache {
    let ttls = Ttls {
        found: TTL,
        negative: NEGATIVE,
        serve_stale: STALE,
    };
    Cache::new(1000, ttls, || 1.0)
}

fn key(name: &str) -> CacheKey<'_> {
    CacheKey {
        directory: 0,
        include_resigned: false,
        identifier: name,
    }
}

fn found(id: &str) -> Fact {
    Fact::Found(Person {
        id: id.to_owned(),
        status: None,
    })
}

fn asked(departed: Instant) -> Asked {
    Asked {
        departed,
        at: SystemTime::UNIX_EPOCH,
    }
}

fn freshness_at(
    cache: &Cache,
    key: CacheKey<'_>,
    kind: UserIdType,
    now: Instant,
) -> Option<Freshness> {
    let known = cache.recall(key, now)?;
    Some(known.answer(kind)?.freshness)
}

/// What is given, if it is within its TTL.
fn fact(cache: &Cache, key: CacheKey<'_>, kind: UserIdType, now: Instant) -> Option<Fact> {
    let known = cache.recall(key, now)?;
    let answer = known.answer(kind).filter(|answer| !answer.is_stale())?;
    answer.fact()
}

/// How long the answer is given from when its call left.
fn life(cache: &Cache, key: CacheKey<'_>, departed: Instant) -> u64 {
    let is_over = |seconds: &u64| {
        let now = departed + Duration::from_secs(*seconds);
        fact(cache, key, KIND, now).is_none()
    };
    (0..10_000).find(is_over).unwrap()
}

#[test]
fn an_answer_expires_exactly_at_its_ttl_from_when_the_call_left() {
    let (cache, start) = (cache(), Instant::now());
    cache.insert(key("a"), KIND, &found("1"), asked(start));
    let just_before = start + TTL - Duration::from_nanos(1);
    assert_eq!(fact(&cache, key("a"), KIND, just_before), Some(found("1")));
    assert_eq!(fact(&cache, key("a"), KIND, start + TTL), None);
}

#[test]
fn a_refresh_is_due_in_the_last_tenth_and_urgent_near_the_end() {
    let (cache, start) = (cache(), Instant::now());
    cache.insert(key("a"), KIND, &found("1"), asked(start));
    let freshness = |thousandths: u32| {
        let now = start + TTL * thousandths / 1000;
        freshness_at(&cache, key("a"), KIND, now).unwrap()
    };
    let due = Freshness::RefreshDue {
        urgent_at: start + TTL * 98 / 100,
        expires_at: start + TTL,
    };
    assert_eq!(freshness(899), Freshness::Fresh);
    // Drawn between 0.90 and 0.97; this cache always draws the latest.
    assert_eq!(freshness(969), Freshness::Fresh);
    assert_eq!(freshness(971), due);
    cache.postpone(key("a"), KIND, start + TTL * 971 / 1000, true);
    assert_eq!(
        freshness(980),
        Freshness::Fresh,
        "for a hundredth of the TTL"
    );
    assert!(matches!(freshness(982), Freshness::RefreshDue { .. }));
}

#[test]
fn not_found_lives_for_the_negative_ttl_which_doubles_when_it_repeats() {
    let (cache, mut now) = (cache(), Instant::now());
    let mut lives = Vec::new();
    for _ in 0..8 {
        cache.insert(key("a"), KIND, &Fact::NotFound, asked(now));
        let life = life(&cache, key("a"), now);
        lives.push(life);
        now += Duration::from_secs(life);
    }
    assert_eq!(lives, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
    cache.insert(key("a"), KIND, &found("1"), asked(now));
    assert_eq!(life(&cache, key("a"), now), 1000);
    cache.insert(key("a"), KIND, &Fact::NotFound, asked(now + TTL));
    assert_eq!(life(&cache, key("a"), now + TTL), 60, "it begins anew");
}

#[test]
fn asking_again_before_its_time_does_not_make_not_found_live_longer() {
    let (cache, start) = (cache(), Instant::now());
    for second in 0..10 {
        let now = start + Duration::from_secs(second);
        cache.insert(key("a"), KIND, &Fact::NotFound, asked(now));
        assert_eq!(life(&cache, key("a"), now), 60);
    }
}

#[test]
fn refused_and_ambiguous_live_for_the_negative_ttl() {
    let (cache, now) = (cache(), Instant::now());
    let refusal = Refusal {
        code: Some(7),
        log_id: None,
    };
    for fact in [Fact::Refused(refusal), Fact::Ambiguous(Vec::new())] {
        cache.insert(key("a"), KIND, &fact, asked(now));
        assert_eq!(life(&cache, key("a"), now), 60);
    }
}

#[test]
fn everything_that_changes_an_answer_is_in_its_key() {
    let (cache, now) = (cache(), Instant::now());
    cache.insert(key("a"), KIND, &found("1"), asked(now));
    let other_directory = CacheKey {
        directory: 1,
        ..key("a")
    };
    let resigned = CacheKey {
        include_resigned: true,
        ..key("a")
    };
    for other in [other_directory, resigned, key("b")] {
        assert_eq!(fact(&cache, other, KIND, now), None);
    }
    assert_eq!(fact(&cache, key("a"), UserIdType::OpenId, now), None);
}

#[test]
fn three_kinds_of_id_each_have_a_time_of_their_own() {
    let (cache, start) = (cache(), Instant::now());
    let kinds = [UserIdType::UserId, UserIdType::OpenId, UserIdType::UnionId];
    for (n, kind) in (0..).zip(kinds) {
        cache.insert(
            key("a"),
            kind,
            &found(kind.as_str()),
            asked(start + TTL / 4 * n),
        );
    }
    assert_eq!(cache.len(), 1);
    let now = start + TTL;
    assert_eq!(fact(&cache, key("a"), kinds[0], now), None);
    for kind in &kinds[1..] {
        assert_eq!(
            fact(&cache, key("a"), *kind, now),
            Some(found(kind.as_str()))
        );
    }
}

#[test]
fn an_answer_that_lands_late_does_not_replace_a_newer_one() {
    let (cache, now) = (cache(), Instant::now());
    cache.insert(key("a"), KIND, &found("new"), asked(now + NEGATIVE));
    cache.insert(key("a"), KIND, &found("old"), asked(now));
    assert_eq!(
        fact(&cache, key("a"), KIND, now + NEGATIVE),
        Some(found("new"))
    );
}

#[test]
fn there_are_never_more_entries_than_the_capacity() {
    let (cache, now) = (cache(), Instant::now());
    for n in 0..5000 {
        cache.insert(key(&n.to_string()), KIND, &found("1"), asked(now));
    }
    assert!(cache.len() <= 1000, "{}", cache.len());
    assert!(cache.len() >= 900, "{}", cache.len());
}

#[test]
fn entries_are_counted_whatever_takes_their_place() {
    fn of(directory: u32, name: &str) -> CacheKey<'_> {
        CacheKey {
            directory,
            ..key(name)
        }
    }
    let (cache, mut now) = (cache(), Instant::now());
    let counts = |cache: &Cache| (cache.len_of(0), cache.len_of(1), cache.len());
    for directory in 0..2 {
        cache.insert(of(directory, "a"), KIND, &found("1"), asked(now));
    }
    let stored = cache.snapshot(of(0, "a")).unwrap();
    // A newer answer, the same one, another kind, one that is put off, and what a store had.
    for _ in 0..10 {
        now += Duration::from_secs(1);
        cache.insert(of(0, "a"), KIND, &found("2"), asked(now));
        cache.insert(of(0, "a"), UserIdType::OpenId, &Fact::NotFound, asked(now));
        cache.postpone(of(0, "a"), KIND, now, true);
        cache.restore(of(0, "a"), &stored.bytes, now, SystemTime::UNIX_EPOCH);
        assert_eq!(counts(&cache), (1, 1, 2));
    }
    // Others push them out, and are replaced themselves.
    for n in 0..5000 {
        let name = (n % 2500).to_string();
        cache.insert(of(n % 2, &name), KIND, &found("1"), asked(now));
        let (zero, one, all) = counts(&cache);
        assert_eq!(zero + one, all, "after {n}");
    }
    cache.forget(of(0, "0"), false, now);
    cache.forget_all(Some(1), false, now);
    let (zero, one, all) = counts(&cache);
    assert_eq!((zero, one), (all, 0));
}

#[test]
fn an_empty_place_for_nobody_counts_nobody() {
    // So small that its parts take in hardly anybody.
    let cache = super::Cache::new(1, cache().ttls(), || 0.5);
    for n in 0..100 {
        let now = Instant::now();
        cache.insert(key(&n.to_string()), KIND, &found("1"), asked(now));
        assert_eq!(cache.len_of(0), cache.len());
    }
}

#[test]
fn room_for_many_is_set_aside_once_there_are_many_and_not_again() {
    let ttls = cache().ttls();
    let (cache, now) = (super::Cache::new(500_000, ttls, || 0.5), Instant::now());
    let fill = |range: std::ops::Range<usize>| {
        for n in range {
            // Twice: that they are replaced must not put it off.
            for id in ["1", "2"] {
                cache.insert(key(&n.to_string()), KIND, &found(id), asked(now));
            }
        }
    };
    let room = || cache.entries.memory_used().total();
    fill(0..MANY_ENTRIES - 2);
    let before = room();
    fill(MANY_ENTRIES - 2..MANY_ENTRIES);
    let after = room();
    assert!(2 * after > 3 * before, "{before} to {after} bytes");
    for _ in 0..3 {
        cache.forget(key("0"), false, now);
        fill(0..1);
    }
    assert_eq!(room(), after);
}

#[test]
fn who_was_found_is_stale_for_a_while_and_nobody_else() {
    let (cache, start) = (cache(), Instant::now());
    let at = |name, seconds| {
        freshness_at(
            &cache,
            key(name),
            KIND,
            start + Duration::from_secs(seconds),
        )
    };
    cache.insert(key("found"), KIND, &found("1"), asked(start));
    cache.insert(key("not"), KIND, &Fact::NotFound, asked(start));
    cache.insert(key("many"), KIND, &Fact::Ambiguous(vec![]), asked(start));
    for (seconds, expected) in [
        (1000, Some(Freshness::Stale { may_ask: true })),
        (1499, Some(Freshness::Stale { may_ask: true })),
        (1500, None),
    ] {
        assert_eq!(at("found", seconds), expected, "{seconds}");
    }
    assert_eq!((at("not", 60), at("many", 60)), (None, None));
}

#[test]
fn after_a_failure_nobody_asks_for_half_a_minute_and_not_past_the_end_of_the_ttl() {
    let (cache, start) = (cache(), Instant::now());
    let second = Duration::from_secs(1);
    let at = |seconds: u32| freshness_at(&cache, key("a"), KIND, start + second * seconds);
    cache.insert(key("a"), KIND, &found("1"), asked(start));
    cache.postpone(key("a"), KIND, start + second * 999, true);
    assert_eq!(at(1000), Some(Freshness::Stale { may_ask: true }));
    cache.postpone(key("a"), KIND, start + second * 1001, false);
    assert_eq!(at(1002), Some(Freshness::Stale { may_ask: true }));
    cache.postpone(key("a"), KIND, start + second * 1002, true);
    assert_eq!(at(1031), Some(Freshness::Stale { may_ask: false }));
    assert_eq!(at(1032), Some(Freshness::Stale { may_ask: true }));
}

#[test]
fn what_was_flushed_does_not_come_back_with_a_call_that_had_left() {
    let (cache, start) = (cache(), Instant::now());
    let second = Duration::from_secs(1);
    for name in ["a", "b"] {
        cache.insert(key(name), KIND, &found("1"), asked(start));
    }
    assert!(cache.forget(key("a"), false, start + second));
    assert!(!cache.insert(key("a"), KIND, &found("1"), asked(start)));
    assert_eq!(fact(&cache, key("a"), KIND, start + second), None);
    assert!(cache.insert(key("a"), KIND, &found("2"), asked(start + second)));
    assert_eq!((cache.len(), cache.len_of(0), cache.len_of(1)), (2, 2, 0));
    assert_eq!(cache.forget_all(Some(1), false, start), 0);
    assert_eq!(cache.forget_all(Some(0), false, start + second), 2);
    assert_eq!((cache.len(), cache.len_of(0)), (0, 0));
    let floor = cache.flushed_at().unwrap();
    assert!(
        floor > start,
        "calls that had left before are not waited for"
    );
    assert_eq!(self::cache().flushed_at(), None);
}

#[test]
fn only_who_is_not_there_can_be_flushed() {
    let (cache, now) = (cache(), Instant::now());
    cache.insert(key("a"), KIND, &found("1"), asked(now));
    cache.insert(key("b"), KIND, &Fact::NotFound, asked(now));
    assert!(!cache.forget(key("a"), true, now));
    assert_eq!(cache.forget_all(None, true, now), 1);
    assert_eq!(fact(&cache, key("a"), KIND, now), Some(found("1")));
    assert_eq!(fact(&cache, key("b"), KIND, now), None);
}

#[test]
fn another_run_takes_over_what_was_known_with_its_age_by_the_wall_clock() {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
    let people = vec![
        Person {
            id: "1".to_owned(),
            status: Some(crate::identity::PersonStatus {
                resigned: true,
                unjoined: true,
                ..Default::default()
            }),
        },
        Person {
            id: "2".to_owned(),
            status: None,
        },
    ];
    let refusal = Refusal {
        code: Some(-7),
        log_id: Some("log".to_owned()),
    };
    let facts = [
        (UserIdType::UserId, Fact::Ambiguous(people)),
        (UserIdType::OpenId, found("ou_1")),
        (UserIdType::UnionId, Fact::Refused(refusal)),
    ];
    let (old, start) = (cache(), Instant::now());
    for (kind, fact) in &facts {
        let asked = Asked {
            departed: start,
            at: wall,
        };
        old.insert(key("a"), *kind, fact, asked);
    }
    let stored = old.snapshot(key("a")).unwrap();
    assert!(stored.has_found && stored.has_negative);
    assert_eq!(stored.useless_at, wall + TTL + STALE);
    let restored = |age| {
        let new = cache();
        new.restore(key("a"), &stored.bytes, start, wall + age);
        new
    };
    let new = restored(Duration::from_secs(50));
    for (kind, expected) in facts {
        let known = fact(&new, key("a"), kind, start + Duration::from_secs(9));
        assert_eq!(known, Some(expected));
    }
    assert_eq!(
        fact(&new, key("a"), KIND, start + Duration::from_secs(10)),
        None
    );
    let of_open_id = |age| freshness_at(&restored(age), key("a"), UserIdType::OpenId, start);
    assert_eq!(of_open_id(TTL), Some(Freshness::Stale { may_ask: true }));
    assert_eq!(of_open_id(TTL + STALE), None);
    // A shorter TTL than the one it was stored with holds.
    let short = Ttls {
        found: Duration::from_secs(10),
        ..old.ttls()
    };
    let shorter = super::Cache::new(10, short, || 0.5);
    shorter.restore(
        key("a"),
        &stored.bytes,
        start,
        wall + Duration::from_secs(9),
    );
    let kind = UserIdType::OpenId;
    let fresh = freshness_at(&shorter, key("a"), kind, start);
    assert!(matches!(
        fresh,
        Some(Freshness::Fresh | Freshness::RefreshDue { .. })
    ));
    let later = freshness_at(&shorter, key("a"), kind, start + Duration::from_secs(1));
    assert_eq!(later, Some(Freshness::Stale { may_ask: true }));
    // A clock that was put back says nothing about ages.
    let ahead = cache();
    ahead.restore(
        key("a"),
        &stored.bytes,
        start,
        wall - Duration::from_hours(1),
    );
    assert!(ahead.is_empty());
    // What was flushed since does not come back.
    let flushed = cache();
    flushed.forget_all(None, false, start);
    flushed.restore(
        key("a"),
        &stored.bytes,
        start,
        wall + Duration::from_secs(50),
    );
    assert!(flushed.is_empty());
}

#[test]
fn whatever_bytes_are_restored_nothing_falls_over() {
    let (cache, now) = (cache(), Instant::now());
    let wall = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
    let asked = Asked {
        departed: now,
        at: wall,
    };
    for kind in [UserIdType::UserId, UserIdType::OpenId] {
        cache.insert(key("a"), kind, &found("1"), asked);
    }
    let good = cache.snapshot(key("a")).unwrap().bytes;
    let mut random = fastrand::Rng::with_seed(5);
    for round in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(1..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(..=bytes.len()));
        let other = super::Cache::new(10, cache.ttls(), || 0.5);
        other.restore(key("b"), &bytes, now, wall);
        let Some(known) = other.recall(key("b"), now) else {
            continue;
        };
        for kind in [UserIdType::UserId, UserIdType::OpenId, UserIdType::UnionId] {
            if let Some(answer) = known.answer(kind) {
                let _whatever = (answer.fact(), answer.asked_at(), answer.departed(), round);
            }
        }
    }
}

#[test]
fn a_flush_is_whole_while_the_store_forgets() {
    let (cache, start) = (cache(), Instant::now());
    let wall = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
    let second = Duration::from_secs(1);
    let asked = |n| Asked {
        departed: start + second * n,
        at: wall + second * n,
    };
    cache.insert(key("a"), UserIdType::OpenId, &found("flushed"), asked(0));
    let old = cache.snapshot(key("a")).unwrap().bytes;
    let flushing = cache.flushing();
    cache.forget(key("a"), false, start + second);
    // What lands now carries nothing old along, and what is still stored is not taken over.
    assert!(cache.insert(key("a"), UserIdType::UserId, &found("new"), asked(2)));
    let kept = cache.snapshot(key("a")).unwrap().bytes;
    cache.restore(key("b"), &old, start + second * 2, wall + second * 2);
    assert_eq!((cache.len(), cache.is_empty()), (1, false));
    cache.forget(key("a"), false, start + second * 3);
    drop(flushing);
    let read_at = start + second * 4;
    cache.restore(key("a"), &kept, read_at, wall + second * 4);
    assert_eq!(
        fact(&cache, key("a"), UserIdType::UserId, read_at),
        Some(found("new"))
    );
    assert_eq!(fact(&cache, key("a"), UserIdType::OpenId, read_at), None);
}

#[test]
fn what_seems_to_be_of_the_future_is_not_newer_than_who_asks() {
    let (cache, start) = (cache(), Instant::now());
    let wall = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
    let asked = Asked {
        departed: start,
        at: wall,
    };
    let before = super::tests::cache();
    before.insert(key("a"), KIND, &found("1"), asked);
    let kept = before.snapshot(key("a")).unwrap().bytes;
    let read_at = start + Duration::from_secs(5);
    cache.restore(key("a"), &kept, read_at, wall - Duration::from_secs(25));
    let known = cache.recall(key("a"), read_at).unwrap();
    assert!(known.answer(KIND).unwrap().departed() < start);
}

fn changed(cache: &Cache, change: impl FnOnce(&mut Ttls)) {
    let mut ttls = cache.ttls();
    change(&mut ttls);
    cache.set_ttls(ttls);
    assert_eq!(cache.ttls(), ttls);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_ttl_binds_what_is_known_and_a_longer_one_does_not() {
    let cache = cache();
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    cache.insert(key("a"), KIND, &found("u1"), asked(start));
    changed(&cache, |ttls| ttls.found = TTL / 10);
    assert_eq!(
        freshness_at(&cache, key("a"), KIND, at(89)),
        Some(Freshness::Fresh)
    );
    assert!(
        cache
            .recall(key("a"), at(89))
            .unwrap()
            .fresh(KIND, None)
            .is_some()
    );
    assert!(matches!(
        freshness_at(&cache, key("a"), KIND, at(98)),
        Some(Freshness::RefreshDue { expires_at, .. }) if expires_at == at(100)
    ));
    let stale = freshness_at(&cache, key("a"), KIND, at(100));
    assert_eq!(stale, Some(Freshness::Stale { may_ask: true }));
    assert!(
        cache
            .recall(key("a"), at(100))
            .unwrap()
            .fresh(KIND, None)
            .is_none()
    );
    // A failure puts it off as it does any other that is past its time.
    cache.postpone(key("a"), KIND, at(100), true);
    let stale = freshness_at(&cache, key("a"), KIND, at(129));
    assert_eq!(stale, Some(Freshness::Stale { may_ask: false }));
    // Stale for as long as any other, counted from where it ended.
    assert!(freshness_at(&cache, key("a"), KIND, at(599)).is_some());
    assert_eq!(freshness_at(&cache, key("a"), KIND, at(600)), None);

    cache.insert(key("b"), KIND, &found("u2"), asked(start));
    changed(&cache, |ttls| ttls.found = TTL);
    let of = |name, seconds| freshness_at(&cache, key(name), KIND, at(seconds));
    assert!(matches!(of("b", 100), Some(Freshness::Stale { .. })));
    cache.insert(key("b"), KIND, &found("u2"), asked(at(100)));
    assert_eq!(of("b", 999), Some(Freshness::Fresh));
}

#[tokio::test(start_paused = true)]
async fn other_times_hold_for_what_is_asked_for_from_then_on() {
    let cache = cache();
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    cache.insert(key("a"), KIND, &Fact::NotFound, asked(start));
    cache.insert(key("b"), KIND, &found("u1"), asked(start));
    changed(&cache, |ttls| {
        ttls.negative = NEGATIVE / 6;
        ttls.serve_stale = STALE / 5;
    });
    let of = |name, seconds| freshness_at(&cache, key(name), KIND, at(seconds));
    assert!(of("a", 59).is_some() && of("a", 60).is_none());
    cache.insert(key("c"), KIND, &Fact::NotFound, asked(start));
    assert!(of("c", 9).is_some() && of("c", 10).is_none());
    assert!(of("b", 1099).is_some() && of("b", 1100).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_is_gone_is_forgotten_without_a_flush() {
    let cache = cache();
    let start = Instant::now();
    let of = |directory, name| CacheKey {
        directory,
        ..key(name)
    };
    for directory in 0..3 {
        cache.insert(of(directory, "a"), KIND, &found("u1"), asked(start));
        cache.insert(of(directory, "b"), KIND, &Fact::NotFound, asked(start));
    }
    cache.forget_directory(1);
    let left = [0, 1, 2].map(|directory| cache.len_of(directory));
    assert_eq!((left, cache.len()), ([2, 0, 2], 4));
    assert_eq!(cache.flushed_at(), None);
    assert!(cache.insert(of(0, "c"), KIND, &found("u2"), asked(start)));
}
