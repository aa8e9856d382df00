//! Many seeds, side by side; and what to do with one that fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use super::{
    run::{Outcome, run},
    scenario::{Fault, Scenario},
    trace::Tally,
};

/// Every so many seeds one is run twice, to see whether it replays.
const TWICE: u64 = 20;
/// A run takes a fraction of a second: this long without any result is a run that spins.
const STUCK: Duration = Duration::from_mins(2);

pub(super) struct Failed {
    pub(super) seed: u64,
    pub(super) broken: String,
}

/// Runs so many seeds on all cores. Ends with the first that fails.
pub(super) fn campaign(seeds: u64) -> Result<Tally, Failed> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = Arc::new(AtomicU64::new(0));
    let (tell, told) = mpsc::sync_channel(64);
    for _ in 0..cores {
        let (next, tell) = (next.clone(), tell.clone());
        std::thread::spawn(move || {
            loop {
                let seed = next.fetch_add(1, Ordering::SeqCst);
                if seed >= seeds || tell.send((seed, one(seed))).is_err() {
                    return;
                }
            }
        });
    }
    drop(tell);
    let mut tally = Tally::default();
    for _ in 0..seeds {
        let (seed, outcome) = told.recv_timeout(STUCK).map_err(|_| Failed {
            seed: next.load(Ordering::SeqCst),
            broken: format!("one of the {cores} seeds before this one spins: no result for {STUCK:?}"),
        })?;
        if let Some(broken) = outcome.broken {
            return Err(Failed { seed, broken });
        }
        tally.add(outcome.tally);
    }
    Ok(tally)
}

fn one(seed: u64) -> Outcome {
    let scenario = Scenario::of_seed(seed);
    let mut outcome = run(&scenario, false);
    if seed.is_multiple_of(TWICE) && outcome.broken.is_none() {
        let again = run(&scenario, false);
        if again.trace.hash() != outcome.trace.hash() {
            outcome.broken = Some("the seed does not replay: two runs differ".to_owned());
        }
    }
    outcome
}

/// Prints what one seed does, and the fewest of its operations that still break a promise.
#[expect(clippy::print_stdout, reason = "for the person who replays it")]
pub(super) fn replay(seed: u64) -> Option<String> {
    let scenario = Scenario::of_seed(seed);
    println!("{scenario:#?}");
    let outcome = run(&scenario, true);
    for line in outcome.trace.lines() {
        println!("{line}");
    }
    let again = run(&scenario, true);
    let lines = outcome.trace.lines().iter().zip(again.trace.lines());
    if let Some((line, other)) = lines.into_iter().find(|(line, other)| line != other) {
        return Some(format!("the seed does not replay:\n{line}\n{other}"));
    }
    let broken = outcome.broken?;
    let fewest = shrink(scenario, &broken);
    println!("\nThe fewest operations that break something: {:?}", fewest.setting);
    for op in &fewest.ops {
        println!("    {op:?}");
    }
    let outcome = run(&fewest, true);
    for line in outcome.trace.lines() {
        println!("{line}");
        if line.contains("BROKEN") {
            break;
        }
    }
    Some(broken)
}

/// Leaves out operations, many at a time and then one by one, as long as the same breaks.
fn shrink(mut scenario: Scenario, broken: &str) -> Scenario {
    // Moments and people may be others.
    let without_digits = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).take(90).collect::<String>();
    let same = |other: &str| without_digits(other).replace("Mobile", "Email") == without_digits(broken).replace("Mobile", "Email");
    let mut part = scenario.ops.len() / 2;
    while part > 0 {
        let mut from = 0;
        while from < scenario.ops.len() {
            let mut fewer = scenario.clone();
            fewer.ops.drain(from..(from + part).min(scenario.ops.len()));
            match run(&fewer, false).broken {
                Some(other) if same(&other) => scenario = fewer,
                _ => from += part,
            }
        }
        part /= 2;
    }
    scenario
}

/// What the runs exercised.
#[expect(clippy::print_stdout, reason = "shown with --nocapture")]
pub(super) fn report(tally: &Tally) {
    let answers: u64 = tally.outcomes.values().sum();
    println!(
        "{} runs, {} requests ({} left), {answers} answers, {} of them at once; {} calls, {} keys, {} of them once more",
        tally.runs, tally.requests, tally.left, tally.hits, tally.calls, tally.keys, tally.retries
    );
    for (fault, times) in &tally.faults {
        println!("{times:>9} {fault:?}");
    }
    for (outcome, times) in &tally.outcomes {
        println!("{times:>9} {outcome}");
    }
}

/// Faults that never happened.
pub(super) fn never(tally: &Tally) -> Vec<Fault> {
    let never = |fault: &Fault| !tally.faults.contains_key(fault);
    Fault::ALL.into_iter().filter(never).collect()
}
