//! What is owed for frames that carry no request: of a connection some are free, and what goes beyond them is on the bill of its peer, together with that of the peer's other connections. So neither
//! leaving before the limit helps, nor coming back, nor coming many at a time. Pure but for the clock;
//! `frames` charges, `seats` keeps the bills.

use std::time::Duration;

use tokio::time::Instant;

use super::seats::Account;

/// Of the frames that a peer may send in a second, this part is free for each of its connections: so many
/// does no honest client send that nothing pays for, whatever its neighbours do.
const FREE: f64 = 0.1;

/// This part of what is free comes back each second: a thousand connections together get as much as
/// their peer.
const COMES_BACK: f64 = 0.01;

/// After a flood a bill is paid off in so much time, however much was sent. What a socket's buffer holds costs
/// some milliseconds of a thread before the flood is noticed: so they are a hundredth of the time at most.
pub(super) const PENANCE: Duration = Duration::from_millis(500);

/// A bill, which time pays off.
#[derive(Debug)]
pub(super) struct Bill {
    /// Frames.
    owed: f64,
    since: Instant,
}

/// What a connection may send, and whom the rest is charged to.
pub(super) struct Tab {
    /// Frames at once.
    free: f64,
    used: Bill,
    account: Account,
}

impl Bill {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            owed: 0.0,
            since: now,
        }
    }

    /// What is left of it, if so many frames a second are paid off.
    fn left(&self, rate: f64, now: Instant) -> f64 {
        let paid = rate * now.saturating_duration_since(self.since).as_secs_f64();
        (self.owed - paid).max(0.0)
    }

    pub(super) fn is_paid(&self, rate: f64, now: Instant) -> bool {
        self.left(rate, now) <= 0.0
    }

    /// Says whether it is more than a second's frames by now.
    pub(super) fn charge(&mut self, frames: f64, rate: f64, now: Instant) -> bool {
        let owed = self.left(rate, now) + frames;
        self.owed = owed.min(with_penance(rate));
        self.since = now;
        owed > rate
    }

    /// Whoever has flooded owes the most there is.
    pub(super) fn flood(&mut self, rate: f64, now: Instant) {
        self.owed = with_penance(rate);
        self.since = now;
    }

    /// Until it is no more than a second's frames.
    pub(super) fn wait(&self, rate: f64, now: Instant) -> Duration {
        let over = self.left(rate, now) - rate;
        Duration::try_from_secs_f64(over / rate).unwrap_or_default()
    }
}

fn with_penance(rate: f64) -> f64 {
    rate + rate * PENANCE.as_secs_f64()
}

impl Tab {
    pub(super) fn new(account: Account) -> Self {
        Self {
            free: FREE * account.rate(),
            used: Bill::new(Instant::now()),
            account,
        }
    }

    /// Says whether the connection has to end. The clock is read only for whoever sends many.
    pub(super) fn charge(&mut self, frames: f64) -> bool {
        if self.used.owed + frames <= self.free {
            self.used.owed += frames;
            return false;
        }
        let now = Instant::now();
        let owed = self.used.left(COMES_BACK * self.free, now) + frames;
        self.used = Bill {
            owed: owed.min(self.free),
            since: now,
        };
        owed > self.free && self.account.charge(owed - self.free, now)
    }

    pub(super) fn pay(&mut self, frames: f64) {
        self.used.owed = (self.used.owed - frames).max(0.0);
    }
}
