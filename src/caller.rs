//! Who asks: for the queue's fairness, and for what is not for everybody. `server` says it of every
//! request. Knows nobody but the deadline.

use std::{net::SocketAddr, sync::Arc};

use crate::deadline::Deadline;

/// Whom fairness counts as one: a configured caller, whatever connections they come by; a connection, by
/// its number, as long as nobody is configured. The default is for requests that came by none, as in
/// tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerId(pub u64);

impl CallerId {
    /// Above every number that a connection can come to have.
    const CONFIGURED: u64 = 1 << 63;

    /// The configured caller with this number.
    pub fn configured(number: usize) -> Self {
        Self(Self::CONFIGURED | u64::try_from(number).unwrap_or_default())
    }

    /// Whether it is a configured caller.
    pub fn is_configured(self) -> bool {
        self.0 >= Self::CONFIGURED
    }

    /// The number of a configured caller; they are counted from 0.
    pub fn number(self) -> Option<usize> {
        let number = self.0.checked_sub(Self::CONFIGURED)?;
        usize::try_from(number).ok()
    }
}

/// The names of the client certificate that TLS has verified, if there was one: the DNS names and URIs
/// of its subject alternative name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames(pub Arc<[String]>);

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The address; none for a caller inside this process.
    pub address: Option<SocketAddr>,
    /// The connection's number, never used twice while the process lives.
    pub connection: u64,
}

impl Peer {
    /// Whether it is on this machine, or inside this process.
    pub fn is_loopback(&self) -> bool {
        // A socket that takes both families sees 127.0.0.1 as ::ffff:127.0.0.1.
        self.address
            .is_none_or(|address| address.ip().to_canonical().is_loopback())
    }
}

/// What the server knows of a request, in its extensions. One for all of it: each is an allocation.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Where it came from.
    pub peer: Peer,
    /// Whom fairness counts as one.
    pub caller: CallerId,
    /// Until when its caller waits, if they have said so.
    pub deadline: Option<Deadline>,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::net::IpAddr;

    use super::*;

    fn at(ip: Option<&str>) -> Peer {
        let address = |ip: &str| SocketAddr::new(ip.parse::<IpAddr>().unwrap(), 1);
        Peer {
            address: ip.map(address),
            connection: 1,
        }
    }

    #[test]
    fn this_machine_is_known_by_any_of_its_loopback_addresses() {
        for ip in ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"] {
            assert!(at(Some(ip)).is_loopback(), "{ip}");
        }
        for ip in [
            "192.0.2.2",
            "0.0.0.0",
            "::",
            "fd00::2",
            "::ffff:192.0.2.2",
            "::7f00:1",
        ] {
            assert!(!at(Some(ip)).is_loopback(), "{ip}");
        }
        assert!(at(None).is_loopback());
    }
}
