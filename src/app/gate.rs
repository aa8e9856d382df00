//! The server's gate: reads what a request shows of whom it is from, and asks `callers`.

use std::net::SocketAddr;

use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use tonic::Status;

use crate::{
    audit::Why,
    caller::{CallerId, CertificateNames, Peer},
    callers::{Caller, Callers, Entered, KeyHash, Visitor},
    grpc::unauthenticated,
    metrics::HandshakeFailure,
    server::{Gate, Guard},
};

/// Probes carry no credential, and tell nothing that needs one.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// What comes before a key.
const SCHEME: &[u8] = b"bearer ";

/// Longest key that is looked at, in bytes; ours have 47.
const MAX_KEY: usize = 256;

/// Lets callers in.
pub(super) struct Door(pub(super) Callers);

/// Lets in who comes by one connection.
struct Doorway(Visitor);

impl Gate for Door {
    fn guard(&self, peer: Peer, names: Option<CertificateNames>) -> Box<dyn Guard> {
        let ip = peer.address.map(|address| address.ip().to_canonical());
        Box::new(Doorway(self.0.visitor(names, ip)))
    }

    fn turned_away(&self, address: SocketAddr, why: HandshakeFailure) {
        use HandshakeFailure::{CertificateExpired, CertificateRefused, NoCertificate};
        if matches!(why, NoCertificate | CertificateExpired | CertificateRefused) {
            let ip = Some(address.ip().to_canonical());
            self.0.audit().refused(ip, Why::BadCertificate, None);
        }
    }
}

impl Guard for Doorway {
    fn admit(&self, request: &mut Parts) -> Result<Option<CallerId>, Box<Status>> {
        let Self(visitor) = self;
        if request.uri.path().starts_with(HEALTH) {
            return Ok(None);
        }
        match visitor.enter(|| key(&request.headers)) {
            Ok(entered) => {
                let id = entered.caller().id();
                request.extensions.insert(entered);
                Ok(id)
            }
            Err(why) => {
                visitor.refused(why, None);
                Err(Box::new(unauthenticated(why)))
            }
        }
    }

    fn too_many(&self, request: &Parts) {
        let caller = request.extensions.get::<Entered>().map(Entered::caller);
        self.0
            .refused(Why::TooManyRequests, caller.map(Caller::name));
    }
}

/// The hash of the key that a request brings, if it brings any. What is there and is no key is an error,
/// also beside a certificate: whoever sends it means to be known by it.
fn key(headers: &HeaderMap) -> Result<Option<KeyHash>, Why> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let value = value.as_bytes();
    if values.next().is_some() || value.len() > SCHEME.len() + MAX_KEY {
        return Err(Why::MalformedCredential);
    }
    match value.split_at_checked(SCHEME.len()) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(SCHEME) && !key.is_empty() => {
            Ok(Some(KeyHash::of(key)))
        }
        _ => Err(Why::MalformedCredential),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read(values: &[&str]) -> Result<Option<KeyHash>, Why> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        key(&headers)
    }

    #[test]
    fn a_key_comes_once_and_after_bearer() {
        assert!(matches!(read(&[]), Ok(None)));
        for good in ["Bearer fid_1", "bearer fid_1", "BEARER fid_1"] {
            assert!(
                read(&[good]).unwrap() == Some(KeyHash::of(b"fid_1")),
                "{good}"
            );
        }
        let long = format!("Bearer {}", "x".repeat(MAX_KEY + 1));
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "fid_1",
            "Basic fid_1",
            "Bearerfid_1",
            &long,
        ] {
            assert!(read(&[bad]) == Err(Why::MalformedCredential), "{bad}");
        }
        let twice = read(&["Bearer fid_1", "Bearer fid_1"]);
        assert!(twice == Err(Why::MalformedCredential));
    }
}
