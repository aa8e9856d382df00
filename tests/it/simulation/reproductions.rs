//! Bugs that the simulation found, each as the fewest operations that showed it.

use std::time::Duration;

use super::{
    run::run,
    scenario::{Ask, Change, Fault, Op, Scenario, Setting},
};

/// Runs what is written here, and expects every promise to hold.
fn holds(setting: Setting, ops: Vec<Op>) {
    let scenario = Scenario { seed: 0, setting, ops };
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
