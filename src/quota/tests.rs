//! Permits under a load that the test describes, with Feishu's own limits.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::VecDeque;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const LATENCY: Duration = Duration::from_millis(30);

fn feishu() -> Vec<Limit> {
    vec![
        Limit {
            limit: 50,
            length: SECOND,
        },
        Limit {
            limit: 1000,
            length: MINUTE,
        },
    ]
}

fn one(limit: usize) -> Vec<Limit> {
    vec![Limit {
        limit,
        length: SECOND,
    }]
}

fn waiting(full: bool) -> Load {
    let now = Some(Instant::now());
    Load {
        full_at: now.filter(|_| full),
        ready_at: now,
        eager: false,
    }
}

fn demand(load: Load) -> (watch::Sender<Load>, Demand) {
    watch::channel(load)
}

/// The departures of calls of this kind for so long, each answered after 30 ms.
async fn departures(quota: &Quota, load: Load, how_long: Duration) -> Vec<Instant> {
    let (_keep, mut demand) = demand(load);
    let end = Instant::now() + how_long;
    let mut left = Vec::new();
    loop {
        let permit = tokio::select! {
            permit = quota.acquire(&mut demand) => permit,
            () = sleep_until(end) => return left,
        };
        left.push(Instant::now());
        tokio::spawn(async move {
            tokio::time::sleep(LATENCY).await;
            drop(permit);
        });
    }
}

/// The most departures in any stretch of that length.
fn most_in(departures: &[Instant], length: Duration) -> usize {
    let mut window = VecDeque::new();
    let mut most = 0;
    for at in departures {
        window.push_back(*at);
        while window.front().is_some_and(|first| *first + length <= *at) {
            window.pop_front();
        }
        most = most.max(window.len());
    }
    most
}

fn longest_gap(departures: &[Instant]) -> Duration {
    let gaps = departures.iter().zip(departures.iter().skip(1));
    gaps.map(|(a, b)| *b - *a).max().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_permit_comes_back_one_window_after_the_answer() {
    let quota = Quota::new(&one(1));
    let (_keep, mut demand) = demand(waiting(true));
    let start = Instant::now();
    let permit = quota.acquire(&mut demand).await;
    tokio::spawn(async move {
        tokio::time::sleep(SECOND / 2).await;
        drop(permit);
    });
    let _next = quota.acquire(&mut demand).await;
    assert_eq!(start.elapsed(), SECOND + SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn no_stretch_of_a_second_or_a_minute_holds_more_than_allowed() {
    for full in [true, false] {
        let quota = Quota::new(&feishu());
        let left = departures(&quota, waiting(full), 5 * MINUTE).await;
        assert!(most_in(&left, SECOND) <= 50);
        assert!(most_in(&left, MINUTE) <= 1000);
        // 3 % go to the time between departure and answer, some to the start.
        assert!(left.len() > 4500, "{full}: {}", left.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_pace_is_kept_that_never_stalls() {
    let quota = Quota::new(&feishu());
    let left = departures(&quota, waiting(false), 5 * MINUTE).await;
    assert!(
        longest_gap(&left) <= Duration::from_millis(130),
        "{:?}",
        longest_gap(&left)
    );
}

#[tokio::test(start_paused = true)]
async fn full_calls_leave_close_together_while_half_of_the_minute_is_free() {
    let quota = Quota::new(&feishu());
    tokio::time::sleep(2 * MINUTE).await;
    let start = Instant::now();
    let left = departures(&quota, waiting(true), 3 * SECOND).await;
    assert!((100..=150).contains(&left.len()), "{}", left.len());
    assert!(*left.get(99).unwrap() - start < Duration::from_millis(2300));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_just_started_does_not_know_what_another_one_spent() {
    let quota = Quota::new(&feishu());
    let left = departures(&quota, waiting(true), MINUTE).await;
    let first_second = left.iter().filter(|at| **at - left[0] < SECOND).count();
    assert!((20..=66).contains(&first_second), "{first_second}");
    // 50 of its own and 950 that come back during the minute.
    assert!(left.len() <= 1000);
}

#[tokio::test(start_paused = true)]
async fn a_lone_call_on_an_idle_service_waits_for_nothing_and_a_few_more_hardly() {
    let quota = Quota::new(&feishu());
    let (_keep, mut demand) = demand(waiting(false));
    for _ in 0..20 {
        tokio::time::sleep(SECOND / 10).await;
        let start = Instant::now();
        drop(quota.acquire(&mut demand).await);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_leaves_before_it_is_ready_or_while_nothing_waits() {
    let quota = Quota::new(&feishu());
    let (tell, mut demand) = demand(Load::default());
    let start = Instant::now();
    tokio::spawn(async move {
        tokio::time::sleep(SECOND).await;
        let ready_at = Some(Instant::now() + SECOND);
        tell.send_replace(Load {
            full_at: None,
            ready_at,
            eager: false,
        });
        tokio::time::sleep(MINUTE).await;
    });
    let permit = quota.acquire(&mut demand).await;
    assert_eq!(start.elapsed(), 2 * SECOND);
    assert_eq!(permit.covers(), Covers::AnyCall);
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_was_not_used_is_not_spent() {
    let quota = Quota::new(&one(1));
    let (_keep, mut demand) = demand(waiting(true));
    let start = Instant::now();
    for _ in 0..10 {
        quota.acquire(&mut demand).await.ended(Ended::Unused);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn after_a_refusal_everybody_pauses_and_one_call_goes_first() {
    let quota = Quota::new(&feishu());
    let (_keep, mut demand) = demand(waiting(true));
    let throttled = |seconds| Ended::Throttled {
        retry_after: Some(Duration::from_secs(seconds)),
    };
    let start = Instant::now();
    quota.acquire(&mut demand).await.ended(throttled(7));
    assert!(quota.outlook(1) >= 7 * SECOND);
    let probe = quota.acquire(&mut demand).await;
    assert_eq!(start.elapsed(), 7 * SECOND);
    let second = tokio::time::timeout(SECOND, quota.acquire(&mut demand)).await;
    assert!(second.is_err(), "the others wait for what becomes of it");
    probe.ended(throttled(2));
    let probe = quota.acquire(&mut demand).await;
    assert_eq!(start.elapsed(), 10 * SECOND);
    probe.ended(Ended::Answered);
    quota.acquire(&mut demand).await;
    assert_eq!(start.elapsed(), 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_does_not_say_how_long_is_waited_for_twice_as_long_each_time() {
    let quota = Quota::new(&feishu());
    let (_keep, mut demand) = demand(waiting(true));
    let mut pauses = Vec::new();
    for _ in 0..8 {
        quota
            .acquire(&mut demand)
            .await
            .ended(Ended::Throttled { retry_after: None });
        let start = Instant::now();
        quota.acquire(&mut demand).await.ended(Ended::Unused);
        pauses.push(start.elapsed().as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[tokio::test(start_paused = true)]
async fn the_pace_stays_slower_for_a_while_after_a_refusal() {
    let rate = |left: Vec<Instant>| left.len();
    let quota = Quota::new(&feishu());
    tokio::time::sleep(2 * MINUTE).await;
    let before = rate(departures(&quota, waiting(false), 30 * SECOND).await);
    tokio::time::sleep(2 * MINUTE).await;
    let (_keep, mut demand) = demand(waiting(true));
    let throttled = Ended::Throttled {
        retry_after: Some(SECOND),
    };
    quota.acquire(&mut demand).await.ended(throttled);
    quota.acquire(&mut demand).await.ended(Ended::Answered);
    let after = rate(departures(&quota, waiting(false), 30 * SECOND).await);
    let percent = after * 100 / before;
    assert!((65..=75).contains(&percent), "{percent} % of {before}");
    tokio::time::sleep(6 * MINUTE).await;
    let later = rate(departures(&quota, waiting(false), 30 * SECOND).await);
    assert!(later * 100 / before >= 97, "{later} of {before}");
}

#[tokio::test(start_paused = true)]
async fn small_limits_are_kept_too() {
    let limits = [
        Limit {
            limit: 5,
            length: SECOND,
        },
        Limit {
            limit: 100,
            length: MINUTE,
        },
    ];
    let quota = Quota::new(&limits);
    let left = departures(&quota, waiting(true), 3 * MINUTE).await;
    assert!(most_in(&left, SECOND) <= 5);
    assert!(most_in(&left, MINUTE) <= 100);
    assert!(left.len() >= 250, "{}", left.len());
}

#[tokio::test(start_paused = true)]
async fn the_outlook_is_when_the_last_of_so_many_calls_could_leave() {
    let quota = Quota::new(&feishu());
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(quota.outlook(1), Duration::ZERO);
    let of_100 = quota.outlook(100);
    assert!((SECOND..3 * SECOND).contains(&of_100), "{of_100:?}");
    assert!(quota.outlook(1100) >= MINUTE);
    departures(&quota, waiting(true), MINUTE).await;
    let outlook = quota.outlook(200);
    let left = departures(&quota, waiting(true), outlook).await.len();
    assert!((150..=210).contains(&left), "{left} in {outlook:?}");
}

#[tokio::test(start_paused = true)]
async fn the_next_process_keeps_to_the_limit_if_it_knows_the_calls_of_this_one() {
    let first = Quota::with_history(&feishu(), &[]);
    let mut left = departures(&first, waiting(true), 20 * SECOND).await;
    let history = first.history();
    assert_eq!(history.len(), left.len());
    drop(first);
    let next = Quota::with_history(&feishu(), &history);
    let free = next.left()[1].1;
    assert_eq!(free, 1000 - left.len(), "it knows each of them");
    left.extend(departures(&next, waiting(true), 2 * MINUTE).await);
    assert!(most_in(&left, MINUTE) <= 1000, "{}", most_in(&left, MINUTE));
    assert!(most_in(&left, SECOND) <= 50);
    assert!(longest_gap(&left) < 2 * SECOND, "{:?}", longest_gap(&left));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_lowered_holds_at_once_and_knows_what_has_left() {
    let quota = Quota::with_history(&feishu(), &[]);
    let before = departures(&quota, waiting(true), SECOND).await;
    assert!(before.len() > 40, "{}", before.len());
    let lowered = [
        Limit {
            limit: 5,
            length: SECOND,
        },
        Limit {
            limit: 30,
            length: MINUTE,
        },
    ];
    quota.set_limits(&lowered);
    assert_eq!(quota.left()[1], (lowered[1], 0));
    // The minute holds more calls than it now may: until they have come back none leaves.
    assert!(quota.outlook(1) > SECOND * 50, "{:?}", quota.outlook(1));
    let none = departures(&quota, waiting(true), SECOND * 55).await;
    assert_eq!(none.len(), 0);
    let later = departures(&quota, waiting(true), 3 * MINUTE).await;
    assert!(most_in(&later, SECOND) <= 5 && most_in(&later, MINUTE) <= 30);
    assert!(later.len() > 60, "{}", later.len());
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_raised_wakes_whoever_waits() {
    let quota = Quota::with_history(&one(1), &[]);
    let first = departures(&quota, waiting(true), SECOND / 2).await;
    assert_eq!(first.len(), 1);
    let (_keep, mut demand) = demand(waiting(true));
    let began = Instant::now();
    let raise = async {
        tokio::time::sleep(LATENCY).await;
        quota.set_limits(&one(2));
    };
    let (_permit, ()) = tokio::join!(quota.acquire(&mut demand), raise);
    assert!(began.elapsed() < SECOND / 2, "{:?}", began.elapsed());
}
