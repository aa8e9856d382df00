//! How many connections there may be: so many in all, and so many from one address, so that one client
//! gone wild leaves room for the others; and what each address owes for frames that carry no request, which
//! is waited for before its next connection is looked at. Called by the accept loop; a connection keeps its
//! seat.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout};

use super::{ServerSettings, bill::Bill};
use crate::{log_limit::LogLimit, metrics::Refusal};

/// Between two connections of a peer that owes: one that floods is mostly noticed within it, and a hundred
/// honest ones behind the same address wait a second.
const SPACING: Duration = Duration::from_millis(10);

/// The same once everything is paid, for those who still stand in the line: it must get shorter though as
/// many as ever come.
const PAID_SPACING: Duration = Duration::from_millis(1);

/// A connection that waits longer is closed: its client had better try again later, or elsewhere.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The bits of an IPv6 address that belong to one customer: a /64 is the smallest network, and whoever
/// has one has all of its addresses.
const NETWORK: u128 = !0 << 64;

/// So many peers are remembered before those are looked for that need not be.
const FEW: usize = 1024;

/// The seats of a listener. Cloning gives the same ones.
#[derive(Clone)]
pub(super) struct Seats(Arc<House>);

struct House {
    taken: Mutex<Taken>,
    floods: LogLimit<()>,
    most: usize,
    most_of_peer: usize,
    /// Frames a second that one peer may send without a request.
    rate: f64,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// By whom; of those who have none, only who owes.
    of: HashMap<IpAddr, OfPeer>,
    /// Among so many there may be some who have paid.
    sweep_at: usize,
}

struct OfPeer {
    seats: usize,
    bill: Bill,
    /// When the next connection may begin, if one has waited.
    next: Instant,
    /// In which those wait who have to.
    line: Weak<tokio::sync::Mutex<()>>,
}

/// A seat; free again when dropped.
pub(super) struct Seat(Account);

/// What a peer owes. Cloning gives the same.
#[derive(Clone)]
pub(super) struct Account {
    house: Arc<House>,
    peer: IpAddr,
}

impl Seats {
    pub(super) fn new(settings: &ServerSettings) -> Self {
        Self(Arc::new(House {
            taken: Mutex::default(),
            floods: LogLimit::default(),
            most: settings.max_connections,
            // At least one, so that nobody is remembered who has none.
            most_of_peer: settings.max_connections_per_peer.max(1),
            rate: f64::from(settings.max_control_frames_per_second.max(1)),
        }))
    }

    /// A seat for a connection from this address, if there is one.
    pub(super) fn take(&self, address: IpAddr) -> Result<Seat, Refusal> {
        let peer = network(address);
        let mut taken = self.0.lock();
        if taken.all >= self.0.most {
            return Err(Refusal::TooMany);
        }
        if taken.of_peer(peer).seats >= self.0.most_of_peer {
            return Err(Refusal::TooManyOfPeer);
        }
        Ok(self.seat(peer, taken))
    }

    /// One for a connection that comes from nowhere, and has no neighbours.
    pub(super) fn only(&self) -> Seat {
        self.seat(Ipv6Addr::UNSPECIFIED.into(), self.0.lock())
    }

    fn seat(&self, peer: IpAddr, mut taken: MutexGuard<'_, Taken>) -> Seat {
        taken.of_peer(peer).seats += 1;
        taken.all += 1;
        let house = Arc::clone(&self.0);
        Seat(Account { house, peer })
    }
}

impl Seat {
    /// Whose frames its connection's are.
    pub(super) fn account(&self) -> Account {
        self.0.clone()
    }

    /// Completes when its connection may begin: at once, unless the peer has sent too much of late. Those
    /// of one peer begin one by one then, and each that floods holds up the others.
    pub(super) async fn turn(&self) -> Result<(), Refusal> {
        let Some(line) = self.line() else {
            return Ok(());
        };
        let turn = async {
            let _first = line.lock().await;
            while let Err(until) = self.0.begin() {
                sleep_until(until).await;
            }
        };
        let turn = timeout(LONGEST_WAIT, turn).await;
        turn.map_err(|_elapsed| Refusal::Flooding)
    }

    /// None if there is nothing to wait for.
    fn line(&self) -> Option<Arc<tokio::sync::Mutex<()>>> {
        let mut taken = self.0.house.lock();
        let of_peer = taken.of_peer(self.0.peer);
        if let Some(line) = of_peer.line.upgrade() {
            return Some(line);
        }
        let now = Instant::now();
        if of_peer.opens(self.0.house.rate, now) <= now {
            return None;
        }
        let line = Arc::default();
        of_peer.line = Arc::downgrade(&line);
        Some(line)
    }

    /// Its connection was closed for flooding.
    pub(super) fn flooded(&self) {
        let Account { house, peer } = &self.0;
        let now = Instant::now();
        house.lock().of_peer(*peer).bill.flood(house.rate, now);
        if let Some(untold) = house.floods.tell((), now) {
            tracing::warn!(
                %peer,
                untold,
                "connection closed: its client floods; this peer's next ones wait half a second"
            );
        }
    }
}

impl Account {
    /// Frames a second that it bears.
    pub(super) fn rate(&self) -> f64 {
        self.house.rate
    }

    /// Says whether that is more than it bears.
    pub(super) fn charge(&self, frames: f64, now: Instant) -> bool {
        let mut taken = self.house.lock();
        let of_peer = taken.of_peer(self.peer);
        of_peer.bill.charge(frames, self.house.rate, now)
    }

    /// Whoever has waited begins, or waits until then.
    fn begin(&self) -> Result<(), Instant> {
        let now = Instant::now();
        let mut taken = self.house.lock();
        let of_peer = taken.of_peer(self.peer);
        let opens = of_peer.opens(self.house.rate, now);
        if opens > now {
            return Err(opens);
        }
        of_peer.next = if of_peer.bill.is_paid(self.house.rate, now) {
            // From when it was due, since timers are late.
            let due = now.checked_sub(SPACING).unwrap_or(now);
            of_peer.next.max(due) + PAID_SPACING
        } else {
            now + SPACING
        };
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Account { house, peer } = &self.0;
        let mut taken = house.lock();
        taken.all -= 1;
        let of_peer = taken.of_peer(*peer);
        of_peer.seats -= 1;
        if of_peer.seats == 0 {
            if of_peer.bill.is_paid(house.rate, Instant::now()) {
                taken.of.remove(peer);
            } else {
                taken.sweep(house.rate);
            }
        }
    }
}

impl Taken {
    fn of_peer(&mut self, peer: IpAddr) -> &mut OfPeer {
        self.of.entry(peer).or_insert_with(|| {
            let now = Instant::now();
            OfPeer {
                seats: 0,
                bill: Bill::new(now),
                next: now,
                line: Weak::new(),
            }
        })
    }

    /// Forgets who has left and paid, once there may be many of them.
    fn sweep(&mut self, rate: f64) {
        if self.of.len() < self.sweep_at.max(FEW) {
            return;
        }
        let now = Instant::now();
        self.of
            .retain(|_, of_peer| of_peer.seats > 0 || !of_peer.bill.is_paid(rate, now));
        self.sweep_at = 2 * self.of.len();
    }
}

impl OfPeer {
    /// When the next connection may begin.
    fn opens(&self, rate: f64, now: Instant) -> Instant {
        self.next.max(now + self.bill.wait(rate, now))
    }
}

impl House {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing that can panic happens under it.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom an address belongs to.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & NETWORK)),
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests;
