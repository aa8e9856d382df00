//! `[http]`: the listener for metrics and probes.

use std::net::{Ipv4Addr, SocketAddr};

use super::{
    reader::Reader,
    value::{OptionalAddress, Value as _},
};

/// The listener for metrics and probes.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Where it listens; none if it is switched off.
    pub listen: Option<SocketAddr>,
    /// Whether somebody asked for that address: then the server must have it. The default one may be
    /// taken by anybody.
    pub is_asked_for: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            is_asked_for: false,
        }
    }
}

impl HttpConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        const KEY: &str = "http.listen";
        let default = Self::default();
        let OptionalAddress(listen) = reader.setting(KEY, OptionalAddress(default.listen));
        Self {
            listen,
            is_asked_for: reader.origin(KEY).is_some(),
        }
    }

    /// Two listeners cannot have one address.
    pub(super) fn check_port(&self, reader: &mut Reader, key: &str, other: Option<SocketAddr>) {
        let (Some(origin), Some(listen)) = (reader.origin("http.listen").cloned(), self.listen)
        else {
            return;
        };
        if Some(listen) == other && listen.port() != 0 {
            let message = format!("is the same address as {key}, {}", listen.show());
            reader.error("http.listen", &origin, message);
        }
    }
}
