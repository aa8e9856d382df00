//! Who asks: for the queue's fairness, and for what is not for everybody. `server` says it of every
//! request, in its extensions. Knows nobody.

use std::{net::IpAddr, sync::Arc};

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

/// Where a request came from. The default is the most careful one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// From this machine, or from inside this process.
    pub is_loopback: bool,
}

impl Origin {
    /// Of a request from this address; none for a caller inside this process.
    pub fn of(address: Option<IpAddr>) -> Self {
        // A socket that takes both families sees 127.0.0.1 as ::ffff:127.0.0.1.
        let is_loopback = address.is_none_or(|ip| ip.to_canonical().is_loopback());
        Self { is_loopback }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn this_machine_is_known_by_any_of_its_loopback_addresses() {
        let is_loopback = |ip: &str| Origin::of(Some(ip.parse().unwrap())).is_loopback;
        for ip in ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"] {
            assert!(is_loopback(ip), "{ip}");
        }
        for ip in [
            "192.0.2.2",
            "0.0.0.0",
            "::",
            "fd00::2",
            "::ffff:192.0.2.2",
            "::7f00:1",
        ] {
            assert!(!is_loopback(ip), "{ip}");
        }
        assert!(Origin::of(None).is_loopback);
        assert!(!Origin::default().is_loopback);
    }
}
