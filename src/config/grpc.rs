//! `[grpc]`: the listener and what one caller may ask of it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::{
    Origin, callers,
    reader::Reader,
    tls,
    value::{OptionalAddress, Value as _},
};

const MIB: usize = 1024 * 1024;

/// The gRPC listener and what a caller may ask of it.
#[derive(Clone, Debug)]
pub struct GrpcConfig {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// A second, plaintext port that serves health only; off by default.
    pub health_listen: Option<SocketAddr>,
    /// Most identifiers in one request.
    pub max_identifiers: usize,
    /// Most batches of one stream that are worked on at a time.
    pub max_in_flight_batches: usize,
    /// Most connections at a time.
    pub max_connections: usize,
    /// Most of them from one address, or from one /64 of IPv6.
    pub max_connections_per_peer: usize,
    /// Most requests at a time, over all connections; for one configured caller, half of them.
    pub max_requests_in_flight: usize,
    /// Most bytes that requests hold at a time, over all connections, beyond what each may.
    pub max_bytes_in_flight: usize,
    /// The age at which a connection is asked to go, so that balancers see new servers.
    pub max_connection_age: Duration,
    /// How often an idle connection is asked whether it is alive.
    pub keepalive_interval: Duration,
    /// How long the answer to that may take.
    pub keepalive_timeout: Duration,
    /// Allows a plaintext listener that others can reach.
    pub insecure: bool,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50051)),
            health_listen: None,
            max_identifiers: 1000,
            max_in_flight_batches: 16,
            max_connections: 10_000,
            // A tenth of all: see `ServerSettings`.
            max_connections_per_peer: 1000,
            max_requests_in_flight: 16_384,
            max_bytes_in_flight: 256 * MIB,
            max_connection_age: Duration::from_mins(30),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            insecure: false,
        }
    }
}

impl GrpcConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        let default = Self::default();
        let insecure = reader.setting("grpc.insecure", default.insecure);
        let is_protected =
            insecure || tls::is_configured(reader) || callers::are_configured(reader);
        let config = Self {
            insecure,
            listen: reader.checked("grpc.listen", default.listen, |address| {
                if address.ip().is_loopback() || is_protected {
                    return Ok(());
                }
                Err(format!(
                    "{address} can be reached from other machines, and this listener has neither \
                     encryption nor authentication: set tls.certificate and tls.key, configure \
                     callers, listen on a loopback address, or set grpc.insecure = true if the \
                     network in between is trusted"
                ))
            }),
            health_listen: reader
                .setting("grpc.health_listen", OptionalAddress(default.health_listen))
                .0,
            max_identifiers: reader.ranged(
                "grpc.max_identifiers",
                default.max_identifiers,
                1..=10_000,
            ),
            max_in_flight_batches: reader.ranged(
                "grpc.max_in_flight_batches",
                default.max_in_flight_batches,
                1..=1000,
            ),
            max_connections: reader.ranged(
                "grpc.max_connections",
                default.max_connections,
                1..=1_000_000,
            ),
            max_connections_per_peer: reader.ranged(
                "grpc.max_connections_per_peer",
                default.max_connections_per_peer,
                1..=1_000_000,
            ),
            max_requests_in_flight: reader.ranged(
                "grpc.max_requests_in_flight",
                default.max_requests_in_flight,
                1..=1_000_000,
            ),
            // The longest message that there can be, 10 MB, must fit into it.
            max_bytes_in_flight: reader.ranged(
                "grpc.max_bytes_in_flight",
                default.max_bytes_in_flight,
                16 * MIB..=1024 * 1024 * MIB,
            ),
            max_connection_age: reader.ranged(
                "grpc.max_connection_age",
                default.max_connection_age,
                SECOND..=7 * 24 * 3600 * SECOND,
            ),
            keepalive_interval: reader.ranged(
                "grpc.keepalive_interval",
                default.keepalive_interval,
                SECOND..=3600 * SECOND,
            ),
            keepalive_timeout: reader.ranged(
                "grpc.keepalive_timeout",
                default.keepalive_timeout,
                SECOND..=300 * SECOND,
            ),
        };
        config.check_ports(reader);
        config.warn_of_keys_in_clear(reader);
        config
    }

    /// Callers without encryption keep strangers out who only call. Not whoever sees the network.
    fn warn_of_keys_in_clear(&self, reader: &mut Reader) {
        let is_reachable = !self.listen.ip().is_loopback();
        let is_protected = self.insecure || tls::is_configured(reader);
        if is_reachable && !is_protected && callers::are_configured(reader) {
            let origin = reader.origin("grpc.listen").cloned();
            let origin = origin.unwrap_or(Origin::Default);
            reader.warn(format!(
                "{origin}: grpc.listen: {} is not encrypted: callers' keys and people's contact \
                 data can be read on the way: set tls.certificate and tls.key; or if the \
                 network in between is trusted, say so by grpc.insecure = true",
                self.listen
            ));
        }
    }

    fn check_ports(&self, reader: &mut Reader) {
        let Some(origin) = reader.origin("grpc.health_listen").cloned() else {
            return;
        };
        if self.health_listen == Some(self.listen) && self.listen.port() != 0 {
            let message = format!("is the same address as grpc.listen, {}", self.listen.show());
            reader.error("grpc.health_listen", &origin, message);
        }
    }
}
