//! How many connections there may be: so many in all, and so many from one address, so that one client
//! gone wild leaves room for the others; and from when on one is looked at. Called by the accept loop; a
//! connection keeps its seat.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::ServerSettings;
use crate::{log_limit::LogLimit, metrics::Refusal};

/// How long a peer's next connections wait after one that was closed for flooding. What a socket's buffer
/// holds costs some milliseconds of a thread before the flood is noticed: so they are a hundredth of the time
/// at most for whoever comes back over one connection. Whoever opens many at once, or leaves before the limit,
/// is bounded by `max_connections_per_peer` and by what so many frames cost (some 1.3 ms for 9,000). Others
/// behind the same address wait as long for a new connection, which is half of what the usual prober waits,
/// and lose none.
const PENANCE: Duration = Duration::from_millis(500);

/// The bits of an IPv6 address that belong to one customer: a /64 is the smallest network, and whoever
/// has one has all of its addresses.
const NETWORK: u128 = !0 << 64;

/// The seats of a listener. Cloning gives the same ones.
#[derive(Clone)]
pub(super) struct Seats {
    taken: Arc<Mutex<Taken>>,
    floods: Arc<LogLimit<()>>,
    most: usize,
    most_of_peer: usize,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// By whom; nobody who has none.
    of: HashMap<IpAddr, usize>,
    /// Who has flooded of late, and until when they wait.
    penitent: HashMap<IpAddr, Instant>,
}

/// A seat; free again when dropped.
pub(super) struct Seat {
    taken: Arc<Mutex<Taken>>,
    peer: IpAddr,
    /// When its connection may begin.
    from: Option<Instant>,
    floods: Arc<LogLimit<()>>,
}

impl Seats {
    pub(super) fn new(settings: &ServerSettings) -> Self {
        Self {
            taken: Arc::default(),
            floods: Arc::default(),
            most: settings.max_connections,
            most_of_peer: settings.max_connections_per_peer,
        }
    }

    /// A seat for a connection from this address, if there is one.
    pub(super) fn take(&self, address: IpAddr) -> Result<Seat, Refusal> {
        let peer = network(address);
        let mut taken = lock(&self.taken);
        if taken.all >= self.most {
            return Err(Refusal::TooMany);
        }
        let of_peer = taken.of.entry(peer).or_default();
        // Never so for a new entry, since at least one is allowed.
        if *of_peer >= self.most_of_peer.max(1) {
            return Err(Refusal::TooManyOfPeer);
        }
        *of_peer += 1;
        taken.all += 1;
        let from = taken.penitent.get(&peer).copied();
        Ok(Seat {
            taken: Arc::clone(&self.taken),
            peer,
            from,
            floods: Arc::clone(&self.floods),
        })
    }
}

impl Seat {
    /// Completes when its connection may begin: at once, unless the peer has just flooded.
    pub(super) async fn turn(&self) {
        if let Some(from) = self.from {
            sleep_until(from).await;
        }
    }

    /// Its connection was closed for flooding.
    pub(super) fn flooded(&self) {
        let now = Instant::now();
        let mut taken = lock(&self.taken);
        taken.penitent.retain(|_, until| *until > now);
        taken.penitent.insert(self.peer, now + PENANCE);
        drop(taken);
        if let Some(untold) = self.floods.tell((), now) {
            tracing::warn!(
                peer = %self.peer,
                untold,
                "connection closed: its client floods; this peer's next ones wait half a second"
            );
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all -= 1;
        if let Some(of_peer) = taken.of.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                taken.of.remove(&self.peer);
            }
        }
    }
}

/// Whom an address belongs to.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & NETWORK)),
        ip @ IpAddr::V4(_) => ip,
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    // Nothing that can panic happens under it.
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn seats(most: usize, most_of_peer: usize) -> Seats {
        Seats::new(&ServerSettings {
            max_connections: most,
            max_connections_per_peer: most_of_peer,
            ..ServerSettings::default()
        })
    }

    fn take(seats: &Seats, address: &str) -> Result<Seat, Refusal> {
        seats.take(address.parse().unwrap())
    }

    #[test]
    fn one_address_leaves_room_for_others_and_a_seat_comes_back() {
        let seats = seats(10, 2);
        let first = take(&seats, "192.0.2.1").ok();
        let _second = take(&seats, "::ffff:192.0.2.1").ok();
        assert_eq!(
            take(&seats, "192.0.2.1").err(),
            Some(Refusal::TooManyOfPeer)
        );
        assert!(take(&seats, "192.0.2.2").is_ok());
        drop(first);
        assert!(take(&seats, "192.0.2.1").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_flooded_waits_and_nobody_else() {
        let seats = seats(10, 10);
        let before = take(&seats, "192.0.2.1").unwrap();
        take(&seats, "192.0.2.1").unwrap().flooded();
        take(&seats, "192.0.2.9").unwrap().flooded();
        let began = Instant::now();
        before.turn().await;
        take(&seats, "192.0.2.2").unwrap().turn().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        let after = take(&seats, "192.0.2.1").unwrap();
        after.turn().await;
        assert_eq!(began.elapsed(), PENANCE);
        take(&seats, "192.0.2.1").unwrap().turn().await;
        assert_eq!(began.elapsed(), PENANCE);
        after.flooded();
        assert_eq!(
            lock(&seats.taken).penitent.len(),
            1,
            "the other is forgotten"
        );
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        let seats = seats(10, 1);
        let _held = take(&seats, "2001:db8::1").ok();
        let same = take(&seats, "2001:db8::ffff:ffff:ffff:ffff");
        assert_eq!(same.err(), Some(Refusal::TooManyOfPeer));
        assert!(take(&seats, "2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn all_together_are_bounded_and_nobody_is_remembered() {
        let seats = seats(2, 2);
        let held = [
            take(&seats, "192.0.2.1").ok(),
            take(&seats, "192.0.2.2").ok(),
        ];
        assert_eq!(take(&seats, "192.0.2.3").err(), Some(Refusal::TooMany));
        drop(held);
        assert!(lock(&seats.taken).of.is_empty());
        assert!(take(&seats, "192.0.2.3").is_ok());
    }
}
