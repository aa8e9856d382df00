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

/// One second of the run.
#[derive(Clone, Copy, Default)]
pub struct Second {
    pub answered: u64,
    pub failed: u64,
    pub not_sent: u64,
    pub identifiers: u64,
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
    pub refusals: Histogram<u64>,
    pub seconds: Vec<Second>,
    pub last: Duration,
}

/// Counts from many tasks.
pub struct Tally {
    began: OnceLock<Instant>,
    counts: Mutex<Counts>,
}

impl Tally {
    pub fn new() -> Result<Self, String> {
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
                refusals: histogram()?,
                seconds: Vec::new(),
                last: Duration::ZERO,
            }),
        })
    }

    /// The first moment of the run.
    pub fn began(&self) -> Instant {
        *self.began.get_or_init(Instant::now)
    }

    pub fn counts(&self) -> Counts {
        self.with(|counts| counts.clone())
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
            counts.latency.saturating_record(micros(now - due));
            let second = counts.second(after);
            second.answered += 1;
            second.identifiers += answers;
        });
    }

    pub fn failed(&self, due: Instant, trouble: Trouble) {
        let now = Instant::now();
        let after = now - self.began();
        self.with(|counts| {
            counts.failed += 1;
            *counts.troubles.entry(trouble).or_default() += 1;
            counts.refusals.saturating_record(micros(now - due));
            counts.second(after).failed += 1;
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
            counts.second(after).not_sent += 1;
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Counts {
    fn second(&mut self, after: Duration) -> &mut Second {
        self.last = self.last.max(after);
        let index = usize::try_from(after.as_secs()).unwrap_or_default();
        if self.seconds.len() <= index {
            self.seconds.resize(index + 1, Second::default());
        }
        #[expect(clippy::indexing_slicing, reason = "just made long enough")]
        &mut self.seconds[index]
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
