//! What happened, in order: as a hash, to see whether a seed replays, and as text, to read.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher as _},
};

use super::scenario::Fault;

#[derive(Default)]
pub(super) struct Trace {
    hasher: DefaultHasher,
    /// None: nobody will read it.
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(super) fn new(is_read: bool) -> Self {
        Self {
            hasher: DefaultHasher::new(),
            lines: is_read.then(Vec::new),
        }
    }

    pub(super) fn add(&mut self, what: impl Hash, line: impl FnOnce() -> String) {
        what.hash(&mut self.hasher);
        if let Some(lines) = &mut self.lines {
            lines.push(line());
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    pub(super) fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}

/// What was exercised.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) runs: u64,
    pub(super) calls: u64,
    pub(super) keys: u64,
    /// Keys that travel once more after a failed call.
    pub(super) retries: u64,
    pub(super) requests: u64,
    pub(super) left: u64,
    /// Answers given from a call that had left before the request came.
    pub(super) hits: u64,
    pub(super) faults: BTreeMap<Fault, u64>,
    pub(super) outcomes: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn fault(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    pub(super) fn outcome(&mut self, name: String) {
        *self.outcomes.entry(name).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.calls += other.calls;
        self.keys += other.keys;
        self.retries += other.retries;
        self.requests += other.requests;
        self.left += other.left;
        self.hits += other.hits;
        for (fault, times) in other.faults {
            *self.faults.entry(fault).or_default() += times;
        }
        for (name, times) in other.outcomes {
            *self.outcomes.entry(name).or_default() += times;
        }
    }
}
