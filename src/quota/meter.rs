//! The month's calls of one app: counted as they leave, and none more than this program's share. All
//! of Feishu's endpoints count here, the token's too. Knows no call; `feishu` asks before each.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use jiff::{Timestamp, ToSpan as _, ZonedDateTime, tz::TimeZone};

/// From this part of the month's calls on, somebody should know.
const WARN_AT: f64 = 0.8;

/// Where the wall clock is read; handed in, so that a test can move it.
pub type WallClock = fn() -> SystemTime;

/// Counts one app's calls by the month.
pub struct Meter {
    wall: WallClock,
    counted: Mutex<Counted>,
}

/// A month by the calendar, such as 2026-11.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    /// The year.
    pub year: i16,
    /// 1 to 12.
    pub month: i8,
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

struct Counted {
    /// Whose calls they are, for logs.
    tenant: String,
    limit: Option<u64>,
    zone: TimeZone,
    month: Month,
    calls: u64,
    /// When the next month begins.
    ends_at: SystemTime,
    /// Whether it has been said that most of them, or all, are gone.
    warned: bool,
    told: bool,
}

/// What has been used of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Which month.
    pub month: Month,
    /// Calls that have left.
    pub calls: u64,
    /// Calls that may leave, if there is a limit.
    pub limit: Option<u64>,
}

/// The month's calls are spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the month's share of {limit} calls (quota.per_month) is spent")]
pub struct MonthSpent {
    /// How many there were.
    pub limit: u64,
    /// Until the next month.
    pub until_next: Duration,
}

impl Meter {
    /// A tenant's meter at zero. Months end by this time zone.
    pub fn new(tenant: &str, limit: Option<u64>, zone: TimeZone, wall: WallClock) -> Self {
        let (month, ends_at) = month_of(wall(), &zone);
        Self {
            wall,
            counted: Mutex::new(Counted {
                tenant: tenant.to_owned(),
                limit,
                zone,
                month,
                calls: 0,
                ends_at,
                warned: false,
                told: false,
            }),
        }
    }

    /// It is this tenant's from now on, who has the same app.
    pub fn pass_to(&self, tenant: &str) {
        tenant.clone_into(&mut self.lock().tenant);
    }

    /// Counts against this limit from now on, and ends months by this time zone. Says whether calls may
    /// leave that could not before. What has been counted stays counted, also where the month is
    /// another one by the new zone: until that one ends.
    pub fn set(&self, limit: Option<u64>, zone: TimeZone) -> bool {
        let mut counted = self.lock();
        let now = self.turn(&mut counted);
        let was_spent = counted.is_spent();
        if counted.limit != limit {
            counted.limit = limit;
            (counted.warned, counted.told) = (false, false);
        }
        if counted.zone != zone {
            (counted.month, counted.ends_at) = month_of(now, &zone);
            counted.zone = zone;
        }
        was_spent && !counted.is_spent()
    }

    /// Adds what an earlier process has counted, if it is still that month.
    pub fn restore(&self, month: Month, calls: u64) {
        let mut counted = self.lock();
        self.turn(&mut counted);
        if counted.month == month {
            counted.calls = counted.calls.saturating_add(calls);
        }
    }

    /// Counts a call that is about to leave. Says in which month.
    ///
    /// # Errors
    /// If there is none left. It is not counted then.
    pub fn count(&self) -> Result<Month, MonthSpent> {
        let mut counted = self.lock();
        let now = self.turn(&mut counted);
        Self::left(&mut counted, now)?;
        counted.calls = counted.calls.saturating_add(1);
        let usage = counted.usage();
        if usage.is_nearly_spent() && !counted.warned {
            counted.warned = true;
            tracing::warn!(
                tenant = counted.tenant,
                calls = usage.calls,
                limit = usage.limit,
                "most of the month's calls (quota.per_month) are spent"
            );
        }
        Ok(counted.month)
    }

    /// Takes back a call that was counted in this month and has certainly not left.
    pub fn take_back(&self, month: Month) {
        let mut counted = self.lock();
        self.turn(&mut counted);
        if counted.month == month {
            counted.calls = counted.calls.saturating_sub(1);
        }
    }

    /// Whether a call may leave.
    ///
    /// # Errors
    /// If there is none left.
    pub fn check(&self) -> Result<(), MonthSpent> {
        let mut counted = self.lock();
        let now = self.turn(&mut counted);
        Self::left(&mut counted, now)
    }

    /// What has been used.
    pub fn usage(&self) -> Usage {
        let mut counted = self.lock();
        self.turn(&mut counted);
        counted.usage()
    }

    fn left(counted: &mut Counted, now: SystemTime) -> Result<(), MonthSpent> {
        let Some(limit) = counted.limit.filter(|_| counted.is_spent()) else {
            return Ok(());
        };
        let until_next = counted.ends_at.duration_since(now).unwrap_or_default();
        let spent = MonthSpent { limit, until_next };
        if !counted.told {
            counted.told = true;
            tracing::error!(
                tenant = counted.tenant,
                "{spent}: only what is known is answered until the next month"
            );
        }
        Err(spent)
    }

    /// Begins the next month if it is time. A clock that was put back changes nothing.
    fn turn(&self, counted: &mut Counted) -> SystemTime {
        let now = (self.wall)();
        if now >= counted.ends_at {
            (counted.month, counted.ends_at) = month_of(now, &counted.zone);
            counted.calls = 0;
            (counted.warned, counted.told) = (false, false);
        }
        now
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        // Plain numbers: a panic under this lock leaves them whole.
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn is_spent(&self) -> bool {
        self.limit.is_some_and(|limit| limit <= self.calls)
    }

    fn usage(&self) -> Usage {
        Usage {
            month: self.month,
            calls: self.calls,
            limit: self.limit,
        }
    }
}

impl Usage {
    /// Whether four calls of five are spent.
    #[expect(clippy::cast_precision_loss, reason = "a part of it, roughly")]
    pub fn is_nearly_spent(&self) -> bool {
        let warn_at = |limit: u64| limit as f64 * WARN_AT;
        self.limit
            .is_some_and(|limit| self.calls as f64 >= warn_at(limit))
    }
}

/// The month at this moment, and when the next one begins.
fn month_of(now: SystemTime, zone: &TimeZone) -> (Month, SystemTime) {
    /// If the calendar has no such day: soon enough to look again.
    const FALLBACK: Duration = Duration::from_hours(1);
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let Ok(timestamp) = Timestamp::from_second(seconds) else {
        return (Month::default(), now + FALLBACK);
    };
    let now_there = timestamp.to_zoned_datetime(zone.clone());
    let month = Month {
        year: now_there.year(),
        month: now_there.month(),
    };
    let next = |there: &ZonedDateTime| -> Result<i64, jiff::Error> {
        let next = there.first_of_month()?.checked_add(1.month())?;
        Ok(next.start_of_day()?.timestamp().as_second())
    };
    let next = next(&now_there)
        .ok()
        .and_then(|second| u64::try_from(second).ok());
    let ends_at = next.map(|second| SystemTime::UNIX_EPOCH + Duration::from_secs(second));
    (month, ends_at.unwrap_or(now + FALLBACK))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::cell::Cell;

    use super::*;

    thread_local! {
        static NOW: Cell<SystemTime> = const { Cell::new(SystemTime::UNIX_EPOCH) };
    }

    fn set(at: &str) {
        let second = at.parse::<Timestamp>().unwrap().as_second();
        let since = Duration::from_secs(second.try_into().unwrap());
        NOW.set(SystemTime::UNIX_EPOCH + since);
    }

    fn meter(limit: Option<u64>, at: &str) -> Meter {
        set(at);
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        Meter::new("acme", limit, zone, || NOW.get())
    }

    #[test]
    fn a_month_ends_at_midnight_in_its_time_zone() {
        let meter = meter(Some(2), "2026-11-30T15:59:58Z");
        assert_eq!(meter.usage().month.to_string(), "2026-11");
        assert!(meter.count().is_ok() && meter.count().is_ok());
        let spent = meter.count().unwrap_err();
        assert_eq!(spent.until_next, Duration::from_secs(2));
        assert!(meter.check().is_err());
        set("2026-11-30T15:59:59Z");
        assert!(meter.count().is_err());
        set("2026-11-30T16:00:00Z");
        assert!(meter.check().is_ok() && meter.count().is_ok());
        let usage = meter.usage();
        assert_eq!(
            (usage.month.year, usage.month.month, usage.calls),
            (2026, 12, 1)
        );
        set("2026-12-31T16:00:00Z");
        assert_eq!(
            meter.usage().month,
            Month {
                year: 2027,
                month: 1
            }
        );
    }

    #[test]
    fn what_is_not_limited_is_counted_too() {
        let meter = meter(None, "2026-02-01T00:00:00Z");
        for _ in 0..1000 {
            meter.count().unwrap();
        }
        assert_eq!(meter.usage().calls, 1000);
        assert!(!meter.usage().is_nearly_spent());
    }

    #[test]
    fn another_process_goes_on_where_one_ended_if_it_is_the_same_month() {
        let month = Month {
            year: 2026,
            month: 11,
        };
        let meter = meter(Some(10), "2026-11-30T15:59:58Z");
        meter.restore(month, 7);
        assert!(!meter.usage().is_nearly_spent());
        meter.count().unwrap();
        assert_eq!(meter.usage().calls, 8);
        assert!(meter.usage().is_nearly_spent());
        let next = super::tests::meter(Some(10), "2026-11-30T16:00:00Z");
        next.restore(month, 7);
        assert_eq!(next.usage().calls, 0);
    }

    #[test]
    fn a_call_that_did_not_leave_is_taken_back_from_its_own_month() {
        let meter = meter(Some(2), "2026-11-30T15:59:58Z");
        let month = meter.count().unwrap();
        meter.count().unwrap();
        assert!(meter.count().is_err());
        meter.take_back(month);
        assert_eq!(meter.usage().calls, 1);
        assert!(meter.count().is_ok());
        set("2026-11-30T16:00:00Z");
        meter.count().unwrap();
        meter.take_back(month);
        assert_eq!(meter.usage().calls, 1, "that one was of another month");
    }

    #[test]
    fn a_limit_that_changes_counts_what_has_left_already() {
        let meter = meter(Some(2), "2026-11-10T00:00:00Z");
        let shanghai = || TimeZone::get("Asia/Shanghai").unwrap();
        assert!(meter.count().is_ok() && meter.count().is_ok());
        assert!(meter.count().is_err());
        assert!(!meter.set(Some(1), shanghai()), "still spent");
        assert!(meter.check().is_err());
        assert!(meter.set(Some(3), shanghai()), "one more");
        assert!(meter.count().is_ok() && meter.count().is_err());
        assert!(meter.set(None, shanghai()));
        assert!(meter.count().is_ok());
        assert_eq!(meter.usage().calls, 4);
    }

    #[test]
    fn another_time_zone_moves_the_end_of_the_month_and_forgets_no_call() {
        let meter = meter(Some(10), "2026-11-30T15:59:58Z");
        meter.count().unwrap();
        meter.set(Some(10), TimeZone::UTC);
        set("2026-11-30T16:00:00Z");
        assert_eq!((meter.usage().month.month, meter.usage().calls), (11, 1));
        set("2026-12-01T00:00:00Z");
        assert_eq!((meter.usage().month.month, meter.usage().calls), (12, 0));
    }

    #[test]
    fn a_clock_that_is_put_back_changes_nothing() {
        let meter = meter(Some(10), "2026-12-01T00:00:00Z");
        meter.count().unwrap();
        set("2026-11-01T00:00:00Z");
        assert_eq!((meter.usage().month.month, meter.usage().calls), (12, 1));
    }
}
