//! The server's numbers, each with its reason. Filled in by `app` from the configuration.

use std::{sync::Arc, time::Duration};

use super::{Gate, Tls};
use crate::{
    memory::Memory,
    metrics::{Arrivals, Rpcs},
    trace::Tracing,
};

/// Limits and times of the server. None of them can be switched off.
#[derive(Clone)]
pub struct ServerSettings {
    /// Connections at a time; further ones are closed at once. An idle one costs about 30 kB, so
    /// the default 10,000 is 300 MB.
    pub max_connections: usize,
    /// Of these from one address, or one /64 of IPv6: 1,000, so that it takes ten to fill the house. A
    /// client has one connection to a server, or a few; many clients behind one address (NAT, a balancer
    /// that hides them) have one each. Loopback counts like any other: a proxy on the machine carries
    /// its callers over few connections.
    pub max_connections_per_peer: usize,
    /// TLS for every connection of the listener; none for plaintext.
    pub tls: Option<Tls>,
    /// Time for the TLS handshake: 5 s is two round trips to the other end of the world, a segment
    /// lost and sent again, and a client that is busy.
    pub handshake_timeout: Duration,
    /// After this a connection gets GOAWAY, so that callers spread over new replicas; ± 10 % so
    /// that they do not all come back at once. 30 minutes, the age usual with gRPC load balancing:
    /// seldom enough that the reconnect (about 130 µs) does not matter.
    pub max_connection_age: Duration,
    /// What is still open this long after that GOAWAY (a Watch, an endless stream) is cut.
    /// 30 minutes: longer than any batch load should take.
    pub max_connection_age_grace: Duration,
    /// Time for the 24 bytes with which every HTTP/2 client begins: 5 s is several round trips to
    /// the other end of the world.
    pub preface_timeout: Duration,
    /// Time without traffic after which the server asks whether the other side is there: 30 s is
    /// under the idle timeouts of the usual load balancers (60 s and more).
    pub keepalive_interval: Duration,
    /// Time to answer that question, and for TCP to get rid of bytes already written (a client
    /// that has stopped reading): 10 s.
    pub keepalive_timeout: Duration,
    /// Calls at a time on one connection; a client library queues further ones on its side.
    /// 200 is hyper's own default; an open stream costs about 9 kB.
    pub max_concurrent_streams: u32,
    /// Streams reset because the client broke the protocol, after which the connection is ended
    /// (CVE-2025-8671, known as "made you reset"). 1,024 is the default of h2.
    pub max_local_error_resets: usize,
    /// Streams that the client reset before they were looked at, after which the connection is
    /// ended (CVE-2023-44487, "rapid reset"). 200, as many as may be open: a client whose calls all time out
    /// on a busy server is no attacker. With h2's default of 20 such clients lost their connections.
    pub max_pending_accept_resets: usize,
    /// Bytes of all header fields of a request: 16 kB leaves room for a token of 4 kB and tracing.
    pub max_header_list_bytes: u32,
    /// Bytes a client may send ahead on one stream: 64 kB is 640 kB/s at a round trip of 100 ms,
    /// far more identifiers than Feishu's quota answers. Small for the sake of the next setting.
    pub stream_window_bytes: u32,
    /// The same for the whole connection: 16 MiB, so that stalled uploads cannot stop the others, and
    /// for a reason that is not obvious: h2 charges every unread DATA frame under 256 bytes with
    /// what it lacks, against half of this window, and ends the connection
    /// (`too_many_data_frames`) when that is spent. A stream of batches that waits, as it should,
    /// holds up to 64 kB of such frames, 35 bytes each: a charge of 414 kB, so there is room for
    /// 20 of them. With 256 kB and 1 MiB one such stream lost its connection.
    pub connection_window_bytes: u32,
    /// Bytes of answers kept for one stream whose client reads slowly, beside the message under
    /// way: 64 kB, so at most 13 MB on a connection with all its streams stalled.
    pub max_send_buffer_bytes: usize,
    /// Requests at a time over all connections; further ones are refused with
    /// `RESOURCE_EXHAUSTED`. 16,384 of some 20 kB are 330 MB.
    pub max_requests_in_flight: usize,
    /// Bytes that requests may hold over all connections, beyond what the limit on their number covers:
    /// messages that are arriving, people who are being looked up, large answers on their way out. What
    /// is over it is refused like what is over the other limit.
    pub memory: Memory,
    /// Time for a message to come once its first byte has: 30 s is 1 MiB at 35 kB/s.
    pub message_timeout: Duration,
    /// Time in which a client takes the next piece of an answer (a large message, or some 32 kB), or the
    /// stream is reset: 5 minutes, so that a program may pause to work on what it has read.
    pub stall_timeout: Duration,
    /// Frames a second from one address (as above) that neither begin a request nor bring part of a message,
    /// beyond those that acknowledge answers, and beyond a tenth of this that each connection has for
    /// itself at once (a hundredth of that tenth comes back each second); more end the connection. 10,000 cost 10 ms of processor; the busiest honest client, grpc-go
    /// measuring round trips on loopback, sends about as many, and is sent the answers that pay for them.
    pub max_control_frames_per_second: u32,
    /// Paths that the limit on requests does not count, by their beginning: a busy server is not a dead one.
    pub uncounted_paths: &'static [&'static str],
    /// Time until an answer begins for a request without `grpc-timeout`, so that requests that are
    /// never finished do not stay: 30 s, three times what the service itself allows.
    pub answer_timeout: Duration,
    /// The bound of a drain: what is still open then is cut. 10 s, a third of the 30 s that
    /// Kubernetes gives a pod.
    pub drain_timeout: Duration,
    /// Who looks at every request first; without it everybody may come in.
    pub gate: Option<Arc<dyn Gate>>,
    /// Where requests and connections are counted.
    pub metrics: Rpcs,
    /// Where connections are counted that come to nothing.
    pub arrivals: Arrivals,
    /// Which requests are traced.
    pub tracing: Tracing,
    /// Tells this process' requests from those of others in logs: what the ids begin with that are
    /// made for requests without one.
    pub process: u32,
    /// Gives a number from 0 up to 1, for the spread of the connection age.
    pub jitter: fn() -> f64,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_peer: 1000,
            tls: None,
            handshake_timeout: Duration::from_secs(5),
            max_connection_age: Duration::from_mins(30),
            max_connection_age_grace: Duration::from_mins(30),
            preface_timeout: Duration::from_secs(5),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            max_concurrent_streams: 200,
            max_local_error_resets: 1024,
            max_pending_accept_resets: 200,
            max_header_list_bytes: 16 * 1024,
            stream_window_bytes: 64 * 1024,
            connection_window_bytes: 16 * 1024 * 1024,
            max_send_buffer_bytes: 64 * 1024,
            max_requests_in_flight: 16_384,
            memory: Memory::new(256 * 1024 * 1024),
            message_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_mins(5),
            max_control_frames_per_second: 10_000,
            uncounted_paths: &["/grpc.health.v1.Health/"],
            answer_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            gate: None,
            metrics: Rpcs::default(),
            arrivals: Arrivals::default(),
            tracing: Tracing::default(),
            process: random_number(),
            jitter: random_fraction,
        }
    }
}

impl ServerSettings {
    /// This connection's own age: the configured one, up to 10 % less or more.
    pub(super) fn jittered_age(&self) -> Duration {
        self.max_connection_age
            .mul_f64(0.9 + 0.2 * (self.jitter)().clamp(0.0, 1.0))
    }
}

/// The default source of spread. Nothing that a run must replay hangs on it.
#[expect(
    clippy::disallowed_methods,
    reason = "a connection's age is no part of a replayed run"
)]
fn random_fraction() -> f64 {
    fastrand::f64()
}

/// A number that another process hardly has.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of 1 of the largest"
)]
fn random_number() -> u32 {
    (random_fraction() * f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_ages_spread_ten_percent_both_ways() {
        let age = |jitter: fn() -> f64| {
            let settings = ServerSettings {
                max_connection_age: Duration::from_secs(100),
                jitter,
                ..ServerSettings::default()
            };
            settings.jittered_age().as_millis()
        };
        assert_eq!(age(|| 0.0), 90_000);
        assert_eq!(age(|| 0.5), 100_000);
        assert_eq!(age(|| 1.0), 110_000);
    }
}
