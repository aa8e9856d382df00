//! What a sampled batch tells of itself: how many people it asked for, what became of them, and where
//! the answers came from. Numbers only. A batch that is not sampled notes nothing.

use tokio::time::Instant;

use crate::{
    metrics::{Outcome, Source},
    resolver::Reason,
    trace::{self, Scope, Span},
};

use super::convert;

/// What is noted of a batch, and shown when it ends.
#[derive(Default)]
pub(super) struct Noted(Option<Box<Notes>>);

struct Notes {
    span: Span,
    began: Instant,
    outcomes: [i64; Outcome::ALL_COUNT],
    sources: [i64; Source::ALL_COUNT],
}

impl Noted {
    /// For a batch of so many identifiers for this tenant, which must be one that there is.
    pub(super) fn begin(tenant: &str, identifiers: usize) -> Self {
        let mut span = trace::span("resolve");
        if !span.is_on() {
            return Self(None);
        }
        span.set("feishu_id.tenant", tenant.to_owned());
        let identifiers = i64::try_from(identifiers).unwrap_or(i64::MAX);
        span.set("feishu_id.identifiers", identifiers);
        Self(Some(Box::new(Notes {
            span,
            began: Instant::now(),
            outcomes: Default::default(),
            sources: Default::default(),
        })))
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// One more was answered like this.
    #[inline]
    pub(super) fn add(&mut self, outcome: Outcome, source: Source) {
        if let Some(notes) = &mut self.0 {
            notes.add(outcome, source);
        }
    }

    /// None was, and the batch fails as a whole.
    pub(super) fn fail(&mut self, reason: Reason) {
        if let Some(notes) = &mut self.0 {
            notes.span.fail(convert::reason_name(reason));
        }
    }

    /// The look into memory is over, and has not answered everything. If it has, it is all there was, and
    /// needs no span of its own: of most requests that would be one in three.
    pub(super) fn recalled(&self) {
        if let Some(notes) = &self.0
            && let Some(parent) = notes.span.parent()
        {
            drop(parent.child_since("recall", notes.began));
        }
    }

    /// For the work itself.
    pub(super) fn scope(&self) -> Scope {
        let scope = Scope::current();
        match &self.0 {
            Some(notes) => scope.inside(&notes.span),
            None => scope,
        }
    }
}

impl Notes {
    fn add(&mut self, outcome: Outcome, source: Source) {
        if let Some(count) = self.outcomes.get_mut(outcome as usize) {
            *count += 1;
        }
        if let Some(count) = self.sources.get_mut(source as usize) {
            *count += 1;
        }
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        let outcomes = Outcome::all().iter().zip(self.outcomes);
        for (outcome, count) in outcomes.filter(|(_, count)| *count > 0) {
            let key = format!("feishu_id.outcome.{}", outcome.name());
            self.span.set(key, count);
        }
        let sources = Source::all().iter().zip(self.sources);
        for (source, count) in sources.filter(|(_, count)| *count > 0) {
            let key = format!("feishu_id.source.{}", source.name());
            self.span.set(key, count);
        }
    }
}
