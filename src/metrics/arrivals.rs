//! Connections that ended before their first request: refused, or with no TLS between them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    about,
    label::{Grid, Label, label},
    registry::{Registry, Value},
};

label! {
    /// Why a connection was closed before its first byte was read.
    Refusal {
        /// There are too many.
        TooMany = "too_many",
        /// There are too many from the same address.
        TooManyOfPeer = "too_many_of_peer",
        /// Others from the same address flood, and it has waited too long for them.
        Flooding = "flooding",
    }
}

label! {
    /// Why a TLS handshake came to nothing.
    HandshakeFailure {
        /// It took too long.
        TimedOut = "timed_out",
        /// The client does not speak TLS.
        Plaintext = "plaintext",
        /// The client does not offer HTTP/2.
        NoHttp2 = "no_http2",
        /// No version, cipher or signature that both know.
        Incompatible = "incompatible",
        /// The client has shown no certificate, and must.
        NoCertificate = "no_certificate",
        /// The client's certificate has expired, or is not valid yet.
        CertificateExpired = "certificate_expired",
        /// The client's certificate is none of ours.
        CertificateRefused = "certificate_refused",
        /// The client refuses us: most often, because it does not trust our certificate.
        RefusedByClient = "refused_by_client",
        /// The client has gone.
        Disconnected = "disconnected",
        /// Not TLS as it should be.
        Malformed = "malformed",
    }
}

/// The handle. Cloning gives the same one.
#[derive(Clone)]
pub struct Arrivals(Arc<Tables>);

struct Tables {
    refused: Grid<AtomicU64>,
    failed: Grid<AtomicU64>,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self(Arc::new(Tables {
            refused: Grid::new(1, Refusal::ALL.len(), AtomicU64::default),
            failed: Grid::new(1, HandshakeFailure::ALL.len(), AtomicU64::default),
        }))
    }
}

impl Arrivals {
    /// A handle that is shown. Every reason shows from the start, so that a first one is an increase.
    pub fn new(registry: &Registry) -> Self {
        let arrivals = Self::default();
        let Self(tables) = arrivals.clone();
        registry.add(&about::CONNECTIONS_REFUSED, move |sink| {
            for reason in Refusal::ALL {
                let count = Value::Counter(read(&tables.refused, *reason));
                sink.put(&[("reason", reason.text())], count);
            }
        });
        let Self(tables) = arrivals.clone();
        registry.add(&about::TLS_HANDSHAKES_FAILED, move |sink| {
            for reason in HandshakeFailure::ALL {
                let count = Value::Counter(read(&tables.failed, *reason));
                sink.put(&[("reason", reason.text())], count);
            }
        });
        arrivals
    }

    /// A connection was closed as soon as it came.
    pub fn refused(&self, reason: Refusal) {
        count(&self.0.refused, reason);
    }

    /// A handshake came to nothing.
    pub fn handshake_failed(&self, reason: HandshakeFailure) {
        count(&self.0.failed, reason);
    }
}

fn count(cells: &Grid<AtomicU64>, reason: impl Label) {
    if let Some(cell) = cells.get(0, reason.index()) {
        cell.fetch_add(1, Ordering::Relaxed);
    }
}

fn read(cells: &Grid<AtomicU64>, reason: impl Label) -> u64 {
    let cell = cells.get(0, reason.index());
    cell.map_or(0, |cell| cell.load(Ordering::Relaxed))
}
