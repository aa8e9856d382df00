//! How many entries each directory has. Counted as they come and go, so that asking costs nothing.
//! Every entry that is put in comes, and leaves exactly once: also one that is replaced by another
//! under the same key, or is never taken in.

use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::Lifecycle;

use super::{key::StoredKey, packed::Packed};

/// By directory. Directories are numbered from zero.
#[derive(Clone, Default)]
pub(super) struct Population(Arc<Mutex<Vec<usize>>>);

impl Population {
    /// Counts one more, and says how many there are in all.
    pub(super) fn came(&self, key: &StoredKey) -> usize {
        self.change(key, |count| count.saturating_add(1))
    }

    pub(super) fn left(&self, key: &StoredKey) {
        self.change(key, |count| count.saturating_sub(1));
    }

    pub(super) fn of(&self, directory: u32) -> usize {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = usize::try_from(directory).ok();
        index
            .and_then(|index| counts.get(index).copied())
            .unwrap_or(0)
    }

    fn change(&self, key: &StoredKey, change: impl FnOnce(usize) -> usize) -> usize {
        let Some(index) = key.directory().and_then(|n| usize::try_from(n).ok()) else {
            return 0;
        };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() <= index {
            counts.resize(index + 1, 0);
        }
        if let Some(count) = counts.get_mut(index) {
            *count = change(*count);
        }
        counts.iter().sum()
    }
}

impl Lifecycle<StoredKey, Packed> for Population {
    type RequestState = ();

    /// Of entries that are evicted, replaced, or rejected.
    fn on_evict(&self, _state: &mut (), key: StoredKey, _answers: Packed) {
        self.left(&key);
    }
}
