//! Through an outage: who is given as they were known, for how long, and at what cost.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A tenant that knows these people, all of whom are past their TTL now.
async fn long_known(who: &[&str]) -> Bench {
    let bench = bench(|who, _| {
        Ok(match who {
            "nobody@x" => vec![],
            _ => vec![("1", None)],
        })
    });
    bench.ask(who, &[], false).await;
    tokio::time::sleep(TTL + SECOND).await;
    bench
}

fn is_stale(resolution: &Resolution) -> bool {
    matches!(resolution, Resolution::Resolved(resolved) if resolved.stale)
}

fn is_failed(resolution: &Resolution, reason: Reason) -> bool {
    matches!(resolution, Resolution::Failed(failure) if failure.reason == reason)
}

/// The answer for one person, and how long it took.
async fn timed(bench: &Bench, within: Duration) -> (Resolution, Duration) {
    let start = Instant::now();
    let answers = bench.ask_by(&["a@x"], None, within).await;
    (answers[0].clone(), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn everybody_known_is_answered_for_a_day_for_a_call_every_half_minute() {
    let names: Vec<_> = (0..100).map(|n| format!("p{n}@x")).collect();
    let who: Vec<_> = names.iter().map(String::as_str).collect();
    let bench = long_known(&who).await;
    bench.goes_down(Kind::Unavailable);
    let before = bench.calls();
    let start = Instant::now();
    // Until it is noticed.
    while bench.calls() < before + 5 {
        bench.ask(&who[..10], &[], false).await;
    }
    let noticed = bench.calls() - before;
    assert!(noticed <= 5 + 16, "{noticed} calls until it was noticed");
    let (mut asked, noticed_at) = (0, Instant::now());
    while start.elapsed() < Duration::from_hours(23) {
        let some = asked % 91;
        let (answers, began) = (bench.ask(&who[some..some + 10], &[], false), Instant::now());
        assert!(answers.await.iter().all(is_stale), "{:?}", start.elapsed());
        assert!(began.elapsed() < Duration::from_millis(1), "nobody waits");
        asked += 1;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let probes = bench.calls() - before - noticed;
    let most = noticed_at.elapsed().as_secs() / 30 + 1;
    assert!(u64::try_from(probes).unwrap() <= most, "{probes} of {most}");
    assert!(probes > 2700, "{probes}: it is looked at again and again");
    bench.goes_down(None);
    let back = Instant::now();
    while is_stale(&bench.ask(&["p7@x"], &[], false).await[0]) {
        tokio::time::sleep(SECOND).await;
    }
    assert!(back.elapsed() <= 35 * SECOND, "{:?}", back.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_day_after_the_ttl_and_not_longer() {
    let bench = long_known(&["a@x"]).await;
    bench.goes_down(Kind::TimedOut);
    tokio::time::sleep(STALE.saturating_sub(3 * SECOND)).await;
    assert!(is_stale(&timed(&bench, SECOND).await.0));
    tokio::time::sleep(3 * SECOND).await;
    let (answer, _) = timed(&bench, SECOND).await;
    assert!(
        is_failed(&answer, Reason::UpstreamUnavailable),
        "{answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn while_it_hangs_a_stale_answer_goes_out_in_time_for_the_deadline() {
    for (within, expected) in [(5000, 1800), (1000, 900), (100, 80), (10, 0)] {
        let bench = long_known(&["a@x"]).await;
        bench.script.latency_ms.store(10_000, Ordering::SeqCst);
        let (answer, took) = timed(&bench, Duration::from_millis(within)).await;
        assert!(is_stale(&answer), "{within}: {answer:?}");
        let off = took.abs_diff(Duration::from_millis(expected));
        assert!(off <= Duration::from_millis(2), "{within}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_older_than_its_caller_takes_goes_out_at_the_end_of_a_wait() {
    for (latency_ms, comes) in [(10_000, false), (3000, true)] {
        let bench = long_known(&["a@x"]).await;
        bench.script.latency_ms.store(latency_ms, Ordering::SeqCst);
        // Young enough for a second still.
        let max_age = Some(TTL + 2 * SECOND);
        let answers = bench.ask_by(&["a@x"], max_age, 5 * SECOND).await;
        let is_fresh = ids(&answers[0]) == ["1"] && !is_stale(&answers[0]);
        let is_late = is_failed(&answers[0], Reason::DeadlineExceeded);
        assert_eq!((is_fresh, is_late), (comes, !comes), "{answers:?}");
    }
    // Nor when somebody else of the request is waited for.
    let bench = long_known(&["a@x"]).await;
    bench.script.latency_ms.store(10_000, Ordering::SeqCst);
    for (more, stale) in [(3, false), (30, true)] {
        let max_age = Some(TTL + more * SECOND);
        let answers = bench.ask_by(&["a@x", "b@x"], max_age, 5 * SECOND).await;
        assert_eq!(is_stale(&answers[0]), stale, "{answers:?}");
        let is_told = is_failed(&answers[0], Reason::UpstreamUnavailable);
        assert_eq!(is_told, !stale, "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_flushed_while_a_fresh_answer_is_waited_for_is_not_given_as_they_were() {
    let bench = long_known(&["a@x", "b@x"]).await;
    bench.script.latency_ms.store(10_000, Ordering::SeqCst);
    let flush = async {
        tokio::time::sleep(SECOND).await;
        let who = Identifier::Email(Email::parse("a@x").unwrap());
        assert_eq!(bench.tenant().forget(&who, false), 1);
    };
    let a_and_b = async {
        futures_util::join!(timed(&bench, 5 * SECOND), async {
            bench.ask_by(&["b@x"], None, 5 * SECOND).await
        })
    };
    let (((a, _), b), ()) = futures_util::join!(a_and_b, flush);
    assert!(is_failed(&a, Reason::DeadlineExceeded), "{a:?}");
    assert!(is_stale(&b[0]), "nobody has flushed this one: {b:?}");
}

#[tokio::test(start_paused = true)]
async fn while_no_token_is_to_be_had_nobody_waits_for_one_but_the_first() {
    let bench = long_known(&["a@x", "b@x", "c@x"]).await;
    bench.script.latency_ms.store(5000, Ordering::SeqCst);
    bench.script.shared_for_ms.store(2000, Ordering::SeqCst);
    bench.goes_down(Kind::TimedOut);
    let (answer, took) = timed(&bench, 5 * SECOND).await;
    assert!(is_stale(&answer) && took >= SECOND, "{took:?}");
    tokio::time::sleep(4 * SECOND).await;
    // It has failed, is left alone for a while, and tried again.
    for is_tried in [false, true, true, true] {
        for who in ["b@x", "c@x"] {
            let start = Instant::now();
            assert!(is_stale(&bench.ask(&[who], &[], false).await[0]));
            assert!(start.elapsed() < SECOND / 10, "{:?}", start.elapsed());
        }
        tokio::time::sleep(3 * SECOND / 4).await;
        assert_eq!(bench.calls() > 2, is_tried);
    }
    bench.goes_down(None);
    bench.script.latency_ms.store(0, Ordering::SeqCst);
    // The one that is under way fails still.
    tokio::time::sleep(8 * SECOND).await;
    bench.ask(&["b@x", "c@x"], &[], false).await;
    tokio::time::sleep(SECOND).await;
    for who in ["c@x", "b@x"] {
        assert!(!is_stale(&bench.ask(&[who], &[], false).await[0]), "{who}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_comes_too_late_for_its_caller_is_not_in_vain() {
    let bench = long_known(&["a@x"]).await;
    bench.script.latency_ms.store(4000, Ordering::SeqCst);
    assert!(is_stale(&timed(&bench, SECOND).await.0));
    tokio::time::sleep(4 * SECOND).await;
    let (answer, took) = timed(&bench, SECOND).await;
    assert_eq!((ids(&answer), is_stale(&answer)), (vec!["1"], false));
    assert!(took < SECOND / 10 && bench.calls() == 2);
}

#[tokio::test(start_paused = true)]
async fn stale_is_given_when_nobody_could_be_asked_and_not_when_there_was_an_answer() {
    let throttled = Kind::Throttled {
        retry_after: Some(Duration::from_mins(1)),
    };
    let scope = Kind::ScopeMissing { scopes: vec![] };
    for (kind, reason) in [
        (Kind::Unavailable, None),
        (Kind::TimedOut, None),
        (Kind::InvalidResponse, None),
        (throttled, None),
        (Kind::MonthlyQuotaSpent, None),
        (Kind::BadCredentials, None),
        (scope, Some(Reason::ScopeMissing)),
        (Kind::AppUnavailable, Some(Reason::AppUnavailable)),
    ] {
        let bench = long_known(&["a@x"]).await;
        bench.goes_down(kind.clone());
        // Also once it is not asked any more.
        for n in 0..8 {
            let (answer, _) = timed(&bench, 3 * SECOND).await;
            match reason {
                None => assert!(is_stale(&answer), "{kind:?} {n}: {answer:?}"),
                Some(reason) => assert!(is_failed(&answer, reason), "{kind:?} {n}: {answer:?}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_not_there_is_not_given_as_missing_and_who_wants_it_new_gets_nothing_old() {
    let bench = long_known(&["a@x", "nobody@x"]).await;
    bench.goes_down(Kind::Unavailable);
    let answers = bench.ask(&["nobody@x", "a@x"], &[], false).await;
    assert!(
        is_failed(&answers[0], Reason::UpstreamUnavailable),
        "{:?}",
        answers[0]
    );
    assert!(is_stale(&answers[1]));
    for (max_age, is_given) in [(TTL / 2, false), (TTL * 2, true)] {
        let answers = bench.ask_by(&["a@x"], Some(max_age), SECOND).await;
        assert_eq!(is_stale(&answers[0]), is_given, "{max_age:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_known_by_one_kind_of_id_is_not_given_for_another() {
    let bench = long_known(&["a@x"]).await;
    bench.goes_down(Kind::Unavailable);
    let both = [UserIdType::UserId, UserIdType::OpenId];
    let answers = bench.ask(&["a@x"], &both, false).await;
    let Resolution::Resolved(resolved) = &answers[0] else {
        unreachable!("{answers:?}");
    };
    assert!(resolved.stale && resolved.ids.open_id.is_none());
    let missing = resolved.missing.as_ref().unwrap();
    assert_eq!(missing.reason, Reason::UpstreamUnavailable);
}

#[tokio::test(start_paused = true)]
async fn who_has_left_meanwhile_is_not_found_once_the_directory_answers() {
    static GONE: AtomicBool = AtomicBool::new(false);
    let bench = bench(|who, _| match who {
        "a@x" if GONE.load(Ordering::SeqCst) => Ok(vec![]),
        _ => Ok(vec![("1", None)]),
    });
    bench.ask(&["a@x", "b@x"], &[], false).await;
    tokio::time::sleep(TTL + SECOND).await;
    GONE.store(true, Ordering::SeqCst);
    let answers = bench.ask(&["a@x", "b@x"], &[], false).await;
    assert!(matches!(answers[0], Resolution::NotFound { .. }));
    bench.goes_down(Kind::Unavailable);
    tokio::time::sleep(NEGATIVE).await;
    let (answer, _) = timed(&bench, SECOND).await;
    assert!(
        is_failed(&answer, Reason::UpstreamUnavailable),
        "{answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_not_found_by_a_newer_call_is_not_resolved_by_an_older_one() {
    static GONE: AtomicBool = AtomicBool::new(false);
    let bench = bench(|who, _| match who {
        "a@x" if GONE.load(Ordering::SeqCst) => Ok(vec![]),
        _ => Ok(vec![("1", None)]),
    });
    let both = [UserIdType::UserId, UserIdType::OpenId];
    bench.ask(&["a@x", "b@x"], &both, false).await;
    tokio::time::sleep(TTL + SECOND).await;
    GONE.store(true, Ordering::SeqCst);
    let one = [UserIdType::UserId];
    let answers = bench.ask(&["a@x", "b@x"], &one, false).await;
    assert!(matches!(answers[0], Resolution::NotFound { .. }));
    bench.goes_down(Kind::Unavailable);
    let answers = bench.ask(&["a@x"], &both, false).await;
    let resolved = matches!(answers[0], Resolution::Resolved(_));
    assert!(!resolved, "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn once_the_app_is_disabled_nobody_is_given_stale() {
    let bench = long_known(&["a@x", "b@x"]).await;
    bench.goes_down(Kind::Unavailable);
    assert!(is_stale(&bench.ask(&["a@x"], &[], false).await[0]));
    bench.goes_down(Kind::AppUnavailable);
    for who in ["b@x", "a@x"] {
        let answers = bench.ask(&[who], &[], false).await;
        assert!(is_failed(&answers[0], Reason::AppUnavailable), "{who}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_feishu_asks_for_a_pause_nobody_waits_for_its_end() {
    let bench = long_known(&["a@x", "b@x"]).await;
    bench.goes_down(Kind::Throttled {
        retry_after: Some(Duration::from_mins(1)),
    });
    assert!(is_stale(&bench.ask(&["b@x"], &[], false).await[0]));
    for _ in 0..3 {
        let (answer, took) = timed(&bench, 5 * SECOND).await;
        assert!(is_stale(&answer) && took < SECOND / 10, "{took:?}");
    }
}
