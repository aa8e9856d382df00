//! Calls as Feishu counts them, in both forms that its windows may have.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::scenario::{Form, Setting};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// One tenant's calls that have arrived.
pub(super) struct Arrivals {
    /// When a minute of Feishu's clock began.
    aligned_to: Instant,
    limits: [(usize, Duration); 2],
    form: Form,
    tells_reset: bool,
    /// Of the last minute or two.
    ours: VecDeque<Instant>,
    /// The share of each limit that another program uses.
    pub(super) other: Option<f64>,
}

impl Arrivals {
    pub(super) fn new(setting: &Setting, aligned_to: Instant) -> Self {
        Self {
            aligned_to,
            limits: [(setting.per_second, SECOND), (setting.per_minute, MINUTE)],
            form: setting.form,
            tells_reset: setting.tells_reset,
            ours: VecDeque::new(),
            other: None,
        }
    }

    /// One more of ours. Says what our own calls broke, in either form.
    pub(super) fn arrive(&mut self, now: Instant) -> Result<(), String> {
        self.ours.push_back(now);
        while self.ours.front().is_some_and(|at| *at + 2 * MINUTE < now) {
            self.ours.pop_front();
        }
        for (limit, length) in self.limits {
            for form in [Form::Fixed, Form::Sliding] {
                let count = self.count(now, form, length);
                if count > limit {
                    return Err(format!("{count} calls in a {form:?} window of {length:?} that may have {limit}"));
                }
            }
        }
        Ok(())
    }

    /// Whether the call that has just arrived is one too many, and when to come back.
    pub(super) fn refuses(&self, now: Instant) -> Option<Option<Duration>> {
        let share = self.other?;
        for (limit, length) in self.limits {
            let limit = u32::try_from(limit).unwrap();
            let ours = u32::try_from(self.count(now, self.form, length)).unwrap();
            if f64::from(ours) + f64::from(limit) * share > f64::from(limit) {
                let reset = self.begin(now, length) + length;
                return Some(self.tells_reset.then(|| reset - now));
            }
        }
        None
    }

    fn count(&self, now: Instant, form: Form, length: Duration) -> usize {
        let counts = |at: &Instant| match form {
            Form::Fixed => *at >= self.begin(now, length),
            Form::Sliding => *at + length > now,
        };
        self.ours.iter().rev().take_while(|at| counts(at)).count()
    }

    fn begin(&self, now: Instant, length: Duration) -> Instant {
        let passed = now.duration_since(self.aligned_to).as_millis();
        let into = passed % length.as_millis();
        now - Duration::from_millis(u64::try_from(into).unwrap())
    }
}
