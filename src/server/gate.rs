//! Who may come in at all: asked of every request before anything of it is read. Knows nobody; `app`
//! hands one in.

use std::net::SocketAddr;

use http::request::Parts;
use tonic::Status;

use super::Peer;
use crate::{caller::CallerId, metrics::HandshakeFailure};

/// Stands at the door.
pub trait Gate: Send + Sync + 'static {
    /// Looks at the head of a request, and may put into its extensions what the service will need to know.
    /// Says whom fairness counts as one, if that is not the connection. Called for every request: it must
    /// be quick, and wait for nobody.
    ///
    /// # Errors
    /// What the caller is told who may not come in.
    fn admit(&self, peer: Peer, request: &mut Parts) -> Result<Option<CallerId>, Box<Status>>;

    /// Is told of a request that was admitted, and refused because its caller has too many in flight.
    fn too_many(&self, peer: Peer, request: &Parts);

    /// Is told of whoever did not get as far as a request, since their TLS handshake failed.
    fn turned_away(&self, address: SocketAddr, why: HandshakeFailure);
}
