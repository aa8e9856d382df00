//! What a store knows is not lost when it cannot be read for a while.

use std::collections::HashMap;

use super::*;
use crate::store::{Record, RecordKey, Selection, Store, StoreError, StoreStats, Vault};

const BOTH: [UserIdType; 2] = [UserIdType::UserId, UserIdType::OpenId];

/// Records in memory, which cannot be read when the test says so.
#[derive(Default)]
struct Shelf {
    records: Mutex<HashMap<RecordKey, Record>>,
    is_slow: AtomicBool,
    failed_reads: AtomicU64,
}

impl Store for Shelf {
    fn get<'a>(&'a self, keys: &'a [RecordKey]) -> BoxFuture<'a, Vec<Option<Record>>> {
        async {
            let records = self.records.lock().unwrap();
            let read = |key| {
                let record = records.get(key)?.clone();
                if self.is_slow.load(Ordering::SeqCst) {
                    self.failed_reads.fetch_add(1, Ordering::SeqCst);
                    return None;
                }
                Some(record)
            };
            keys.iter().map(read).collect()
        }
        .boxed()
    }

    fn put(&self, key: RecordKey, record: Record) {
        self.records.lock().unwrap().insert(key, record);
    }

    fn remove(&self, _which: Selection) -> BoxFuture<'_, Result<usize, StoreError>> {
        async { Err(StoreError::Busy) }.boxed()
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async { Ok(()) }.boxed()
    }

    fn stats(&self) -> StoreStats {
        StoreStats {
            failed_reads: self.failed_reads.load(Ordering::SeqCst),
            ..StoreStats::default()
        }
    }
}

/// A process on this store.
fn process(shelf: &Arc<Shelf>, vault: &Arc<Vault>) -> Bench {
    let store: Arc<dyn Store> = shelf.clone();
    let tier = Tier::new(store, vault.clone(), "acme", "http://feishu", "cli_1");
    bench_with(|_, _| Ok(vec![("1", None)]), Some(Arc::new(tier)))
}

fn key() -> Arc<Vault> {
    let name = format!("feishu-id-unread-{}.key", std::process::id());
    let path = std::env::temp_dir().join(name);
    let vault = Vault::open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    Arc::new(vault)
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_read_is_not_written_over() {
    let (shelf, vault) = (Arc::new(Shelf::default()), key());
    process(&shelf, &vault).ask(&["a@x"], &BOTH, false).await;
    // The next process is asked for one kind while nothing can be read: at once, then for long.
    for slow_for in [1, 20, 1000] {
        shelf.is_slow.store(true, Ordering::SeqCst);
        let bench = process(&shelf, &vault);
        bench.ask(&["a@x", "b@x"], &[], false).await;
        assert_eq!(bench.calls(), 1);
        tokio::time::sleep(Duration::from_secs(slow_for)).await;
        shelf.is_slow.store(false, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(10)).await;
        // Nobody has asked since: b is stored, and so is what was known of a as long as that could be
        // hoped for.
        let bench = process(&shelf, &vault);
        bench.ask(&["a@x", "b@x"], &[], false).await;
        assert_eq!(bench.calls(), 0, "{slow_for}");
        bench.ask(&["a@x"], &BOTH, false).await;
        assert_eq!(bench.calls(), usize::from(slow_for > 100), "{slow_for}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lookup_for_somebody_elses_sake_reads_what_it_writes_over() {
    let (shelf, vault) = (Arc::new(Shelf::default()), key());
    let process = || {
        let store: Arc<dyn Store> = shelf.clone();
        let tier = Tier::new(store, vault.clone(), "acme", "http://feishu", "cli_1");
        let rows: Answers = |_, scope| {
            Ok(if scope.include_resigned {
                vec![("1", None), ("2", None)]
            } else {
                vec![("1", None)]
            })
        };
        bench_with(rows, Some(Arc::new(tier)))
    };
    process().ask(&["a@x"], &[UserIdType::OpenId], false).await;
    // Several rows: asked for once more without the resigned.
    let bench = process();
    bench.ask(&["a@x"], &[], true).await;
    assert_eq!(bench.calls(), 2);
    let bench = process();
    bench.ask(&["a@x"], &BOTH, false).await;
    assert_eq!(bench.calls(), 0);
}
