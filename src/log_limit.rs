//! What happens over and over is told now and then: the first time at once, then once in a while with
//! how often it has not been told. Pure: time is an argument. Knows nobody; whoever logs what callers,
//! Feishu or a disk can make happen any number of times asks it first.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Between two lines about the same: often enough to see that it goes on, and a night of it is some
/// thousand lines.
const PAUSE: Duration = Duration::from_secs(10);

/// Decides what is told. `K` is what tells one thing that happens from another; there must be few of
/// them, since they are remembered.
#[derive(Debug)]
pub struct LogLimit<K> {
    // A std mutex: it is never held across an await.
    told: Mutex<HashMap<K, Told>>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    /// How often it has happened since then.
    untold: u64,
}

impl<K> Default for LogLimit<K> {
    fn default() -> Self {
        Self {
            told: Mutex::new(HashMap::new()),
        }
    }
}

impl<K: Eq + Hash> LogLimit<K> {
    /// Whether to tell that this has happened: if so, with how often it has happened untold since it
    /// was told last.
    pub fn tell(&self, what: K, now: Instant) -> Option<u64> {
        // Plain values: a panic under this lock leaves them whole.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = told.get_mut(&what) else {
            let first = Told { at: now, untold: 0 };
            told.insert(what, first);
            return Some(0);
        };
        if now.saturating_duration_since(known.at) < PAUSE {
            known.untold = known.untold.saturating_add(1);
            return None;
        }
        known.at = now;
        Some(std::mem::take(&mut known.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_then_one_each_pause_with_how_many_were_not() {
        let limit = LogLimit::default();
        let began = Instant::now();
        let at = |seconds: f64| began + Duration::from_secs_f64(seconds);
        assert_eq!(limit.tell("a", at(0.0)), Some(0));
        for n in 1..50 {
            assert_eq!(limit.tell("a", at(f64::from(n) / 10.0)), None);
        }
        assert_eq!(limit.tell("a", at(9.9)), None);
        assert_eq!(limit.tell("a", at(10.0)), Some(50));
        assert_eq!(limit.tell("a", at(10.1)), None);
        assert_eq!(limit.tell("a", at(3600.0)), Some(1));
    }

    #[test]
    fn one_thing_does_not_hide_another() {
        let limit = LogLimit::default();
        let now = Instant::now();
        assert_eq!(limit.tell("a", now), Some(0));
        assert_eq!(limit.tell("b", now), Some(0));
        assert_eq!(limit.tell("a", now), None);
    }

    #[test]
    fn a_moment_before_the_last_one_told_is_no_later_one() {
        let limit = LogLimit::default();
        let now = Instant::now();
        let later = now + Duration::from_mins(1);
        assert_eq!(limit.tell("a", later), Some(0));
        assert_eq!(limit.tell("a", now), None);
    }
}
