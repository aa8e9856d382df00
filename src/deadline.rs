//! One deadline for a request's whole way: read from the wire by `server`, obeyed by every stage
//! below. Knows nobody.

use std::time::Duration;

use tokio::time::Instant;

/// The moment after which nobody waits for the answer any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline `duration` from now. A duration beyond what the clock can hold counts as a year.
    pub fn after(duration: Duration) -> Self {
        Self::after_moment(Instant::now(), duration)
    }

    /// The same, from a moment that has been read already.
    pub fn after_moment(from: Instant, duration: Duration) -> Self {
        const YEAR: Duration = Duration::from_hours(365 * 24);
        Self(from + duration.min(YEAR))
    }

    /// The earlier of two.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        self.min(other)
    }

    /// The moment itself.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// The time left; zero once it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// A little earlier than this one, so that an answer still reaches the caller in time: 10 % of
    /// what is left now, between 2 and 20 ms (of 10 s: 20 ms; of 100 ms: 10 ms; of 5 ms: 2 ms).
    #[must_use]
    pub fn with_margin(self, now: Instant) -> Self {
        let margin = (self.0.saturating_duration_since(now) / 10)
            .clamp(Duration::from_millis(2), Duration::from_millis(20));
        Self(self.0.checked_sub(margin).unwrap_or(self.0))
    }
}
