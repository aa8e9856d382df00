//! The progress of a long run, on a terminal. Elsewhere it is silent.

use std::{cell::Cell, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A count on standard error that appears with the second batch: a short run needs none.
pub(super) struct Progress {
    bar: ProgressBar,
    shown: Cell<bool>,
    batches: Cell<usize>,
}

impl Progress {
    pub(super) fn start() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {human_pos} identifiers, {per_sec}, {elapsed}")
        {
            bar.set_style(style);
        }
        Self {
            bar,
            shown: Cell::new(false),
            batches: Cell::new(0),
        }
    }

    /// Counts, and keeps the bar out of the way of what is written meanwhile.
    pub(super) fn around<T>(&self, count: usize, write: impl FnOnce() -> T) -> T {
        self.batches.set(self.batches.get() + 1);
        if self.batches.get() == 2 && !self.shown.replace(true) {
            // Not a terminal: stays hidden.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
        let written = self.bar.suspend(write);
        self.bar.inc(u64::try_from(count).unwrap_or(0));
        written
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
