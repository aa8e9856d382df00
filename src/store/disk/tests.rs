#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::store::{Class, DirectoryName, Scope};

use super::*;

mod damage;
mod opening;

/// A directory of a test's own.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("feishu-id-store-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn settings(&self, capacity: usize) -> Settings {
        Settings {
            dir: self.0.clone(),
            key_file: self.0.join("store.key"),
            capacity,
        }
    }

    /// Once the lock is free: a program that another test has just started holds whatever this process had
    /// open until it begins.
    fn open(&self) -> Opened {
        for _ in 0..100 {
            match open(&self.settings(100_000)) {
                Err(Unavailable::InUse(_)) => std::thread::sleep(Duration::from_millis(10)),
                opened => return opened.unwrap(),
            }
        }
        unreachable!("the lock stays taken")
    }

    fn file(&self) -> PathBuf {
        self.0.join("answers.db")
    }

    /// What was set aside, the oldest first.
    fn aside(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut aside: Vec<_> = entries
            .filter(|path| path.display().to_string().contains(".set-aside-"))
            .collect();
        aside.sort();
        aside
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn directory(tenant: &str) -> DirectoryName<'_> {
    DirectoryName {
        tenant,
        base_url: "https://open.feishu.cn",
        app_id: "cli_a",
    }
}

const HOUR: u64 = 3_600_000;

impl Opened {
    fn key(&self, tenant: &str, who: &str) -> RecordKey {
        self.vault.key(&directory(tenant), &[who.as_bytes()])
    }

    fn put(&self, tenant: &str, who: &str, class: Class, lasts: u64) {
        let key = self.key(tenant, who);
        let text = format!("ID of {who}");
        let record = self.vault.seal(&key, class, now() + lasts, text.as_bytes());
        self.store.put(key, record.unwrap());
    }

    fn found(&self, tenant: &str, who: &str) {
        self.put(tenant, who, Class::Found, HOUR);
    }

    /// Whether it is there; what is must be what was put.
    async fn has(&self, tenant: &str, who: &str) -> bool {
        let key = self.key(tenant, who);
        let record = self.store.get(&[key]).await.pop().unwrap();
        let text = record.map(|record| self.vault.open_record(&key, &record).unwrap());
        if let Some(text) = &text {
            assert_eq!(text.as_slice(), format!("ID of {who}").as_bytes());
        }
        text.is_some()
    }

    async fn flush(&self) {
        self.store.flush().await.unwrap();
    }

    async fn remove(&self, scope: Scope, negative_only: bool) -> usize {
        let which = Selection {
            scope,
            negative_only,
        };
        self.store.remove(which).await.unwrap()
    }
}

#[tokio::test]
async fn a_record_is_found_while_it_waits_and_after_it_was_written_and_by_the_next_process() {
    let scratch = Scratch::new("found");
    let opened = scratch.open();
    opened.found("acme", "a");
    assert_eq!(opened.store.stats().waiting, 1);
    assert!(opened.has("acme", "a").await);
    opened.flush().await;
    let stats = opened.store.stats();
    assert_eq!((stats.waiting, stats.records, stats.written), (0, 1, 1));
    assert_eq!(stats.bytes, fs::metadata(scratch.file()).unwrap().len());
    assert!(opened.has("acme", "a").await);
    assert!(!opened.has("acme", "b").await);
    assert!(!opened.has("umbrella", "a").await);
    // Written by the drop.
    opened.found("acme", "b");
    drop(opened);
    let again = scratch.open();
    assert!(again.warnings.is_empty());
    assert!(again.has("acme", "a").await && again.has("acme", "b").await);
}

#[tokio::test]
async fn what_waits_is_written_without_being_asked() {
    let scratch = Scratch::new("behind");
    let opened = scratch.open();
    opened.found("acme", "a");
    let until = Instant::now() + Duration::from_secs(10);
    while opened.store.stats().written == 0 {
        assert!(Instant::now() < until, "not written behind");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_keys() {
    let scratch = Scratch::new("order");
    let opened = scratch.open();
    for who in 0..300 {
        opened.found("acme", &who.to_string());
    }
    opened.flush().await;
    for who in 300..400 {
        opened.found("acme", &who.to_string());
    }
    let keys: Vec<_> = (0..500)
        .map(|who| opened.key("acme", &who.to_string()))
        .collect();
    let records = opened.store.get(&keys).await;
    assert_eq!(records.len(), 500);
    for (who, (key, record)) in keys.iter().zip(records).enumerate() {
        let text = record.map(|record| opened.vault.open_record(key, &record).unwrap().to_vec());
        let expected = (who < 400).then(|| format!("ID of {who}").into_bytes());
        assert_eq!(text, expected);
    }
}

#[tokio::test]
async fn rewrites_merge_and_the_newest_counts() {
    let scratch = Scratch::new("merge");
    let opened = scratch.open();
    let key = opened.key("acme", "a");
    let put = |text: &str| {
        let record = opened
            .vault
            .seal(&key, Class::Found, now() + HOUR, text.as_bytes());
        opened.store.put(key, record.unwrap());
    };
    for round in 0..3 {
        for text in 0..1000 {
            put(&format!("{round} {text}"));
        }
        assert_eq!(opened.store.stats().waiting, 1);
        opened.flush().await;
    }
    let stats = opened.store.stats();
    assert_eq!((stats.written, stats.records, stats.dropped), (3, 1, 0));
    let record = opened.store.get(&[key]).await.pop().unwrap().unwrap();
    assert_eq!(
        opened.vault.open_record(&key, &record).unwrap().as_slice(),
        b"2 999"
    );
    drop(opened);
    assert_eq!(scratch.open().store.stats().records, 1);
}

#[tokio::test]
async fn one_directory_can_be_removed_and_stays_so() {
    let scratch = Scratch::new("directory");
    let opened = scratch.open();
    for who in ["a", "b"] {
        opened.found("acme", who);
        opened.found("umbrella", who);
    }
    opened.flush().await;
    opened.found("acme", "waits");
    let acme = Scope::Directory(opened.vault.directory(&directory("acme")));
    assert_eq!(opened.remove(acme.clone(), false).await, 3);
    assert_eq!(opened.remove(acme.clone(), false).await, 0);
    // What comes later is another matter.
    opened.found("acme", "b");
    drop(opened);
    let again = scratch.open();
    assert!(!again.has("acme", "a").await && !again.has("acme", "waits").await);
    assert!(again.has("acme", "b").await);
    assert!(again.has("umbrella", "a").await && again.has("umbrella", "b").await);
}

#[tokio::test]
async fn removing_negative_answers_leaves_the_others_and_nothing_removes_the_ledger() {
    let scratch = Scratch::new("negative");
    let opened = scratch.open();
    let classes = [Class::Found, Class::Negative, Class::Mixed, Class::Ledger];
    let put = |opened: &Opened| {
        for class in classes {
            opened.put("acme", &format!("{class:?}"), class, HOUR);
        }
    };
    put(&opened);
    assert_eq!(opened.remove(Scope::Everything, true).await, 2);
    put(&opened);
    opened.flush().await;
    assert_eq!(opened.remove(Scope::Everything, true).await, 2);
    drop(opened);
    let again = scratch.open();
    assert!(again.has("acme", "Found").await && again.has("acme", "Ledger").await);
    assert!(!again.has("acme", "Negative").await && !again.has("acme", "Mixed").await);
    let found = Scope::Key(again.key("acme", "Found"));
    assert_eq!(again.remove(found.clone(), true).await, 0);
    assert_eq!(again.remove(found, false).await, 1);
    let ledger = Scope::Key(again.key("acme", "Ledger"));
    assert_eq!(again.remove(ledger, false).await, 0);
    put(&again);
    assert_eq!(again.remove(Scope::Everything, false).await, 3);
    assert!(again.has("acme", "Ledger").await);
}

#[tokio::test]
async fn what_was_removed_leaves_the_file() {
    let scratch = Scratch::new("leaves");
    let opened = scratch.open();
    for who in 0..1000 {
        opened.found("acme", &who.to_string());
    }
    opened.flush().await;
    let full = opened.store.stats().bytes;
    assert_eq!(opened.remove(Scope::Everything, false).await, 1000);
    let until = Instant::now() + Duration::from_secs(20);
    while opened.store.stats().bytes >= full / 100 {
        assert!(Instant::now() < until, "not compacted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    opened.found("acme", "later");
    drop(opened);
    assert!(scratch.open().has("acme", "later").await);
}

#[tokio::test]
async fn expired_records_are_neither_given_nor_kept() {
    let scratch = Scratch::new("expired");
    let opened = scratch.open();
    opened.put("acme", "soon", Class::Found, 300);
    opened.found("acme", "late");
    opened.flush().await;
    assert!(opened.has("acme", "soon").await);
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert!(!opened.has("acme", "soon").await);
    drop(opened);
    let again = scratch.open();
    assert_eq!(again.store.stats().records, 1);
    assert!(again.has("acme", "late").await);
}

#[tokio::test]
async fn over_capacity_those_who_expire_soonest_go_and_the_ledger_stays() {
    let scratch = Scratch::new("capacity");
    let opened = open(&scratch.settings(1600)).unwrap();
    opened.put("acme", "ledger", Class::Ledger, HOUR / 2);
    for who in 0..1601 {
        opened.put("acme", &who.to_string(), Class::Found, HOUR + who * 1000);
    }
    opened.flush().await;
    assert_eq!(opened.store.stats().records, 1500);
    assert!(opened.has("acme", "1600").await && opened.has("acme", "102").await);
    assert!(!opened.has("acme", "101").await && !opened.has("acme", "0").await);
    drop(opened);
    let fewer = open(&scratch.settings(100)).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while fewer.store.stats().records > 100 {
        assert!(Instant::now() < until, "not evicted after the start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_does_not_fit_is_dropped_and_counted() {
    let scratch = Scratch::new("bounded");
    let opened = scratch.open();
    let key = opened.key("acme", "a");
    let record = opened
        .vault
        .seal(&key, Class::Found, now() + HOUR, b"x")
        .unwrap();
    let large = Record {
        sealed: vec![0; MAX_SEALED + 1].into(),
        ..record.clone()
    };
    opened.store.put(key, large);
    assert_eq!(opened.store.stats().dropped, 1);
    // Without a writer, nothing makes room.
    let queue = Queue::default();
    let keys: Vec<_> = (0..20_001)
        .map(|who| opened.key("acme", &who.to_string()))
        .collect();
    let kept = keys
        .iter()
        .filter(|key| queue.put(**key, record.clone()))
        .count();
    assert_eq!(kept, 20_000);
    assert!(
        queue.put(keys[0], record.clone()),
        "a rewrite needs no room"
    );
    queue.end();
    assert!(!queue.put(keys[0], record));
    assert!(matches!(queue.flush(), Err(StoreError::Closed)));
}

#[tokio::test]
async fn a_failed_write_waits_again_but_for_what_was_removed() {
    let scratch = Scratch::new("again");
    let opened = scratch.open();
    let record = |who: &str, text: &[u8]| {
        let key = opened.key("acme", who);
        let record = opened.vault.seal(&key, Class::Found, now() + HOUR, text);
        (key, record.unwrap())
    };
    let queue = Queue::default();
    let (a, old) = record("a", b"old");
    let (b, gone) = record("b", b"gone");
    let (c, kept) = record("c", b"kept");
    for (key, record) in [(a, &old), (b, &gone), (c, &kept)] {
        queue.put(key, record.clone());
    }
    assert_eq!(queue.begin().len(), 3);
    assert_eq!(queue.find(&b), Some(gone), "found while it is written");
    let (_, new) = record("a", b"new");
    queue.put(a, new.clone());
    let which = Selection {
        scope: Scope::Key(b),
        negative_only: false,
    };
    let _answer = queue.remove(which).unwrap();
    assert_eq!(queue.failed(Duration::ZERO), 0);
    assert_eq!(queue.find(&a), Some(new));
    assert_eq!((queue.find(&b), queue.find(&c)), (None, Some(kept)));
}

#[tokio::test]
async fn nobody_can_read_in_the_file_whom_it_is_about() {
    let scratch = Scratch::new("plaintext");
    let opened = scratch.open();
    let secret = [
        "ann@example.com",
        "+8613800138000",
        "13800138000",
        "ou_ann",
        "acme",
    ];
    for who in secret {
        opened.found("acme", who);
    }
    opened.flush().await;
    let bytes = fs::read(scratch.file()).unwrap();
    for text in secret {
        let found = bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes());
        assert!(!found, "{text} can be read");
    }
    let shown = format!("{opened:?}");
    assert!(secret.iter().all(|text| !shown.contains(text)), "{shown}");
}

fn bytes_of(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[tokio::test]
async fn reads_pause_where_the_disk_hangs_for_those_who_wait_no_longer_than_they_must() {
    let scratch = Scratch::new("hang");
    let opened = scratch.open();
    opened.found("acme", "a");
    opened.flush().await;
    // What a disk that hangs comes to: all threads for reads are taken.
    let reads = opened.store.reads.clone();
    let _hang = reads.acquire_many_owned(16).await.unwrap();
    let key = opened.key("acme", "a");
    let _late = timeout(Duration::from_millis(250), opened.store.get(&[key])).await;
    assert!(!opened.store.shared.may_read());
}

#[tokio::test]
async fn many_are_removed_in_one_write_and_stay_removed() {
    let scratch = Scratch::new("many");
    let opened = scratch.open();
    for who in 0..3000 {
        opened.found("acme", &who.to_string());
    }
    opened.put("acme", "ledger", Class::Ledger, HOUR);
    opened.flush().await;
    opened.found("acme", "waits");
    opened.put("acme", "nobody", Class::Negative, HOUR);
    let key = |who: &str| opened.key("acme", who);
    let some: Vec<_> = (0..2000).map(|who| key(&who.to_string())).collect();
    let others = [key("waits"), key("nobody"), key("ledger"), key("unknown")];
    let keys = Scope::Keys(Arc::new(some.into_iter().chain(others).collect()));
    let before = opened.store.stats().bytes;
    assert_eq!(opened.remove(keys.clone(), true).await, 1);
    assert_eq!(opened.remove(keys.clone(), false).await, 2001);
    // Two blocks of one entry each, and not one for each key.
    let removals = 2 * (16 + 8 + 2 + 2004_u64 * 40).next_multiple_of(16);
    assert!(opened.store.stats().bytes - before <= removals + 32);
    assert_eq!(opened.remove(keys, false).await, 0);
    drop(opened);
    let again = scratch.open();
    assert!(again.warnings.is_empty(), "{:?}", again.warnings);
    assert_eq!(again.store.stats().records, 1001);
    assert!(again.has("acme", "2000").await && again.has("acme", "ledger").await);
    assert!(!again.has("acme", "1999").await && !again.has("acme", "waits").await);
}

#[tokio::test]
async fn a_removal_of_more_keys_than_a_block_holds_is_whole() {
    let scratch = Scratch::new("too-many");
    let opened = scratch.open();
    opened.found("acme", "a");
    opened.found("acme", "b");
    opened.flush().await;
    let unknown = (0..120_000_u32).map(|number| {
        let mut bytes = [7; RecordKey::LENGTH];
        bytes[20..24].copy_from_slice(&number.to_le_bytes());
        RecordKey::from_bytes(&bytes).unwrap()
    });
    let keys = unknown.chain([opened.key("acme", "a")]).collect();
    assert_eq!(opened.remove(Scope::Keys(Arc::new(keys)), false).await, 1);
    drop(opened);
    let again = scratch.open();
    assert!(again.warnings.is_empty(), "{:?}", again.warnings);
    assert!(!again.has("acme", "a").await && again.has("acme", "b").await);
}
