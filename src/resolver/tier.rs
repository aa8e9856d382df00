//! The store under the memory of answers, for one tenant: asked for those of whom memory knows
//! nothing, told of every answer. A store that is slow or down is one that knows nobody.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{
    cache::Snapshot,
    clock,
    store::{Class, DirectoryName, DirectoryTag, RecordKey, Store, Vault},
};

/// How long it is waited for: well above what a busy disk takes, well below what a call does.
const PATIENCE: Duration = Duration::from_millis(250);
/// The same at the start, for what nobody can be asked for again.
const START_PATIENCE: Duration = Duration::from_secs(2);
/// What the keys of answers begin with, so that no other record is taken for one.
const ANSWER: &[u8] = b"answer";

/// What came of reading some records.
pub(super) struct Fetched {
    /// In the order of those who were asked for; or none at all.
    pub(super) records: Vec<Option<Vec<u8>>>,
    /// Whether all that there is was read.
    pub(super) is_whole: bool,
}

/// One tenant's part of the store.
pub struct Tier {
    store: Arc<dyn Store>,
    vault: Arc<Vault>,
    tenant: String,
    base_url: String,
    app_id: String,
}

impl Tier {
    /// The part of the tenant who is reached there, by that app.
    pub fn new(
        store: Arc<dyn Store>,
        vault: Arc<Vault>,
        tenant: &str,
        base_url: &str,
        app_id: &str,
    ) -> Self {
        Self {
            store,
            vault,
            tenant: tenant.to_owned(),
            base_url: base_url.to_owned(),
            app_id: app_id.to_owned(),
        }
    }

    /// What an earlier process knew of these people, as [`Snapshot`] has it; in their order, or nothing
    /// if it takes too long.
    pub(super) async fn fetch<'a>(
        &self,
        include_resigned: bool,
        people: impl Iterator<Item = &'a str>,
        until: Instant,
    ) -> Fetched {
        let keys: Vec<_> = people.map(|who| self.key(include_resigned, who)).collect();
        let until = until.min(Instant::now() + PATIENCE);
        let failed = self.store.stats().failed_reads;
        let Ok(records) = timeout_at(until, self.store.get(&keys)).await else {
            return Fetched {
                records: Vec::new(),
                is_whole: false,
            };
        };
        // It may be somebody else's that could not be: then these are looked at once more in vain.
        let is_whole = self.store.stats().failed_reads == failed;
        let opened = keys.iter().zip(records).map(|(key, record)| {
            let plain = self.vault.open_record(key, &record?)?;
            Some(plain.to_vec())
        });
        Fetched {
            records: opened.collect(),
            is_whole,
        }
    }

    /// Keeps what is known of somebody, behind whoever asked for it.
    pub(super) fn keep(&self, include_resigned: bool, who: &str, snapshot: &Snapshot) {
        let key = self.key(include_resigned, who);
        let class = match (snapshot.has_found, snapshot.has_negative) {
            (true, false) => Class::Found,
            (true, true) => Class::Mixed,
            (false, _) => Class::Negative,
        };
        let expires_at = millis(snapshot.useless_at);
        if let Some(record) = self.vault.seal(&key, class, expires_at, &snapshot.bytes) {
            self.store.put(key, record);
        }
    }

    /// The key of what is known of somebody.
    pub fn key(&self, include_resigned: bool, who: &str) -> RecordKey {
        let parts = [ANSWER, &[u8::from(include_resigned)], who.as_bytes()];
        self.vault.key(&self.name(), &parts)
    }

    /// What all of the tenant's keys have in common.
    pub fn directory(&self) -> DirectoryTag {
        self.vault.directory(&self.name())
    }

    /// The store itself.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// What is kept under this name beside answers, such as what has been spent. Tried again for a while
    /// if it takes long: it is asked for once, at the start.
    pub async fn read(&self, name: &[u8]) -> Option<Vec<u8>> {
        let key = self.vault.key(&self.name(), &[name]);
        let read = async {
            loop {
                let failed = self.store.stats().failed_reads;
                let record = self.store.get(&[key]).await.into_iter().next()?;
                if record.is_some() || self.store.stats().failed_reads == failed {
                    return record;
                }
                sleep(PATIENCE).await;
            }
        };
        let record = timeout(START_PATIENCE, read).await.ok()??;
        Some(self.vault.open_record(&key, &record)?.to_vec())
    }

    /// Keeps it for so long.
    pub fn write(&self, name: &[u8], bytes: &[u8], keep_for: Duration) {
        let key = self.vault.key(&self.name(), &[name]);
        let expires_at = millis(clock::wall_now() + keep_for);
        if let Some(record) = self.vault.seal(&key, Class::Ledger, expires_at, bytes) {
            self.store.put(key, record);
        }
    }

    fn name(&self) -> DirectoryName<'_> {
        DirectoryName {
            tenant: &self.tenant,
            base_url: &self.base_url,
            app_id: &self.app_id,
        }
    }
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
