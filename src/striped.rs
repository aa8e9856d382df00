//! A value in several copies, of which each thread uses one of its own: for counts that every request
//! changes. Were it one for all, the threads would wait for each other to change it. Reading all of it
//! means reading every copy. Knows nobody.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Copies. With more threads some share one.
const COPIES: usize = 8;

/// The copies.
pub struct Striped<T> {
    first: Alone<T>,
    others: [Alone<T>; COPIES - 1],
}

/// Shares no line of the processor's cache with anything else; some processors fetch two at a time.
#[repr(align(128))]
struct Alone<T>(T);

impl<T> Striped<T> {
    /// One copy like the other.
    pub fn new(make: impl Fn() -> T) -> Self {
        Self {
            first: Alone(make()),
            others: std::array::from_fn(|_| Alone(make())),
        }
    }

    /// This thread's.
    pub fn here(&self) -> &T {
        // A thread that is ending takes any.
        let place = MINE.try_with(|mine| *mine).unwrap_or_default();
        let Alone(copy) = self.others.get(place).unwrap_or(&self.first);
        copy
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        let all = std::iter::once(&self.first).chain(&self.others);
        all.map(|Alone(copy)| copy)
    }
}

thread_local! {
    static MINE: usize = next();
}

/// The threads take the copies in turn.
fn next() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed) % COPIES
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_all_threads_count_is_all_there_whoever_reads_it() {
        let counts = Striped::new(AtomicUsize::default);
        std::thread::scope(|scope| {
            let count = || {
                for _ in 0..1000 {
                    counts.here().fetch_add(1, Ordering::Relaxed);
                }
                std::ptr::from_ref(counts.here()).addr()
            };
            let threads: Vec<_> = (0..20).map(|_| scope.spawn(count)).collect();
            let mut used: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
            used.sort_unstable();
            used.dedup();
            assert!(used.len() > 1, "they all use the same");
        });
        let copies: Vec<_> = counts.all().map(|c| c.load(Ordering::Relaxed)).collect();
        assert_eq!(copies.len(), COPIES);
        assert_eq!(copies.iter().sum::<usize>(), 20_000);
    }
}
