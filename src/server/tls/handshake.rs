//! From the first byte to the end of the handshake. Called by `connection`, which sets the time limit.

use std::io;

use rustls::{CertificateError, Error, server::Acceptor};
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::{Tls, names, plaintext};
use crate::{caller::CertificateNames, metrics::HandshakeFailure, server::parting::part};

/// How a record of a handshake begins, and so every connection.
const HANDSHAKE: u8 = 22;

/// The fatal alert `no_application_protocol` (RFC 7301), in a record of its own. rustls sends it to
/// those who offer other protocols; those who offer none get it too.
const NO_APPLICATION_PROTOCOL: [u8; 7] = [21, 3, 3, 0, 2, 2, 120];

/// A connection that is encrypted. In a box, because it is a kilobyte that is handed on several times.
pub(in crate::server) struct Shaken {
    pub(in crate::server) io: Box<TlsStream<TcpStream>>,
    /// Those of the client's certificate, if it was asked for one, which then is verified.
    pub(in crate::server) names: Option<CertificateNames>,
}

/// Why there is none.
pub(in crate::server) enum Failure {
    /// The client said nothing at all: somebody who looks whether the port is open.
    Silence,
    /// The handshake came to nothing.
    Failed(HandshakeFailure),
}

/// Not cancel-safe: a connection given up half way is closed.
pub(in crate::server) async fn shake(tls: &Tls, mut tcp: TcpStream) -> Result<Shaken, Failure> {
    let mut first = [0];
    match tcp.peek(&mut first).await {
        Ok(0) => return Err(Failure::Silence),
        Ok(_) if first == [HANDSHAKE] => {}
        Ok(_) => {
            plaintext::answer(&mut tcp).await;
            return Err(HandshakeFailure::Plaintext.into());
        }
        Err(_) => return Err(HandshakeFailure::Disconnected.into()),
    }
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), tcp);
    let start = match (&mut acceptor).await {
        Ok(start) => start,
        Err(error) => {
            // The alert is out already.
            if let Some(mut tcp) = acceptor.take_io() {
                part(&mut tcp, &[]).await;
            }
            return Err(reason(&error).into());
        }
    };
    if start.client_hello().alpn().is_none() {
        let mut tcp = start.io;
        part(&mut tcp, &NO_APPLICATION_PROTOCOL).await;
        return Err(HandshakeFailure::NoHttp2.into());
    }
    match start.into_stream(tls.config()).into_fallible().await {
        Ok(io) => {
            let names = io.get_ref().1.peer_certificates().and_then(names::of);
            let io = Box::new(io);
            Ok(Shaken { io, names })
        }
        Err((error, mut tcp)) => {
            part(&mut tcp, &[]).await;
            Err(reason(&error).into())
        }
    }
}

impl From<HandshakeFailure> for Failure {
    fn from(reason: HandshakeFailure) -> Self {
        Self::Failed(reason)
    }
}

fn reason(error: &io::Error) -> HandshakeFailure {
    let inner = error.get_ref();
    match inner.and_then(|inner| inner.downcast_ref::<Error>()) {
        None => HandshakeFailure::Disconnected,
        Some(Error::NoApplicationProtocol) => HandshakeFailure::NoHttp2,
        Some(Error::NoCertificatesPresented) => HandshakeFailure::NoCertificate,
        Some(Error::PeerIncompatible(_)) => HandshakeFailure::Incompatible,
        Some(Error::AlertReceived(_)) => HandshakeFailure::RefusedByClient,
        Some(Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        )) => HandshakeFailure::CertificateExpired,
        Some(Error::InvalidCertificate(_)) => HandshakeFailure::CertificateRefused,
        Some(_) => HandshakeFailure::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ails_a_certificate_is_told_apart_from_what_ails_the_rest() {
        let of = |error: Error| reason(&io::Error::new(io::ErrorKind::InvalidData, error));
        let certificate = |error| of(Error::InvalidCertificate(error));
        assert_eq!(
            certificate(CertificateError::NotValidYet),
            HandshakeFailure::CertificateExpired
        );
        assert_eq!(
            certificate(CertificateError::UnknownIssuer),
            HandshakeFailure::CertificateRefused
        );
        assert_eq!(of(Error::DecryptError), HandshakeFailure::Malformed);
        let gone = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(reason(&gone), HandshakeFailure::Disconnected);
    }
}
