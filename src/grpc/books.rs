//! What became of the identifiers of a batch, for the metrics, the trace and the audit log.

use crate::{
    audit::{self, Account, Counts, Rpc},
    metrics::{Outcome, Source, Tally},
    resolver::{Answered, Session},
};

use super::noted::Noted;

/// Counts for one batch.
pub(super) struct Books<'a> {
    tally: Tally<'a>,
    noted: &'a mut Noted,
    counts: Counts,
}

impl<'a> Books<'a> {
    pub(super) fn new(session: &'a Session<'_>, noted: &'a mut Noted) -> Self {
        Self {
            tally: session.tally(),
            noted,
            counts: Counts::default(),
        }
    }

    #[inline]
    pub(super) fn add(&mut self, outcome: Outcome, source: Source) {
        self.tally.add(outcome, source);
        self.noted.add(outcome, source);
        self.counts.add(match outcome {
            Outcome::Resolved => audit::Outcome::Resolved,
            Outcome::NotFound => audit::Outcome::NotFound,
            Outcome::Ambiguous => audit::Outcome::Ambiguous,
            Outcome::Invalid => audit::Outcome::Invalid,
            Outcome::Failed => audit::Outcome::Failed,
        });
    }

    pub(super) fn add_answered(&mut self, answered: &Answered) {
        let (outcome, source) = answered.counted();
        self.add(outcome, source);
    }

    /// Books them for a caller and a tenant that they may ask about.
    pub(super) fn close(self, account: &Account, rpc: Rpc, tenant: &str) {
        account.identifiers(rpc, tenant, &self.counts);
    }
}
