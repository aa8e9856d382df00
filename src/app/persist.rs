//! What outlives the process: the store of answers, and each tenant's books of the calls it has made.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    admin::stored::{NotRemoved, StoreStatus, Stored, Whose},
    clock,
    config::{Config, StoreKind, TenantConfig},
    identity::Identifier,
    quota::{Ledger, Limit, Meter, Quota, millis},
    resolver::Tier,
    store::{self, RecordKey, Scope, Selection, Store, Vault},
};

/// Under which name a tenant's books are kept.
const LEDGER: &[u8] = b"ledger";
/// Longer than any month: what is older is of no use.
const KEEP: Duration = Duration::from_hours(32 * 24);
/// How often the books are written, if a call has been made.
const EVERY: Duration = Duration::from_millis(500);
/// How long the first page of the books may take to be written; the service starts all the same.
const START: Duration = Duration::from_millis(300);

/// How long opening the store may take before the service starts without one. Ten million records take
/// about 10 s, and more from a slow disk; a disk that hangs never ends.
const OPEN: Duration = Duration::from_secs(30);

/// The store and its vault, if there is one.
#[derive(Clone)]
pub(super) struct Persisted {
    store: Arc<dyn Store>,
    vault: Arc<Vault>,
}

/// One tenant's books.
pub(super) struct Books {
    tier: Arc<Tier>,
    quota: Arc<Quota>,
    meter: Arc<Meter>,
    /// How many calls of the month the last page tells of.
    written: AtomicU64,
}

/// Writes the books of all tenants for as long as it lives.
pub(super) struct Bookkeeping {
    books: Arc<ArcSwap<Vec<Arc<Books>>>>,
    store: Option<Arc<dyn Store>>,
    task: AbortOnDropHandle<()>,
}

impl Persisted {
    /// Opens the store, if the settings say so. A service that cannot keep anything serves all the
    /// same.
    pub(super) async fn open(config: &Config) -> Option<Self> {
        if config.cache.store == StoreKind::None {
            return None;
        }
        let (Some(dir), Some(key_file)) = (&config.data.dir, &config.cache.key_file) else {
            tracing::warn!(
                "nothing is kept across restarts: there is no home directory; set data.dir, or \
                 cache.store = \"none\""
            );
            return None;
        };
        let settings = store::Settings {
            dir: dir.clone(),
            key_file: key_file.clone(),
            capacity: config.cache.capacity,
        };
        match open_in_time(move || store::open(&settings), OPEN).await {
            Ok(Ok(opened)) => {
                for warning in opened.warnings {
                    tracing::warn!("{warning}");
                }
                if opened.torn > 0 {
                    let bytes = opened.torn;
                    tracing::info!(
                        bytes,
                        "cut off what was being written to the store as a process ended"
                    );
                }
                let records = opened.store.stats().records;
                tracing::info!(records, dir = %dir.display(), "the store is open");
                Some(Self {
                    store: Arc::new(opened.store),
                    vault: Arc::new(opened.vault),
                })
            }
            Ok(Err(why)) => {
                tracing::warn!("nothing is kept across restarts: {why}");
                None
            }
            Err(NotOpened::TooSlow) => {
                let (dir, seconds) = (dir.display(), OPEN.as_secs());
                tracing::warn!(
                    "nothing is kept across restarts: the data directory {dir} or the key file did not \
                     answer within {seconds} s; see to the disk, then start again"
                );
                None
            }
            Err(NotOpened::Crashed) => {
                tracing::error!("nothing is kept across restarts: a fault in opening the store");
                None
            }
        }
    }

    pub(super) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// A tenant's part of it.
    pub(super) fn tier(&self, tenant: &TenantConfig) -> Tier {
        Tier::new(
            self.store.clone(),
            self.vault.clone(),
            &tenant.name,
            &tenant.base_url,
            &tenant.app_id,
        )
    }
}

/// Why something was not opened.
#[derive(Debug, PartialEq, Eq)]
enum NotOpened {
    TooSlow,
    Crashed,
}

/// Opens something on a thread of its own, which nobody waits for once it has taken too long: neither this
/// nor the end of the process. What it opens later is dropped there.
async fn open_in_time<T: Send + 'static>(
    open: impl FnOnce() -> T + Send + 'static,
    within: Duration,
) -> Result<T, NotOpened> {
    let (sender, opened) = oneshot::channel();
    std::thread::Builder::new()
        .name("store opening".to_owned())
        .spawn(move || drop(sender.send(open())))
        .map_err(|_| NotOpened::Crashed)?;
    match timeout(within, opened).await {
        Ok(opened) => opened.map_err(|_| NotOpened::Crashed),
        Err(_elapsed) => Err(NotOpened::TooSlow),
    }
}

/// A tenant's quota, knowing what an earlier process has spent of it, if that is known.
pub(super) async fn quota(limits: &[Limit], tier: Option<&Tier>, meter: &Meter) -> Quota {
    let ledger = match tier {
        Some(tier) => tier.read(LEDGER).await,
        None => None,
    };
    let Some(ledger) = ledger.as_deref().and_then(Ledger::from_bytes) else {
        return Quota::new(limits);
    };
    meter.restore(ledger.month, ledger.calls);
    // The books are written and committed at least once a second.
    let in_a_second = limits.iter().map(|limit| limit.limit).min().unwrap_or(0);
    match ledger.history(clock::wall_now(), in_a_second) {
        Some(history) => Quota::with_history(limits, &history),
        None => Quota::new(limits),
    }
}

/// The store as administration knows it.
pub(super) struct Shelves {
    store: Arc<dyn Store>,
    /// By the directory's number in the cache's keys.
    tiers: ArcSwap<BTreeMap<u32, Arc<Tier>>>,
}

impl Shelves {
    pub(super) fn new(persisted: &Persisted) -> Self {
        Self {
            store: persisted.store().clone(),
            tiers: ArcSwap::default(),
        }
    }

    /// Knows these tenants from now on.
    pub(super) fn replace(&self, tiers: BTreeMap<u32, Arc<Tier>>) {
        self.tiers.store(Arc::new(tiers));
    }
}

impl Stored for Shelves {
    fn remove<'a>(
        &'a self,
        whose: Whose<'a>,
        negative_only: bool,
    ) -> BoxFuture<'a, Result<usize, NotRemoved>> {
        let tiers = self.tiers.load();
        let scope = match whose {
            Whose::Everybody => Some(Scope::Everything),
            Whose::Directory(directory) => tiers
                .get(&directory)
                .map(|tier| Scope::Directory(tier.directory())),
            Whose::People { directory, people } => tiers
                .get(&directory)
                .map(|tier| Scope::Keys(Arc::new(keys(tier, people)))),
        };
        // One order to the store however many are meant, so that it is one write, and whole.
        let removed = scope.map(|scope| {
            self.store.remove(Selection {
                scope,
                negative_only,
            })
        });
        async move {
            let Some(removed) = removed else {
                return Ok(0);
            };
            removed.await.map_err(|why| NotRemoved(why.to_string()))
        }
        .boxed()
    }

    fn status(&self) -> StoreStatus {
        let stats = self.store.stats();
        StoreStatus {
            kind: "disk",
            records: stats.records,
            bytes: stats.bytes,
            waiting: stats.waiting,
            written: stats.written,
            dropped: stats.dropped,
            failed_reads: stats.failed_reads,
            failed_writes: stats.failed_writes,
        }
    }
}

/// Where the records of these people lie, with and without people who have left.
fn keys(tier: &Tier, people: &[Identifier]) -> HashSet<RecordKey> {
    let both = |who: &Identifier| [false, true].map(|resigned| tier.key(resigned, who.as_str()));
    people.iter().flat_map(both).collect()
}

impl Books {
    pub(super) fn new(tier: Arc<Tier>, quota: Arc<Quota>, meter: Arc<Meter>) -> Self {
        Self {
            tier,
            quota,
            meter,
            written: AtomicU64::default(),
        }
    }

    pub(super) fn write(&self, is_closed: bool) {
        let usage = self.meter.usage();
        self.written.store(usage.calls, Ordering::Relaxed);
        let now = clock::wall_now();
        let at = |ago: Duration| now.checked_sub(ago).unwrap_or(now);
        let mut ledger = Ledger {
            month: usage.month,
            calls: usage.calls,
            answered: Vec::new(),
            written_at: millis(now),
            is_closed,
        };
        ledger.note(self.quota.history().into_iter().map(at));
        self.tier.write(LEDGER, &ledger.to_bytes(), KEEP);
    }
}

impl Bookkeeping {
    /// Keeps no books yet.
    pub(super) fn start(persisted: Option<&Persisted>) -> Self {
        let books = Arc::new(ArcSwap::default());
        let task = tokio::spawn(keep(books.clone()));
        Self {
            books,
            store: persisted.map(|persisted| persisted.store().clone()),
            task: AbortOnDropHandle::new(task),
        }
    }

    /// Keeps these from now on. Those that are new are opened: what they said of an earlier process, that
    /// it has ended, holds no more.
    pub(super) async fn keep(&self, books: Vec<Arc<Books>>) {
        let before = self.books.swap(Arc::new(books.clone()));
        let is_new = |books: &&Arc<Books>| !before.iter().any(|old| Arc::ptr_eq(old, books));
        let mut has_new = false;
        for books in books.iter().filter(is_new) {
            books.write(false);
            has_new = true;
        }
        if has_new
            && let Some(store) = &self.store
            && !matches!(timeout(START, store.flush()).await, Ok(Ok(())))
        {
            tracing::warn!("the store is slow: what is spent now may not be known after a crash");
        }
    }

    /// Closes the books, once no more calls are made.
    pub(super) async fn close(&mut self) {
        // Not one more page behind the last.
        self.task.abort();
        let _ended = (&mut self.task).await;
        self.books.load().iter().for_each(|books| books.write(true));
        // Bounded by the store.
        if let Some(store) = &self.store
            && let Err(why) = store.flush().await
        {
            tracing::warn!("not all that was learnt lately is kept: {why}");
        }
    }
}

async fn keep(books: Arc<ArcSwap<Vec<Arc<Books>>>>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for books in books.load_full().iter() {
            if books.meter.usage().calls != books.written.load(Ordering::Relaxed) {
                books.write(false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_hangs_is_not_waited_for() {
        let (end, hang) = std::sync::mpsc::channel::<()>();
        let hanging = open_in_time(move || hang.recv(), Duration::from_millis(20)).await;
        assert_eq!(hanging.map(drop), Err(NotOpened::TooSlow));
        drop(end);
        assert_eq!(open_in_time(|| 7, OPEN).await, Ok(7));
    }
}
