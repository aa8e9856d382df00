//! `[http]`: the listener for metrics and probes. Accepted already; nothing serves it yet.

use std::net::{Ipv4Addr, SocketAddr};

use super::reader::Reader;

/// The HTTP listener.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Where it listens.
    pub listen: SocketAddr,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
        }
    }
}

impl HttpConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            listen: reader.setting("http.listen", Self::default().listen),
        }
    }
}
