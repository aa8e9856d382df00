//! The resolver, the cache, the queue, the quota and the token cache as they are, on virtual time,
//! against a model of Feishu where everything goes wrong that can.
//!
//! A seed makes a scenario, which is a list of operations; a run carries it out and looks at every
//! call and at every answer: never another tenant's or another identifier's ID, never an answer that
//! is too old, never more calls than allowed however Feishu counts them, one outcome for each
//! identifier in order, nobody waits past their deadline, and nothing is left over in the end.
//!
//! `SIMULATION_SEEDS=n` runs n seeds (1,000 if unset); `SIMULATION_SEED=n` replays the one and prints
//! everything it does.

mod answer;
mod arrivals;
mod caller;
mod campaign;
mod checks;
mod draw;
mod ledger;
mod model;
mod people;
mod reproductions;
mod run;
mod scenario;
mod trace;
mod world;

use campaign::{campaign, never, replay, report};

const SEEDS: u64 = 1_000;

#[test]
fn every_promise_holds_whatever_goes_wrong() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let broken = replay(seed);
        assert_eq!(broken, None, "seed {seed}");
        return;
    }
    let seeds = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    match campaign(seeds) {
        Ok(tally) => {
            report(&tally);
            // Fewer seeds need not meet everything.
            let never = never(&tally);
            assert!(seeds < SEEDS || never.is_empty(), "never happened: {never:?}");
        }
        Err(failed) => unreachable!(
            "seed {}: {}\nTo replay it: SIMULATION_SEED={} cargo test --test it simulation -- --nocapture",
            failed.seed, failed.broken, failed.seed
        ),
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}
