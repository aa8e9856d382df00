//! The spans of flights, and of those who wait for them, for requests that are sampled. They say what
//! kind of question it was and what came of it, never whom it was about.

use crate::{
    batch::Interest,
    trace::{self, Parent, Scope, Span},
};

use super::{flight::FlightKey, judge::Verdict, waits::Wait};

/// Most flights of others that a waiter links to: a screen full.
const MOST_LINKS: usize = 20;

/// One flight, a part of the request that has started it.
pub(super) struct FlightSpan(Span);

impl FlightSpan {
    /// Begins now, if what is being worked on is sampled.
    pub(super) fn begin(key: &FlightKey) -> Self {
        let mut span = trace::span("lookup");
        span.set("feishu_id.id_kind", key.kind.as_str());
        Self(span)
    }

    /// Nobody need wait for it.
    pub(super) fn goes_on_alone(&mut self) {
        self.0.set("feishu_id.behind", true);
    }

    pub(super) fn parent(&self) -> Option<Parent> {
        self.0.parent()
    }

    /// For the flight itself, which is no one request's: others wait for it, too.
    pub(super) fn scope(&self) -> Scope {
        Scope::default().inside(&self.0)
    }

    pub(super) fn end(mut self, interest: &Interest, verdict: &Verdict) {
        if !self.0.is_on() {
            return;
        }
        if let Some(call) = interest.call() {
            self.0.link(&call);
        }
        let outcome = match verdict {
            Verdict::Found(..) | Verdict::Stale(..) => "resolved",
            Verdict::NotFound(_) => "not_found",
            Verdict::Ambiguous(..) => "ambiguous",
            Verdict::Refused(..) => "invalid",
            Verdict::NotGranted(_) | Verdict::Failed(_) => "failed",
        };
        self.0.set("feishu_id.outcome", outcome);
    }
}

/// The wait of a request for flights, its own and others'.
pub(super) fn waiting(waits: &[Wait]) -> Span {
    let mut span = trace::span("wait");
    if span.is_on() {
        let joined = waits.iter().filter(|wait| wait.is_joined()).count();
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        span.set("feishu_id.flights", count(waits.len()));
        span.set("feishu_id.coalesced", count(joined));
        let flights = waits.iter().filter_map(|wait| wait.joined.as_ref());
        flights
            .take(MOST_LINKS)
            .for_each(|flight| span.link(flight));
    }
    span
}
