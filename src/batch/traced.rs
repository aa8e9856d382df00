//! What the queue tells of itself: the spans of waits and calls for requests that are sampled, and log
//! lines of calls that fail.

use std::time::Duration;

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::time::Instant;

use crate::{
    directory::{DirectoryError, DirectoryErrorKind as Kind},
    trace::{Scope, Span},
};

use super::{Interest, Shared, key::Departure};

/// Most flights that a call links to: all of them for most calls, and a screen full for a full one.
const MOST_LINKS: usize = 20;

/// A kind of failure, whatever else is said of it.
pub(super) type Failed = std::mem::Discriminant<Kind>;

/// A key's wait for its call.
pub(super) struct QueueSpan(Span);

impl QueueSpan {
    /// Began at that moment.
    pub(super) fn since(began: Instant, interest: &Interest) -> Self {
        let flight = interest.flight();
        let span = flight.map(|flight| flight.child_since("queue", began));
        Self(span.unwrap_or_default())
    }

    /// It has ended with the last departure, which is over: now there is an answer.
    pub(super) fn end(self, interest: &Interest) {
        if !self.0.is_on() {
            return;
        }
        let ago = interest.departed().map(|departed| departed.elapsed());
        self.0.ended(ago.unwrap_or_default());
    }
}

/// A call, with the wait for its permit: a part of the first sampled flight that travels in it; the
/// others and it link to each other.
pub(super) struct CallSpan(Span);

impl CallSpan {
    pub(super) fn begin(tenant: &str, departure: &Departure, waited: Duration) -> Self {
        let keys = &departure.cargo().keys;
        let mut flights = keys
            .iter()
            .filter_map(|key| Some((&key.interest, key.interest.flight()?)));
        let Some((_, first)) = flights.next() else {
            return Self(Span::default());
        };
        let now = Instant::now();
        let ready = now.checked_sub(waited).unwrap_or(now);
        let mut span = first.child_since("call", ready);
        let Some(call) = span.parent() else {
            return Self(Span::default());
        };
        for (interest, flight) in flights
            .filter(|(_, flight)| !flight.is(first))
            .take(MOST_LINKS)
        {
            span.link(flight);
            interest.set_call(&call);
        }
        // Ends with the departure, which is now.
        drop(call.child_since("quota", ready));
        let batch = departure.batch();
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        span.set("feishu_id.tenant", tenant.to_owned());
        span.set("feishu_id.emails", count(batch.emails().len()));
        span.set("feishu_id.mobiles", count(batch.mobiles().len()));
        span.set("feishu_id.id_kind", batch.scope().user_id_type.as_str());
        span.set("feishu_id.flights", count(keys.len()));
        Self(span)
    }

    /// What is done to make the call.
    pub(super) fn wrap<'a, T: 'a>(&self, call: BoxFuture<'a, T>) -> BoxFuture<'a, T> {
        if self.0.is_on() {
            // No request's: it may carry the keys of many.
            Scope::default().inside(&self.0).wrap(call).boxed()
        } else {
            call
        }
    }

    pub(super) fn end(mut self, error: Option<&DirectoryError>) {
        if let Some(error) = error
            && self.0.is_on()
        {
            self.0.fail(error.kind.name());
        }
    }
}

impl Shared {
    /// The one place where a failed call is logged: there may be 50 of them in a second.
    pub(super) fn tell(&self, error: &DirectoryError, keys: usize) {
        let kind = std::mem::discriminant(&error.kind);
        if let Some(untold) = self.failures.tell(kind, Instant::now()) {
            tracing::warn!(
                tenant = self.tenant,
                kind = error.kind.name(),
                keys,
                feishu.code = error.code,
                feishu.log_id = error.log_id,
                untold,
                "a lookup call failed: {error}"
            );
        }
    }
}
