//! What goes along with the work for one request, from task to task: the id that its log lines bear
//! and, for the few requests that are sampled, the span that what is done for them belongs to. Both
//! lie in a variable of the thread while the work is polled, so that nobody hands them down; they
//! cost a request that logs nothing and is not sampled two swaps and no allocation.
//!
//! Spans are made here and nowhere else, and none for a request that is not sampled. What they may
//! hold is bounded by hand: names and numbers, never an identifier, an ID or a token.
//!
//! Knows nobody: `server` begins it, those who start tasks carry it on, `telemetry` puts the ids into
//! log lines and sends the spans away.

mod request_id;
mod sampling;
mod span;

use std::{
    cell::RefCell,
    pin::Pin,
    task::{Context, Poll},
};

pub use opentelemetry::Value;

pub use request_id::RequestId;
pub use sampling::Tracing;
pub use span::{Parent, Span};

/// What goes along with some work. The default is work for no request.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    request: Option<RequestId>,
    parent: Option<Parent>,
}

thread_local! {
    static CURRENT: RefCell<Scope> = const { RefCell::new(Scope { request: None, parent: None }) };
}

impl Scope {
    /// The work for this request.
    pub fn of(request: RequestId) -> Self {
        Self {
            request: Some(request),
            parent: None,
        }
    }

    /// What is being worked on here and now.
    pub fn current() -> Self {
        with_current(Self::clone).unwrap_or_default()
    }

    /// The same, inside this span if there is one.
    #[must_use]
    pub fn inside(mut self, span: &Span) -> Self {
        self.set_span(span);
        self
    }

    /// From now on inside this span, if there is one.
    pub fn set_span(&mut self, span: &Span) {
        if let Some(parent) = span.parent() {
            self.parent = Some(parent);
        }
    }

    /// The request's id, if it is a request's work.
    pub fn request_id(&self) -> Option<&RequestId> {
        self.request.as_ref()
    }

    /// The span that new ones belong to, if the request is sampled.
    pub fn parent(&self) -> Option<&Parent> {
        self.parent.as_ref()
    }

    /// What is done until the guard is dropped is this work. It lies in the thread's variable
    /// meanwhile, so the guard must not outlive a poll.
    pub fn enter(&mut self) -> Entered<'_> {
        self.swap();
        Entered(self)
    }

    /// The future as this work, whichever task polls it.
    pub fn wrap<F>(self, future: F) -> Scoped<F> {
        Scoped {
            scope: self,
            future: Box::pin(future),
        }
    }

    fn swap(&mut self) {
        // Nobody holds it across a call of ours; if the thread is ending there is nothing to tell.
        let _ = CURRENT.try_with(|current| {
            if let Ok(mut current) = current.try_borrow_mut() {
                std::mem::swap(&mut *current, self);
            }
        });
    }
}

/// Looks at what is being worked on. None if the thread is ending.
pub fn with_current<T>(look: impl FnOnce(&Scope) -> T) -> Option<T> {
    CURRENT
        .try_with(|current| current.try_borrow().ok().map(|scope| look(&scope)))
        .ok()
        .flatten()
}

/// A span of what begins now, inside the one that is being worked on; none if that is not sampled.
pub fn span(name: &'static str) -> Span {
    with_current(|scope| scope.parent.as_ref().map(|parent| parent.child(name)))
        .flatten()
        .unwrap_or_default()
}

/// The span that new ones belong to, if what is being worked on is sampled.
pub fn parent() -> Option<Parent> {
    with_current(|scope| scope.parent.clone()).flatten()
}

/// Ends the work where it began.
pub struct Entered<'a>(&'a mut Scope);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.swap();
    }
}

/// A future that is some request's work.
pub struct Scoped<F> {
    scope: Scope,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let _entered = this.scope.enter();
        this.future.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn now() -> Option<String> {
        with_current(|scope| scope.request_id().map(ToString::to_string)).flatten()
    }

    fn scope(number: u64) -> Scope {
        Scope::of(RequestId::made(1, 2, number))
    }

    #[test]
    fn work_is_somebodys_while_it_is_polled_and_nobodys_after() {
        let mut outer = scope(1);
        let inner = scope(2);
        {
            let _entered = outer.enter();
            assert_eq!(now().as_deref(), Some("00000001-2-1"));
            let polled = inner.wrap(async { now() }).now_or_never().flatten();
            assert_eq!(polled.as_deref(), Some("00000001-2-2"));
            assert_eq!(now().as_deref(), Some("00000001-2-1"));
        }
        assert_eq!(now(), None);
        assert_eq!(
            outer.request_id().map(ToString::to_string).as_deref(),
            Some("00000001-2-1")
        );
    }

    #[test]
    fn a_panic_leaves_nothing_behind() {
        #[expect(clippy::panic, reason = "the test's subject")]
        let panics = scope(1).wrap(async { panic!("on purpose") });
        let caught = std::panic::AssertUnwindSafe(panics)
            .catch_unwind()
            .now_or_never();
        assert!(caught.is_some_and(|ended| ended.is_err()));
        assert_eq!(now(), None);
    }

    #[test]
    fn without_a_sampled_request_there_is_no_span() {
        let mut unsampled = scope(1);
        let _entered = unsampled.enter();
        assert!(!span("anything").is_on());
        assert!(parent().is_none());
    }
}
