//! The one place that reads the wall clock. Everything that measures a duration uses
//! `tokio::time::Instant` instead, which tests can move.

use std::time::SystemTime;

/// The wall clock's time now: only for what people and other machines read.
#[expect(clippy::disallowed_methods, reason = "the one place the ban points to")]
pub fn wall_now() -> SystemTime {
    SystemTime::now()
}
