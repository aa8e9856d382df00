//! People whose records could not be read when they were asked for, as from a disk that is slow for a
//! moment. What is learnt of them stays in memory until that has been made up for: written at once, it
//! would take the place of what the store knows of their other kinds of ID.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    cache::{Cache, CacheKey, Snapshot},
    clock,
    identity::Identifier,
};

use super::Tier;

/// Most people at a time, some hundred bytes each. What is learnt of more than these is written at once.
const MOST: usize = 10_000;
/// Until they are read again: a bit longer than a store that was slow is left alone.
const AGAIN: Duration = Duration::from_secs(6);
/// So many are read together.
const TOGETHER: usize = 100;
/// After so many attempts in a row, a minute, what is known is written all the same.
const ATTEMPTS: u32 = 10;

/// One tenant's. Ends its task when it is dropped.
pub(super) struct Unread {
    shelf: Arc<Shelf>,
    _task: AbortOnDropHandle<()>,
}

struct Shelf {
    /// The directory's number in the cache's keys.
    number: u32,
    cache: Arc<Cache>,
    tier: Arc<Tier>,
    /// Whether the resigned count, and who.
    people: Mutex<HashSet<(bool, Identifier)>>,
    noted: Notify,
}

impl Unread {
    pub(super) fn new(number: u32, cache: Arc<Cache>, tier: Arc<Tier>) -> Self {
        let shelf = Arc::new(Shelf {
            number,
            cache,
            tier,
            people: Mutex::default(),
            noted: Notify::new(),
        });
        let task = AbortOnDropHandle::new(tokio::spawn(run(shelf.clone())));
        Self { shelf, _task: task }
    }

    pub(super) fn note(&self, include_resigned: bool, who: &Identifier) {
        let mut people = self.shelf.lock();
        if people.len() < MOST {
            people.insert((include_resigned, who.clone()));
            self.shelf.noted.notify_one();
        }
    }

    pub(super) fn has(&self, include_resigned: bool, who: &Identifier) -> bool {
        let people = self.shelf.lock();
        // Almost always: nobody is copied for it.
        !people.is_empty() && people.contains(&(include_resigned, who.clone()))
    }
}

async fn run(shelf: Arc<Shelf>) {
    loop {
        shelf.noted.notified().await;
        sleep(AGAIN).await;
        let mut failed = 0;
        while let Some((include_resigned, people)) = shelf.some() {
            let is_last = failed + 1 >= ATTEMPTS;
            if shelf.make_up(include_resigned, &people, is_last).await {
                failed = 0;
            } else if !is_last {
                failed += 1;
                sleep(AGAIN).await;
            }
        }
    }
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, HashSet<(bool, Identifier)>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Some of them, who can be read together.
    fn some(&self) -> Option<(bool, Vec<Identifier>)> {
        let people = self.lock();
        let (include_resigned, _) = *people.iter().next()?;
        let alike = people
            .iter()
            .filter(|(resigned, _)| *resigned == include_resigned);
        let some = alike.map(|(_, who)| who.clone()).take(TOGETHER);
        Some((include_resigned, some.collect()))
    }

    /// Reads what the store knows of these people, and writes it together with what memory knows. Says
    /// whether it could be read.
    async fn make_up(&self, include_resigned: bool, people: &[Identifier], is_last: bool) -> bool {
        let (read_at, wall) = (Instant::now(), clock::wall_now());
        let who = people.iter().map(Identifier::as_str);
        let fetched = self
            .tier
            .fetch(include_resigned, who, read_at + AGAIN)
            .await;
        if !fetched.is_whole && !is_last {
            return false;
        }
        let mut records = fetched.records.into_iter();
        for who in people {
            let record = records.next().flatten();
            // First, so that what is learnt of them from now on is written.
            self.lock().remove(&(include_resigned, who.clone()));
            let key = CacheKey {
                directory: self.number,
                include_resigned,
                identifier: who.as_str(),
            };
            let keep = |snapshot: &Snapshot| {
                self.tier.keep(include_resigned, who.as_str(), snapshot);
            };
            self.cache
                .restore_and(key, record.as_deref(), read_at, wall, &keep);
        }
        fetched.is_whole
    }
}
