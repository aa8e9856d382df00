//! `[upstream]`: how Feishu is called. The same for every tenant.

use std::time::Duration;

use super::reader::Reader;

/// How Feishu is called.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// How long a connection may take to stand.
    pub connect_timeout: Duration,
    /// How long a call may take, connection and all.
    pub timeout: Duration,
    /// Most calls of one tenant at a time.
    pub max_in_flight: usize,
    /// The largest answer that is read, in bytes.
    pub max_response_bytes: usize,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(5),
            max_in_flight: 16,
            // 100 rows of some 300 bytes are 30 kB; this leaves room for what Feishu may add.
            max_response_bytes: 1024 * 1024,
        }
    }
}

impl UpstreamConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        const LEAST: Duration = Duration::from_millis(10);
        const MOST: Duration = Duration::from_mins(1);
        let default = Self::default();
        Self {
            connect_timeout: reader.ranged(
                "upstream.connect_timeout",
                default.connect_timeout,
                LEAST..=MOST,
            ),
            timeout: reader.ranged("upstream.timeout", default.timeout, LEAST..=MOST),
            max_in_flight: reader.ranged("upstream.max_in_flight", default.max_in_flight, 1..=256),
            max_response_bytes: reader.ranged(
                "upstream.max_response_bytes",
                default.max_response_bytes,
                64 * 1024..=64 * 1024 * 1024,
            ),
        }
    }
}
