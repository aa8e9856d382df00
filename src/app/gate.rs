//! The server's gate: reads what a request shows of whom it is from, and asks `callers`.

use std::net::SocketAddr;

use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use tonic::Status;

use crate::{
    audit::Why,
    caller::{CallerId, CertificateNames},
    callers::{Caller, Callers, Entered, KeyHash, Proof},
    grpc::unauthenticated,
    metrics::HandshakeFailure,
    server::{Gate, Peer},
};

/// Probes carry no credential, and tell nothing that needs one.
const HEALTH: &str = "/grpc.health.v1.Health/";

/// What comes before a key.
const SCHEME: &[u8] = b"bearer ";

/// Longest key that is looked at, in bytes; ours have 47.
const MAX_KEY: usize = 256;

/// Lets callers in.
pub(super) struct Door(pub(super) Callers);

impl Gate for Door {
    fn admit(&self, peer: Peer, request: &mut Parts) -> Result<Option<CallerId>, Box<Status>> {
        let Self(callers) = self;
        // As long as everybody may, what they show is not looked at.
        if callers.is_open() || request.uri.path().starts_with(HEALTH) {
            return Ok(None);
        }
        let ip = peer.address.map(|address| address.ip().to_canonical());
        let entered = key(&request.headers).and_then(|key| {
            let certificate = request.extensions.get::<CertificateNames>().cloned();
            callers.enter(Proof { key, certificate }, ip)
        });
        match entered {
            Ok(entered) => {
                let id = entered.caller().id();
                request.extensions.insert(entered);
                Ok(id)
            }
            Err(why) => {
                callers.audit().refused(ip, why, None);
                Err(Box::new(unauthenticated(why)))
            }
        }
    }

    fn too_many(&self, peer: Peer, request: &Parts) {
        let caller = request.extensions.get::<Entered>().map(Entered::caller);
        let ip = peer.address.map(|address| address.ip().to_canonical());
        let audit = self.0.audit();
        audit.refused(ip, Why::TooManyRequests, caller.map(Caller::name));
    }

    fn turned_away(&self, address: SocketAddr, why: HandshakeFailure) {
        use HandshakeFailure::{CertificateExpired, CertificateRefused, NoCertificate};
        if matches!(why, NoCertificate | CertificateExpired | CertificateRefused) {
            let ip = Some(address.ip().to_canonical());
            self.0.audit().refused(ip, Why::BadCertificate, None);
        }
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
