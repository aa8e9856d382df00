//! Identifiers, by what became of each and where the answer came from.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    about,
    label::{Grid, Label, label},
    registry::{Registry, Value},
};

label! {
    /// What an identifier is answered with.
    Outcome {
        /// Somebody's IDs.
        Resolved = "resolved",
        /// Nobody is known by it.
        NotFound = "not_found",
        /// Several people are.
        Ambiguous = "ambiguous",
        /// It is none, or Feishu refuses it.
        Invalid = "invalid",
        /// There is no answer.
        Failed = "failed",
    }
}

label! {
    /// Where the answer came from.
    Source {
        /// Memory.
        Cache = "cache",
        /// Memory, older than its time, because Feishu could not be asked.
        Stale = "stale",
        /// A call to Feishu for this request.
        Upstream = "upstream",
        /// A call that another request had asked for.
        Coalesced = "coalesced",
        /// The store.
        Store = "store",
        /// Nobody needed to be asked, or nobody answered.
        None = "none",
    }
}

/// The handle of one tenant. Cloning gives the same one.
#[derive(Clone)]
pub struct Identifiers(Arc<Grid<AtomicU64>>);

impl Default for Identifiers {
    fn default() -> Self {
        let cells = Grid::new(Outcome::ALL.len(), Source::ALL.len(), AtomicU64::default);
        Self(Arc::new(cells))
    }
}

impl Identifiers {
    /// The handle of this tenant.
    pub fn new(registry: &Registry, tenant: &str) -> Self {
        let identifiers = Self::default();
        let (read, tenant) = (identifiers.clone(), tenant.to_owned());
        registry.add(&about::IDENTIFIERS, move |sink| {
            for outcome in Outcome::ALL {
                for source in Source::ALL {
                    let count = read.read(*outcome, *source);
                    // What has not happened yet shows only where an increase will be looked for.
                    if count > 0 || matches!(outcome, Outcome::Resolved | Outcome::Failed) {
                        let labels = [
                            ("tenant", tenant.as_str()),
                            ("outcome", outcome.text()),
                            ("source", source.text()),
                        ];
                        sink.put(&labels, Value::Counter(count));
                    }
                }
            }
        });
        identifiers
    }

    /// Counts one after the other, in one go where several are alike.
    pub fn tally(&self) -> Tally<'_> {
        Tally {
            identifiers: self,
            last: None,
        }
    }

    fn count(&self, outcome: Outcome, source: Source, more: u64) {
        if let Some(cell) = self.0.get(outcome.index(), source.index()) {
            cell.fetch_add(more, Ordering::Relaxed);
        }
    }

    fn read(&self, outcome: Outcome, source: Source) -> u64 {
        let cell = self.0.get(outcome.index(), source.index());
        cell.map_or(0, |cell| cell.load(Ordering::Relaxed))
    }
}

/// Identifiers of one batch, most of which are answered alike. Counted when it is dropped, if not
/// before.
pub struct Tally<'a> {
    identifiers: &'a Identifiers,
    last: Option<(Outcome, Source, u64)>,
}

impl Tally<'_> {
    /// One more was answered like this.
    #[inline]
    pub fn add(&mut self, outcome: Outcome, source: Source) {
        match &mut self.last {
            Some((of, from, count)) if (*of, *from) == (outcome, source) => *count += 1,
            _ => {
                self.settle();
                self.last = Some((outcome, source, 1));
            }
        }
    }

    fn settle(&mut self) {
        if let Some((outcome, source, count)) = self.last.take() {
            self.identifiers.count(outcome, source, count);
        }
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.settle();
    }
}
