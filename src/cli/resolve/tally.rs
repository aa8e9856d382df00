//! How a run went: counts for the last line, and the exit code.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::{
    cli::{Ending, terminal},
    pb::identity::{ErrorReason, Outcome, Resolution},
};

/// Most different failures that are told at the end.
const MAX_MESSAGES: usize = 5;

/// The counts so far.
pub(super) struct Tally {
    started: Instant,
    total: usize,
    by_outcome: BTreeMap<i32, usize>,
    unreachable: bool,
    /// Why identifiers failed, with how many: a handful of texts, however many fail.
    failures: BTreeMap<String, usize>,
}

impl Tally {
    pub(super) fn start() -> Self {
        Self {
            started: Instant::now(),
            total: 0,
            by_outcome: BTreeMap::new(),
            unreachable: false,
            failures: BTreeMap::new(),
        }
    }

    pub(super) fn count(&mut self, resolution: &Resolution) {
        self.total += 1;
        *self.by_outcome.entry(resolution.outcome).or_default() += 1;
        let failed = resolution.outcome() == Outcome::Failed;
        let Some(error) = resolution.error.as_ref().filter(|_| failed) else {
            return;
        };
        self.unreachable |= error.reason() == ErrorReason::UpstreamUnavailable;
        let text = if error.help_url.is_empty() {
            error.message.clone()
        } else {
            format!("{} (see {})", error.message, error.help_url)
        };
        if self.failures.len() < MAX_MESSAGES || self.failures.contains_key(&text) {
            *self.failures.entry(text).or_default() += 1;
        }
    }

    /// On standard error: the failures, then one line of counts.
    pub(super) fn report(&self) {
        for (text, count) in &self.failures {
            terminal::say(&format!("failed ({count}): {text}"));
        }
        terminal::say(&self.summary(self.started.elapsed().as_secs_f64()));
    }

    fn summary(&self, seconds: f64) -> String {
        let mut parts = Vec::new();
        for (outcome, words) in [
            (Outcome::Resolved, "resolved"),
            (Outcome::NotFound, "not found"),
            (Outcome::Ambiguous, "ambiguous"),
            (Outcome::Invalid, "invalid"),
            (Outcome::Failed, "failed"),
        ] {
            let count = self.of(outcome);
            if count > 0 || outcome == Outcome::Resolved {
                parts.push(format!("{count} {words}"));
            }
        }
        format!("{} of {} in {seconds:.1} s", parts.join(", "), self.total)
    }

    fn of(&self, outcome: Outcome) -> usize {
        let count = self.by_outcome.get(&i32::from(outcome));
        count.copied().unwrap_or(0)
    }

    pub(super) fn ending(&self) -> Ending {
        if self.unreachable {
            Ending::SomeUnreachable
        } else if self.of(Outcome::Resolved) < self.total {
            Ending::SomeUnresolved
        } else {
            Ending::Well
        }
    }
}
