//! `[drain]`: how the service stops.

use std::time::Duration;

use super::reader::Reader;

/// How the service stops.
#[derive(Clone, Debug)]
pub struct DrainConfig {
    /// The time between saying "not serving" and sending connections away, for balancers that need
    /// it to notice.
    pub delay: Duration,
    /// How long what is in flight may take after that.
    pub timeout: Duration,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            timeout: Duration::from_secs(10),
        }
    }
}

impl DrainConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        const MOST: Duration = Duration::from_mins(10);
        let default = Self::default();
        Self {
            delay: reader.ranged("drain.delay", default.delay, Duration::ZERO..=MOST),
            timeout: reader.ranged("drain.timeout", default.timeout, Duration::ZERO..=MOST),
        }
    }
}
