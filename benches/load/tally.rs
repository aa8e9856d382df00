//! What became of the calls, counted as they end.

use std::{
    collections::BTreeMap,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use feishu_id::pb::identity::ErrorReason;
use hdrhistogram::Histogram;
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::answer::{OUTCOMES, Summary};

/// The longest latency told apart, in microseconds: the longest run and its deadline.
const LONGEST: u64 = 7_200_000_000;
/// Three digits: a p99 of 30 ms is exact to 0.03 ms.
const DIGITS: u8 = 3;

/// A call without an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trouble {
    /// The status code's name, or BATCH for a batch of a stream that failed alone.
    pub code: &'static str,
    pub reason: String,
    pub retry_info: bool,
}

/// One step of the series: a second, unless another length was asked for.
#[derive(Clone, Copy, Default)]
pub struct Step {
    pub answered: u64,
    pub failed: u64,
    pub not_sent: u64,
    pub identifiers: u64,
    pub stale: u64,
    /// Of the answers in it, in microseconds; 0 if there were none.
    pub p50: u64,
    pub p99: u64,
}

/// Everything that is counted. A call is answered, failed or not sent.
#[derive(Clone)]
pub struct Counts {
    pub answered: u64,
    pub failed: u64,
    pub not_sent: u64,
    /// Items that were answered.
    pub identifiers: u64,
    pub outcomes: [u64; OUTCOMES],
    /// FAILED items by the number of their reason.
    pub failed_items: BTreeMap<u64, u64>,
    pub stale: u64,
    /// Items of calls that ended well, and have no outcome.
    pub lost: u64,
    pub troubles: BTreeMap<Trouble, u64>,
    pub latency: Histogram<u64>,
    /// Of the answers with something stale in them; these are in `latency`, too.
    pub stale_latency: Histogram<u64>,
    pub refusals: Histogram<u64>,
    pub steps: Vec<Step>,
    /// The answers of the last step alone: one histogram for each would be 200 kB a second.
    current: Histogram<u64>,
    step: Duration,
    pub last: Duration,
}

/// Counts from many tasks.
pub struct Tally {
    began: OnceLock<Instant>,
    counts: Mutex<Counts>,
}

impl Tally {
    /// `step` is how long a step of the series is.
    pub fn new(step: Duration) -> Result<Self, String> {
        let histogram =
            || Histogram::new_with_bounds(1, LONGEST, DIGITS).map_err(|e| e.to_string());
        Ok(Self {
            began: OnceLock::new(),
            counts: Mutex::new(Counts {
                answered: 0,
                failed: 0,
                not_sent: 0,
                identifiers: 0,
                outcomes: [0; OUTCOMES],
                failed_items: BTreeMap::new(),
                stale: 0,
                lost: 0,
                troubles: BTreeMap::new(),
                latency: histogram()?,
                stale_latency: histogram()?,
                refusals: histogram()?,
                steps: Vec::new(),
                current: histogram()?,
                step,
                last: Duration::ZERO,
            }),
        })
    }

    /// The first moment of the run.
    pub fn began(&self) -> Instant {
        *self.began.get_or_init(Instant::now)
    }

    pub fn counts(&self) -> Counts {
        self.with(|counts| {
            counts.close_step();
            counts.clone()
        })
    }

    /// Calls that have ended so far.
    pub fn ended(&self) -> u64 {
        self.with(|counts| counts.answered + counts.failed)
    }

    pub fn answered(&self, due: Instant, asked: u64, summary: &Summary) {
        let now = Instant::now();
        let after = now - self.began();
        self.with(|counts| {
            let unspecified = summary.outcomes.first().copied().unwrap_or_default();
            let failed = summary.outcomes.last().copied().unwrap_or_default();
            let answers = summary.resolutions - unspecified - failed;
            counts.answered += 1;
            counts.identifiers += answers;
            counts.lost += asked.saturating_sub(summary.resolutions) + unspecified;
            counts.stale += summary.stale;
            for (count, more) in counts.outcomes.iter_mut().zip(summary.outcomes) {
                *count += more;
            }
            for reason in &summary.failed {
                *counts.failed_items.entry(*reason).or_default() += 1;
            }
            let took = micros(now - due);
            counts.latency.saturating_record(took);
            if summary.stale > 0 {
                counts.stale_latency.saturating_record(took);
            }
            let step = counts.step(after);
            step.answered += 1;
            step.identifiers += answers;
            step.stale += summary.stale;
            counts.current.saturating_record(took);
        });
    }

    pub fn failed(&self, due: Instant, trouble: Trouble) {
        let now = Instant::now();
        let after = now - self.began();
        self.with(|counts| {
            counts.failed += 1;
            *counts.troubles.entry(trouble).or_default() += 1;
            counts.refusals.saturating_record(micros(now - due));
            counts.step(after).failed += 1;
        });
    }

    /// A batch that its stream never answered.
    pub fn lost(&self, due: Instant, asked: u64) {
        self.failed(due, Trouble::new("NO_ANSWER", "", false));
        self.with(|counts| counts.lost += asked);
    }

    pub fn not_sent(&self) {
        let after = Instant::now() - self.began();
        self.with(|counts| {
            counts.not_sent += 1;
            counts.step(after).not_sent += 1;
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Counts {
    /// The latencies of answers with nothing stale in them.
    pub fn fresh_latency(&self) -> Histogram<u64> {
        let mut fresh = self.latency.clone();
        // It cannot fail: all of these were recorded there with the same bounds.
        let _ = fresh.subtract(&self.stale_latency);
        fresh
    }

    /// The step that a moment is in. An answer that is counted a whisker late, when the next step has
    /// begun, has its latency in that one.
    fn step(&mut self, after: Duration) -> &mut Step {
        self.last = self.last.max(after);
        let index = after.as_millis() / self.step.as_millis().max(1);
        let index = usize::try_from(index).unwrap_or_default();
        if self.steps.len() <= index {
            self.close_step();
            self.current.reset();
            self.steps.resize(index + 1, Step::default());
        }
        #[expect(clippy::indexing_slicing, reason = "just made long enough")]
        &mut self.steps[index]
    }

    /// Says how long the answers of the last step took.
    fn close_step(&mut self) {
        let current = &self.current;
        if let Some(step) = self.steps.last_mut().filter(|_| !current.is_empty()) {
            step.p50 = current.value_at_quantile(0.5);
            step.p99 = current.value_at_quantile(0.99);
        }
    }
}

impl Trouble {
    pub fn new(code: &'static str, reason: &str, retry_info: bool) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
            retry_info,
        }
    }

    /// An error of a batch in a stream.
    pub fn of_batch(reason: u64, retry_info: bool) -> Self {
        Self::new("BATCH", &reason_name(reason), retry_info)
    }
}

impl From<&Status> for Trouble {
    fn from(status: &Status) -> Self {
        let reason = match status.get_details_error_info() {
            Some(info) => info.reason,
            // Only statuses of our own making and foreign servers have none.
            None => String::new(),
        };
        let retry_info = status.get_details_retry_info().is_some();
        Self::new(code_name(status.code()), &reason, retry_info)
    }
}

/// An `ErrorReason` without its prefix.
pub fn reason_name(number: u64) -> String {
    let reason = i32::try_from(number)
        .ok()
        .and_then(|n| ErrorReason::try_from(n).ok());
    let name = reason.map_or("UNKNOWN", |reason| reason.as_str_name());
    name.trim_start_matches("ERROR_REASON_").to_owned()
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer of so many people, `stale` of them.
    fn summary(people: u64, stale: u64) -> Summary {
        Summary {
            resolutions: people,
            outcomes: [0, people, 0, 0, 0, 0],
            stale,
            ..Summary::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn stale_answers_are_told_apart_and_each_step_has_its_own_latency() -> Result<(), String>
    {
        let tally = Tally::new(Duration::from_secs(2))?;
        let began = tally.began();
        let wait = |millis| tokio::time::sleep(Duration::from_millis(millis));
        wait(1000).await;
        tally.answered(began + Duration::from_millis(990), 3, &summary(3, 0));
        wait(1500).await;
        tally.answered(began + Duration::from_millis(2400), 3, &summary(3, 2));
        tally.answered(began + Duration::from_millis(2400), 3, &summary(3, 0));
        // Nothing happens in the step from 4 to 6.
        wait(4000).await;
        tally.answered(began + Duration::from_secs(6), 3, &summary(3, 3));
        let counts = tally.counts();
        let steps = counts.steps.iter();
        let steps: Vec<_> = steps
            .map(|step| (step.answered, step.stale, step.p99 / 10_000))
            .collect();
        assert_eq!(steps, [(1, 0, 1), (2, 2, 10), (0, 0, 0), (1, 3, 50)]);
        assert_eq!((counts.latency.len(), counts.stale_latency.len()), (4, 2));
        assert_eq!((counts.stale, counts.fresh_latency().len()), (5, 2));
        assert_eq!(counts.fresh_latency().max() / 10_000, 10);
        Ok(())
    }
}
