//! What the next process must know of the calls that this one makes: those of the last minute, and
//! how many there were this month. Pure; where it is kept is for others to say.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use super::Month;

/// Which layout this is.
const VERSION: u8 = 2;
/// Calls of so many milliseconds are noted as one number: a page has a few kilobytes, whatever the quota.
const SLOT_MS: u64 = 100;
/// The longest window: what is older does not count.
const LONGEST: Duration = Duration::from_mins(1);
/// Most calls of a slot that are believed: more than any quota that can be set.
const MOST: usize = 100_000;
/// How wrong a clock may be between two processes.
const SKEW: Duration = Duration::from_secs(5);

/// One tenant's calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Which month the meter counts.
    pub month: Month,
    /// Calls of that month.
    pub calls: u64,
    /// When the calls of the last minute were answered, and how many: in milliseconds since 1970, a
    /// little late. Those that were not yet count as answered when this was written.
    pub answered: Vec<(u64, u32)>,
    /// When it was written.
    pub written_at: u64,
    /// Whether the process has ended since, so that there were no more calls.
    pub is_closed: bool,
}

impl Ledger {
    /// Notes when calls were answered.
    pub fn note(&mut self, answered: impl Iterator<Item = SystemTime>) {
        let mut slots = BTreeMap::new();
        for at in answered {
            *slots.entry(millis(at).div_ceil(SLOT_MS)).or_insert(0_u32) += 1;
        }
        let slots = slots.into_iter();
        self.answered = slots
            .map(|(slot, count)| (slot.saturating_mul(SLOT_MS), count))
            .collect();
    }

    /// As it is kept.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, u8::from(self.is_closed)];
        bytes.extend(self.month.year.to_le_bytes());
        bytes.extend(self.month.month.to_le_bytes());
        bytes.extend(self.calls.to_le_bytes());
        bytes.extend(self.written_at.to_le_bytes());
        for (at, count) in &self.answered {
            bytes.extend(at.to_le_bytes());
            bytes.extend(count.to_le_bytes());
        }
        bytes
    }

    /// What was kept; none if it is of another version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
            let (head, rest) = bytes.split_first_chunk()?;
            *bytes = rest;
            Some(*head)
        }
        let mut bytes = bytes;
        let [version, is_closed] = take(&mut bytes)?;
        if version != VERSION {
            return None;
        }
        let month = Month {
            year: i16::from_le_bytes(take(&mut bytes)?),
            month: i8::from_le_bytes(take(&mut bytes)?),
        };
        let calls = u64::from_le_bytes(take(&mut bytes)?);
        let written_at = u64::from_le_bytes(take(&mut bytes)?);
        let mut answered = Vec::new();
        while let (Some(at), Some(count)) = (take(&mut bytes), take(&mut bytes)) {
            answered.push((u64::from_le_bytes(at), u32::from_le_bytes(count)));
        }
        Some(Self {
            month,
            calls,
            answered,
            written_at,
            is_closed: is_closed == 1,
        })
    }

    /// How long ago the calls of the last minute were answered. `unknown` is how many may have left
    /// after this was written, if the process did not say that it ends: they count as answered just
    /// now. None if the clock says that it was written in the future: then nothing is known.
    pub fn history(&self, now: SystemTime, unknown: usize) -> Option<Vec<Duration>> {
        let now = millis(now);
        let skew = u64::try_from(SKEW.as_millis()).unwrap_or(u64::MAX);
        if self.written_at > now.saturating_add(skew) {
            return None;
        }
        let ago = |at: u64| Duration::from_millis(now.saturating_sub(at));
        let known = self.answered.iter().flat_map(|(at, count)| {
            let count = usize::try_from(*count).unwrap_or(usize::MAX).min(MOST);
            std::iter::repeat_n(ago(*at), count)
        });
        // However long ago: a page is written once calls have been made.
        let unknown = if self.is_closed { 0 } else { unknown };
        let unknown = std::iter::repeat_n(Duration::ZERO, unknown);
        Some(known.chain(unknown).filter(|ago| *ago < LONGEST).collect())
    }
}

/// Milliseconds since 1970.
pub fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn ledger() -> Ledger {
        Ledger {
            month: Month {
                year: 2026,
                month: 11,
            },
            calls: u64::MAX,
            answered: vec![(930_000, 1), (950_000, 1), (999_000, 1)],
            written_at: 1_000_000,
            is_closed: true,
        }
    }

    fn history(ledger: &Ledger, at: u64) -> Option<Vec<u64>> {
        let history = ledger.history(SystemTime::UNIX_EPOCH + Duration::from_millis(at), 2)?;
        Some(history.iter().map(Duration::as_secs).collect())
    }

    #[test]
    fn it_reads_as_it_was_written() {
        let bytes = ledger().to_bytes();
        assert_eq!(Ledger::from_bytes(&bytes), Some(ledger()));
        for length in 0..21 {
            assert_eq!(bytes.get(..length).and_then(Ledger::from_bytes), None);
        }
        assert_eq!(Ledger::from_bytes(&[VERSION + 1; 50]), None);
    }

    #[test]
    fn a_page_is_small_however_many_calls_there_were() {
        let mut ledger = ledger();
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        ledger.note((0..100_000).map(|call| at(1_000_000 - call * 3 / 5)));
        let calls: u32 = ledger.answered.iter().map(|(_, count)| count).sum();
        assert_eq!(calls, 100_000);
        assert!(ledger.to_bytes().len() < 8 * 1024);
        assert_eq!(
            ledger.history(at(1_000_000), 0).map(|all| all.len()),
            Some(100_000)
        );
        // Never earlier than it was.
        ledger.note([at(999_901)].into_iter());
        assert_eq!(ledger.answered, [(1_000_000, 1)]);
    }

    #[test]
    fn only_the_last_minute_counts_and_what_may_have_come_after_it() {
        let closed = ledger();
        assert_eq!(history(&closed, 1_001_000).unwrap(), [51, 2]);
        assert_eq!(history(&closed, 1_100_000), Some(vec![]));
        let killed = Ledger {
            is_closed: false,
            ..ledger()
        };
        assert_eq!(history(&killed, 1_001_000).unwrap(), [51, 2, 0, 0]);
        assert_eq!(history(&killed, 1_100_000), Some(vec![0, 0]));
    }

    #[test]
    fn a_clock_that_was_put_back_knows_nothing() {
        assert_eq!(history(&ledger(), 999_000).unwrap(), [49, 0], "a little");
        assert_eq!(history(&ledger(), 900_000), None);
    }
}
