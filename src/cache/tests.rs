//! How long answers live; time is an argument.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::SystemTime;

use super::*;
use crate::identity::{Email, Person};

const TTL: Duration = Duration::from_secs(1000);
const NEGATIVE: Duration = Duration::from_mins(1);
const KIND: UserIdType = UserIdType::UserId;

fn cache() -> Cache {
    let ttls = Ttls {
        found: TTL,
        negative: NEGATIVE,
    };
    Cache::new(1000, ttls, || 1.0)
}

fn key(name: &str) -> CacheKey {
    CacheKey {
        directory: 0,
        include_resigned: false,
        identifier: Identifier::Email(Email::parse(&format!("{name}@x.example")).unwrap()),
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

fn fact(cache: &Cache, key: &CacheKey, kind: UserIdType, now: Instant) -> Option<Fact> {
    cache.get(key, kind, now).map(|(answer, _)| answer.fact)
}

/// How long the answer is given from when its call left.
fn life(cache: &Cache, key: &CacheKey, departed: Instant) -> u64 {
    let gives = |seconds: &u64| {
        let now = departed + Duration::from_secs(*seconds);
        cache.get(key, KIND, now).is_none()
    };
    (0..10_000).find(gives).unwrap()
}

#[test]
fn an_answer_expires_exactly_at_its_ttl_from_when_the_call_left() {
    let (cache, start) = (cache(), Instant::now());
    cache.insert(key("a"), KIND, found("1"), asked(start));
    let just_before = start + TTL - Duration::from_nanos(1);
    assert_eq!(fact(&cache, &key("a"), KIND, just_before), Some(found("1")));
    assert_eq!(fact(&cache, &key("a"), KIND, start + TTL), None);
}

#[test]
fn a_refresh_is_due_in_the_last_tenth_and_urgent_near_the_end() {
    let (cache, start) = (cache(), Instant::now());
    cache.insert(key("a"), KIND, found("1"), asked(start));
    let freshness = |thousandths: u32| {
        let now = start + TTL * thousandths / 1000;
        cache.get(&key("a"), KIND, now).unwrap().1
    };
    let due = Freshness::RefreshDue {
        urgent_at: start + TTL * 98 / 100,
    };
    assert_eq!(freshness(899), Freshness::Fresh);
    // Drawn between 0.90 and 0.97; this cache always draws the latest.
    assert_eq!(freshness(969), Freshness::Fresh);
    assert_eq!(freshness(971), due);
    cache.postpone(key("a"), KIND, start + TTL * 971 / 1000);
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
        cache.insert(key("a"), KIND, Fact::NotFound, asked(now));
        let life = life(&cache, &key("a"), now);
        lives.push(life);
        now += Duration::from_secs(life);
    }
    assert_eq!(lives, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
    cache.insert(key("a"), KIND, found("1"), asked(now));
    assert_eq!(life(&cache, &key("a"), now), 1000);
    cache.insert(key("a"), KIND, Fact::NotFound, asked(now + TTL));
    assert_eq!(life(&cache, &key("a"), now + TTL), 60, "it begins anew");
}

#[test]
fn asking_again_before_its_time_does_not_make_not_found_live_longer() {
    let (cache, start) = (cache(), Instant::now());
    for second in 0..10 {
        let now = start + Duration::from_secs(second);
        cache.insert(key("a"), KIND, Fact::NotFound, asked(now));
        assert_eq!(life(&cache, &key("a"), now), 60);
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
        cache.insert(key("a"), KIND, fact, asked(now));
        assert_eq!(life(&cache, &key("a"), now), 60);
    }
}

#[test]
fn everything_that_changes_an_answer_is_in_its_key() {
    let (cache, now) = (cache(), Instant::now());
    cache.insert(key("a"), KIND, found("1"), asked(now));
    let other_directory = CacheKey {
        directory: 1,
        ..key("a")
    };
    let resigned = CacheKey {
        include_resigned: true,
        ..key("a")
    };
    for other in [other_directory, resigned, key("b")] {
        assert_eq!(fact(&cache, &other, KIND, now), None);
    }
    assert_eq!(fact(&cache, &key("a"), UserIdType::OpenId, now), None);
}

#[test]
fn three_kinds_of_id_each_have_a_time_of_their_own() {
    let (cache, start) = (cache(), Instant::now());
    let kinds = [UserIdType::UserId, UserIdType::OpenId, UserIdType::UnionId];
    for (n, kind) in (0..).zip(kinds) {
        cache.insert(
            key("a"),
            kind,
            found(kind.as_str()),
            asked(start + TTL / 4 * n),
        );
    }
    assert_eq!(cache.len(), 1);
    let now = start + TTL;
    assert_eq!(fact(&cache, &key("a"), kinds[0], now), None);
    for kind in &kinds[1..] {
        assert_eq!(
            fact(&cache, &key("a"), *kind, now),
            Some(found(kind.as_str()))
        );
    }
}

#[test]
fn an_answer_that_lands_late_does_not_replace_a_newer_one() {
    let (cache, now) = (cache(), Instant::now());
    cache.insert(key("a"), KIND, found("new"), asked(now + NEGATIVE));
    cache.insert(key("a"), KIND, found("old"), asked(now));
    assert_eq!(
        fact(&cache, &key("a"), KIND, now + NEGATIVE),
        Some(found("new"))
    );
}

#[test]
fn there_are_never_more_entries_than_the_capacity() {
    let (cache, now) = (cache(), Instant::now());
    for n in 0..5000 {
        cache.insert(key(&n.to_string()), KIND, found("1"), asked(now));
    }
    assert!(cache.len() <= 1000, "{}", cache.len());
    assert!(cache.len() >= 900, "{}", cache.len());
}
