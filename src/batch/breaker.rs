//! Whether a tenant's directory is worth asking: after some failures in a row it is left alone but
//! for a probe now and then, and whoever asks meanwhile is told at once. Pure: time is an argument.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::directory::{Advice, DirectoryError, SharedFailure};

use super::{standing::Published, status::BreakerState};

/// Failures in a row after which nobody asks any more.
const FAILURES: u32 = 5;
/// Between probes while the trouble may pass by itself.
const TRANSIENT: Duration = Duration::from_secs(30);
/// Between probes while somebody has to mend something: the first and the longest pause.
const TO_MEND: (Duration, Duration) = (Duration::from_mins(1), Duration::from_mins(15));
/// Between probes while the month's calls are spent.
const MONTH: Duration = Duration::from_hours(1);

#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: State,
    /// The last failure that was counted of those that many calls hear of.
    shared: Option<SharedFailure>,
}

#[derive(Debug)]
enum State {
    Closed {
        failures: u32,
        /// The last of them, if it stands in the way of every call, and until when: no token is to be
        /// had. Each attempt may take its time, so that it is long until there have been five.
        in_the_way: Option<(Arc<DirectoryError>, Instant)>,
    },
    Open(Open),
    /// One call is out to see.
    Probing(Open),
}

#[derive(Clone, Debug)]
struct Open {
    error: Arc<DirectoryError>,
    probe_at: Instant,
    /// Openings in a row, this one included.
    times: u32,
}

impl Default for State {
    fn default() -> Self {
        Self::Closed {
            failures: 0,
            in_the_way: None,
        }
    }
}

/// What to tell who asks meanwhile.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) error: Arc<DirectoryError>,
    pub(super) retry_after: Duration,
}

impl Breaker {
    /// Whether a lookup may wait for a call.
    pub(super) fn admit(&self, now: Instant) -> Result<(), Refusal> {
        let open = match &self.state {
            State::Closed { .. } => return Ok(()),
            State::Open(open) if open.probe_at <= now => return Ok(()),
            State::Open(open) | State::Probing(open) => open,
        };
        Err(Refusal {
            error: open.error.clone(),
            // A probe under way will be over in a moment.
            retry_after: (open.probe_at.saturating_duration_since(now)).max(Duration::from_secs(1)),
        })
    }

    /// Whether it waits for a probe to succeed.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    /// From when on a call may leave: none while a probe is out, and no moment if there is no limit.
    #[expect(
        clippy::option_option,
        reason = "two questions: whether, and from when on"
    )]
    pub(super) fn may_depart_at(&self) -> Option<Option<Instant>> {
        match &self.state {
            State::Closed { .. } => Some(None),
            State::Open(open) => Some(Some(open.probe_at)),
            State::Probing(_) => None,
        }
    }

    /// Says the same to those who do not hold the queue's lock.
    pub(super) fn publish(&self, standing: &Published) {
        match &self.state {
            State::Closed {
                in_the_way: Some((error, until)),
                ..
            } => standing.resting(Some(*until), error),
            State::Closed { .. } => standing.asking(),
            State::Open(open) => standing.resting(Some(open.probe_at), &open.error),
            State::Probing(open) => standing.resting(None, &open.error),
        }
    }

    /// The same for people.
    pub(super) fn state(&self) -> BreakerState {
        match &self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open(open) => BreakerState::Open {
                probe_at: open.probe_at,
            },
            State::Probing(_) => BreakerState::Probing,
        }
    }

    #[cfg(test)]
    fn may_depart(&self, now: Instant) -> bool {
        self.may_depart_at()
            .is_some_and(|at| at.is_none_or(|at| at <= now))
    }

    /// A call leaves.
    pub(super) fn departed(&mut self) {
        if let State::Open(open) = &self.state {
            self.state = State::Probing(open.clone());
        }
    }

    /// Somebody may have mended what was wrong: the next call sees whether that is so, whatever becomes
    /// of a probe that left before.
    pub(super) fn may_be_mended(&mut self, now: Instant) {
        match &mut self.state {
            State::Closed { in_the_way, .. } => *in_the_way = None,
            State::Open(open) | State::Probing(open) => {
                self.state = State::Open(Open {
                    error: open.error.clone(),
                    probe_at: now,
                    times: 0,
                });
            }
        }
    }

    /// The directory answered.
    pub(super) fn succeeded(&mut self) {
        self.state = State::default();
    }

    /// A call told nothing of the directory: it met the rate limit, its token was rejected, or it heard
    /// of a failure that is known. If it was the probe, the next call is one, from `not_before` on.
    pub(super) fn told_nothing(&mut self, not_before: Option<Instant>) {
        match &mut self.state {
            // It had a token.
            State::Closed { in_the_way, .. } if not_before.is_none() => *in_the_way = None,
            State::Probing(open) => {
                let mut open = open.clone();
                open.probe_at = not_before.map_or(open.probe_at, |at| at.max(open.probe_at));
                self.state = State::Open(open);
            }
            State::Closed { .. } | State::Open(_) => {}
        }
    }

    /// A call failed. Says whether nobody may ask from now on.
    pub(super) fn failed(&mut self, now: Instant, error: &Arc<DirectoryError>) -> bool {
        if let Some(shared) = error.shared.as_deref().copied() {
            if self.shared == Some(shared) {
                self.told_nothing(Some(shared.until));
                return false;
            }
            self.shared = Some(shared);
        }
        let (failures, times) = match &self.state {
            State::Closed { failures, .. } => (failures + 1, 0),
            State::Probing(open) => (FAILURES, open.times),
            // It left before the others had failed.
            State::Open(_) => return false,
        };
        let is_spent = error.kind.advice() == Advice::NextMonth;
        if failures < FAILURES && !is_spent {
            let shared = error.shared.as_deref();
            self.state = State::Closed {
                failures,
                in_the_way: shared.map(|shared| (error.clone(), shared.until)),
            };
            return false;
        }
        let pause = match error.kind.advice() {
            // If it is known when the month ends, as of our own share, not past that. What Feishu says
            // is shared only until a token is asked for again.
            Advice::NextMonth => (error.shared.as_deref())
                .filter(|_| error.code.is_none())
                .map_or(MONTH, |shared| (shared.until - now).min(MONTH)),
            Advice::Mend => (TO_MEND.0 * (1 << times.min(8))).min(TO_MEND.1),
            _ => TRANSIENT,
        };
        self.state = State::Open(Open {
            error: error.clone(),
            probe_at: now + pause,
            times: times.saturating_add(1),
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Standing;
    use crate::directory::DirectoryErrorKind as Kind;

    fn error(kind: Kind) -> Arc<DirectoryError> {
        Arc::new(DirectoryError::new(kind, "on purpose"))
    }

    /// The pauses before each of the next probes, all of which fail the same way.
    fn pauses(kind: Kind, probes: usize) -> Vec<u64> {
        let error = error(kind);
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        while !breaker.failed(now, &error) {}
        let pause = |_| {
            let Err(refusal) = breaker.admit(now) else {
                return 0;
            };
            now += refusal.retry_after;
            assert!(breaker.admit(now).is_ok() && breaker.may_depart(now));
            breaker.departed();
            assert!(breaker.admit(now).is_err() && !breaker.may_depart(now));
            assert!(breaker.failed(now, &error));
            refusal.retry_after.as_secs()
        };
        (0..probes).map(pause).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_fifth_failure_in_a_row_opens_it_and_one_answer_closes_it() {
        let now = Instant::now();
        let error = error(Kind::Unavailable);
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            assert!(!breaker.failed(now, &error));
        }
        breaker.succeeded();
        for _ in 0..4 {
            assert!(!breaker.failed(now, &error));
        }
        assert!(breaker.failed(now, &error));
        assert!(!breaker.may_depart(now));
        assert!(
            !breaker.failed(now, &error),
            "calls in flight change nothing"
        );
        let probe_at = now + TRANSIENT;
        assert_eq!(breaker.state(), BreakerState::Open { probe_at });
        breaker.departed();
        assert_eq!(breaker.state(), BreakerState::Probing);
        breaker.succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(breaker.may_depart(now));
    }

    #[tokio::test(start_paused = true)]
    async fn probes_come_every_half_minute_or_ever_more_seldom_where_somebody_must_mend_it() {
        assert_eq!(pauses(Kind::TimedOut, 4), [30, 30, 30, 30]);
        let mending = [60, 120, 240, 480, 900, 900];
        assert_eq!(pauses(Kind::BadCredentials, 6), mending);
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_be_mended_is_probed_at_once() {
        let now = Instant::now();
        let error = error(Kind::BadCredentials);
        let mut breaker = Breaker::default();
        breaker.may_be_mended(now);
        assert_eq!(breaker.state(), BreakerState::Closed);
        while !breaker.failed(now, &error) {}
        breaker.may_be_mended(now);
        assert!(breaker.admit(now).is_ok() && breaker.may_depart(now));
        breaker.departed();
        assert!(!breaker.may_depart(now), "one probe at a time");
        breaker.may_be_mended(now);
        assert!(breaker.may_depart(now), "that one left before");
        assert!(!breaker.failed(now, &error), "and counts no more");
        breaker.departed();
        assert!(breaker.failed(now, &error));
        let probe_at = now + TO_MEND.0;
        assert_eq!(breaker.state(), BreakerState::Open { probe_at });
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_many_calls_hear_of_is_one() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for n in 0..4 {
            let until = now + Duration::from_secs(n);
            let mut error = error(Kind::Unavailable);
            let shared = Box::new(SharedFailure { at: now, until });
            Arc::make_mut(&mut error).shared = Some(shared);
            for _ in 0..10 {
                assert!(!breaker.failed(now, &error));
            }
        }
        assert!(breaker.failed(now, &error(Kind::Unavailable)), "the fifth");
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_failure_is_in_the_way_of_every_call_nobody_waits_for_one() {
        let now = Instant::now();
        let until = now + Duration::from_secs(2);
        let standing = Published::new(now);
        let read = |breaker: &Breaker, at| {
            breaker.publish(&standing);
            standing.read(at)
        };
        let mut shared = error(Kind::TimedOut);
        Arc::make_mut(&mut shared).shared = Some(Box::new(SharedFailure { at: now, until }));
        let resting = |probe_is_due| Standing::Resting { probe_is_due };
        let hearing = || {
            let mut breaker = Breaker::default();
            breaker.failed(now, &shared);
            assert_eq!(read(&breaker, now), resting(false));
            assert_eq!(read(&breaker, until), resting(true));
            assert!(breaker.admit(now).is_ok() && breaker.state() == BreakerState::Closed);
            breaker
        };
        let mut breaker = hearing();
        breaker.failed(now, &shared);
        assert_eq!(read(&breaker, now), resting(false), "it is the same one");
        // A call that fails otherwise, or tells of the rate limit, had a token.
        let ends: [fn(&mut Breaker); 4] = [
            |breaker| breaker.succeeded(),
            |breaker| breaker.told_nothing(None),
            |breaker| breaker.may_be_mended(Instant::now()),
            |breaker| assert!(!breaker.failed(Instant::now(), &error(Kind::Unavailable))),
        ];
        for end in ends {
            let mut breaker = hearing();
            end(&mut breaker);
            assert_eq!(read(&breaker, now), Standing::Asking);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_spent_month_whose_end_is_known_is_over_then() {
        let now = Instant::now();
        let until = now + Duration::from_mins(2);
        let mut error = error(Kind::MonthlyQuotaSpent);
        let shared = Box::new(SharedFailure { at: now, until });
        Arc::make_mut(&mut error).shared = Some(shared);
        let mut breaker = Breaker::default();
        assert!(breaker.failed(now, &error));
        assert!(!breaker.may_depart(now + Duration::from_secs(119)));
        assert!(breaker.may_depart(until));
    }

    #[tokio::test(start_paused = true)]
    async fn a_spent_month_that_a_token_was_refused_for_is_probed_hourly_too() {
        let now = Instant::now();
        let until = now + Duration::from_secs(1);
        let mut error = error(Kind::MonthlyQuotaSpent);
        let shared = Some(Box::new(SharedFailure { at: now, until }));
        Arc::make_mut(&mut error).shared = shared;
        Arc::make_mut(&mut error).code = Some(99_991_403);
        let mut breaker = Breaker::default();
        assert!(breaker.failed(now, &error));
        assert!(!breaker.may_depart(now + Duration::from_secs(3599)));
        assert!(breaker.may_depart(now + Duration::from_hours(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_spent_month_is_probed_hourly_from_the_first_refusal_on() {
        let mut breaker = Breaker::default();
        assert!(breaker.failed(Instant::now(), &error(Kind::MonthlyQuotaSpent)));
        assert_eq!(pauses(Kind::MonthlyQuotaSpent, 2), [3600, 3600]);
    }
}
