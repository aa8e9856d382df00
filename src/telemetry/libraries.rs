//! What libraries tell of is told now and then: some of it a client can make happen any number of times,
//! such as a frame that answers nothing, and nobody knows which lines the next version brings. One place
//! in a library's code is one thing that happens. Ours ask `log_limit` themselves.

use tokio::time::Instant;
use tracing::{Event, Subscriber, callsite::Identifier};
use tracing_subscriber::{Layer, layer::Context};

use crate::log_limit::LogLimit;

/// Beside the layer that writes lines: says which are written. Inside that layer's filter, since a filter
/// that changes its mind about an event leaves the thread's state wrong (tracing-subscriber 0.3).
pub(super) struct NowAndThen {
    /// As many as there are places in their code that tell of something.
    told: LogLimit<Identifier>,
    ours: &'static [&'static str],
}

impl NowAndThen {
    /// For all but these targets and what is below them.
    pub(super) fn but_for(ours: &'static [&'static str]) -> Self {
        Self {
            told: LogLimit::default(),
            ours,
        }
    }

    fn is_ours(&self, target: &str) -> bool {
        let is_below = |rest: &str| rest.is_empty() || rest.starts_with("::");
        self.ours
            .iter()
            .any(|name| target.strip_prefix(name).is_some_and(is_below))
    }
}

impl<S: Subscriber> Layer<S> for NowAndThen {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let about = event.metadata();
        let tell = || self.told.tell(about.callsite(), Instant::now());
        self.is_ours(about.target()) || tell().is_some()
    }
}
