//! Bugs that the simulation found, each as the fewest operations that showed it.

use std::time::Duration;

use feishu_id::identity::UserIdType;

use super::{
    run::run,
    scenario::{Ask, Change, Fault, Op, PEOPLE, Scenario, Setting, Who},
};

/// Runs what is written here, and expects every promise to hold.
fn holds(setting: Setting, ops: Vec<Op>) {
    let scenario = Scenario {
        seed: 0,
        setting,
        ops,
    };
    let outcome = run(&scenario, true);
    let trace = outcome.trace.lines().join("\n");
    assert_eq!(outcome.broken, None, "{trace}");
}

fn next(fault: Fault, calls: usize) -> Op {
    let faults = vec![fault; calls];
    Op::Change(Change::Next { tenant: 0, faults })
}

fn seconds(seconds: u64) -> Op {
    Op::Pause(Duration::from_secs(seconds))
}

/// Seed 1. The breaker took neither a 429 nor a rejected token for the end of its probe, and waited
/// for that end for ever: the tenant was never asked again.
#[test]
fn a_probe_that_tells_nothing_is_followed_by_another() {
    for fault in [Fault::Throttled, Fault::TokenRejected] {
        let ops = vec![
            // One lookup gives up after four failed calls.
            next(Fault::Unavailable, 5),
            Op::Resolve(Ask::default()),
            seconds(3),
            Op::Resolve(Ask::default()),
            seconds(40),
            next(fault, 1),
            Op::Resolve(Ask::default()),
            seconds(40),
        ];
        holds(Setting::default(), ops);
    }
}

/// Seed 124. A refresh kept one of the queue's places while it waited for a call to ride on, which
/// can be for an hour: until then every request that needs all of them was shed.
#[test]
fn a_refresh_that_waits_shuts_nobody_out() {
    let setting = Setting {
        max_queue: 40,
        calm: true,
        ..Setting::default()
    };
    let known = (0..PEOPLE).map(|n| Ask {
        who: vec![Who::Email(n)],
        ..Ask::default()
    });
    let known: Vec<_> = known.map(Op::Resolve).collect();
    let all = Ask {
        who: (0..PEOPLE).map(Who::Mobile).collect(),
        within: Duration::from_mins(10),
        ..Ask::default()
    };
    // Known for so long that the answers are due, and not yet so long that their refresh is urgent.
    let mut ops = Vec::new();
    for op in known.iter().take(5) {
        ops.extend([op.clone(), seconds(1)]);
    }
    ops.push(Op::Pause(setting.ttl.mul_f64(0.975)));
    ops.extend(known.into_iter().take(5));
    ops.push(Op::Resolve(all));
    holds(setting, ops);
}

/// Seed 442. A call was under way while the machine slept, and its answer counted as one that took
/// hours: the pace became that of such answers, and calls left a quarter of an hour apart.
#[test]
fn a_machine_that_slept_does_not_slow_down_what_comes_after() {
    let setting = Setting {
        per_second: 3,
        per_minute: 20,
        calm: true,
        ..Setting::default()
    };
    let ask = |person| Ask {
        who: vec![Who::Email(person)],
        ..Ask::default()
    };
    let hasty = Ask {
        leaves_after: Some(Duration::from_millis(5)),
        ..ask(0)
    };
    let mut ops = vec![
        next(Fault::Slow, 1),
        Op::Resolve(hasty),
        Op::Pause(Duration::from_millis(10)),
        Op::Suspend(Duration::from_hours(10)),
    ];
    for person in 1..8 {
        ops.extend([seconds(5), Op::Resolve(ask(person))]);
    }
    holds(setting, ops);
}

/// Seed 531. Whoever asked just after the machine woke up joined a call that had left before it slept,
/// and was told how things had stood then.
#[test]
fn nobody_joins_a_call_that_left_before_the_machine_slept() {
    let nobody = Ask {
        kinds: vec![UserIdType::OpenId],
        ..Ask::default()
    };
    let ops = vec![
        Op::Change(Change::Vanishes {
            tenant: 0,
            person: 0,
        }),
        next(Fault::Slow, 1),
        Op::Resolve(nobody.clone()),
        Op::Pause(Duration::from_millis(10)),
        Op::Suspend(Duration::from_mins(5)),
        Op::Resolve(nobody),
    ];
    holds(Setting::default(), ops);
}

/// Seed 910. A refusal counted as new from when it was told, not from when its call had left.
#[test]
fn a_refusal_is_as_old_as_its_call() {
    let ops = vec![
        Op::Change(Change::Poison {
            tenant: 0,
            who: Who::Email(0),
            bad: true,
            is_named: false,
        }),
        next(Fault::Slow, 1),
        Op::Resolve(Ask::default()),
        seconds(3),
        Op::Resolve(Ask {
            max_age: Some(Duration::from_millis(2_990)),
            ..Ask::default()
        }),
    ];
    holds(Setting::default(), ops);
}

/// Found under load: one fetch of a token failed, every call of the next half second heard of that same
/// failure, and the breaker took them for so many: nobody was asked for half a minute.
#[test]
fn one_failed_fetch_of_a_token_counts_once_and_reaches_nobody() {
    let setting = Setting {
        calm: true,
        ..Setting::default()
    };
    let ask = |person| Ask {
        who: vec![Who::Email(person)],
        ..Ask::default()
    };
    let mut ops = vec![next(Fault::TokenUnavailable, 1)];
    for person in 0..20 {
        ops.extend([
            Op::Resolve(ask(person)),
            Op::Pause(Duration::from_millis(50)),
        ]);
    }
    holds(setting, ops);
}
