//! Who may come in at all: asked of every request before anything of it is read. Knows nobody; `app`
//! hands one in.

use std::net::SocketAddr;

use http::request::Parts;
use tonic::Status;

use crate::{
    caller::{CallerId, CertificateNames, Peer},
    metrics::HandshakeFailure,
};

/// Has the doors watched.
pub trait Gate: Send + Sync + 'static {
    /// Who watches the requests of this connection. The names are those of the client's certificate, if TLS
    /// has verified one.
    fn guard(&self, peer: Peer, names: Option<CertificateNames>) -> Box<dyn Guard>;

    /// Is told of whoever did not get as far as a request, since their TLS handshake failed.
    fn turned_away(&self, address: SocketAddr, why: HandshakeFailure);
}

/// Watches one connection, and may remember who came by it before.
pub trait Guard: Send {
    /// Looks at the head of a request, and may put into its extensions what the service will need to know.
    /// Says whom fairness counts as one, if that is not the connection. Called for every request: it must
    /// be quick, and wait for nobody.
    ///
    /// # Errors
    /// What the caller is told who may not come in.
    fn admit(&self, request: &mut Parts) -> Result<Option<CallerId>, Box<Status>>;

    /// Is told of a request that was admitted, and refused because its caller has too many in flight.
    fn too_many(&self, request: &Parts);
}
