//! The sandbox's own clocks: the real one, by which quotas and records run, and the shown one,
//! which can be set off so that tokens end early or late. Knows nothing else of the sandbox.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const SECONDS_A_DAY: u64 = 86_400;

/// Milliseconds since 1970, from a monotonic clock that was set once.
pub(super) struct Clock {
    started: Instant,
    started_unix: Duration,
    offset_seconds: AtomicI64,
}

/// A moment of the calendar, UTC.
struct Calendar {
    year: u64,
    month: u64,
    day: u64,
    weekday: &'static str,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the sandbox imports nothing of this crate, so it reads the wall clock once itself"
    )]
    pub(super) fn start() -> Self {
        Self {
            started: Instant::now(),
            started_unix: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            offset_seconds: AtomicI64::new(0),
        }
    }

    /// Never goes back; the offset does not touch it.
    pub(super) fn real(&self) -> u64 {
        millis(self.started_unix + self.started.elapsed())
    }

    /// What the simulated Feishu believes the time is.
    pub(super) fn shown(&self) -> u64 {
        let offset = self.offset_seconds.load(Ordering::Relaxed);
        self.real()
            .saturating_add_signed(offset.saturating_mul(1000))
    }

    pub(super) fn set_offset(&self, seconds: i64) {
        self.offset_seconds.store(seconds, Ordering::Relaxed);
    }
}

/// The form of a `Date` header: `Mon, 23 Nov 2026 09:30:00 GMT`.
pub(super) fn http_date(unix_ms: u64) -> String {
    let at = Calendar::of(unix_ms);
    let month = usize::try_from(at.month - 1)
        .ok()
        .and_then(|index| MONTHS.get(index))
        .unwrap_or(&"Jan");
    format!(
        "{}, {:02} {month} {:04} {:02}:{:02}:{:02} GMT",
        at.weekday, at.day, at.year, at.hour, at.minute, at.second
    )
}

/// The fourteen digits that Feishu's log ids begin with.
pub(super) fn log_digits(unix_ms: u64) -> String {
    let at = Calendar::of(unix_ms);
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}",
        at.year, at.month, at.day, at.hour, at.minute, at.second
    )
}

/// For people who read the history: `2026-11-23T09:30:00.123Z`.
pub(super) fn timestamp(unix_ms: u64) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(unix_ms);
    humantime::format_rfc3339_millis(at).to_string()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Calendar {
    fn of(unix_ms: u64) -> Self {
        let seconds = unix_ms / 1000;
        let days = seconds / SECONDS_A_DAY;
        let of_day = seconds % SECONDS_A_DAY;
        // Years that begin in March put the leap day last; an era is 400 of them, 146,097 days.
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let of_era = shifted % 146_097;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: of_year - (153 * from_march + 2) / 5 + 1,
            weekday: usize::try_from(days % 7)
                .ok()
                .and_then(|index| DAYS.get(index))
                .unwrap_or(&"Thu"),
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_795_426_200, "Mon, 23 Nov 2026 09:30:00 GMT"),
        ] {
            assert_eq!(http_date(seconds * 1000), date);
        }
        assert_eq!(log_digits(1_795_426_200_000), "20261123093000");
    }

    #[test]
    fn the_offset_moves_the_shown_clock_only() {
        let clock = Clock::start();
        clock.set_offset(3600);
        assert!(clock.shown() >= clock.real() + 3_599_000);
        clock.set_offset(-3600);
        assert!(clock.shown() < clock.real());
    }
}
