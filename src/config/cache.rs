//! `[cache]`: how long answers are given again. The same for every tenant.

use std::{path::PathBuf, time::Duration};

use super::{
    DataConfig, Origin, beside,
    reader::Reader,
    value::{Raw, Value, quote},
};

/// Where answers outlive the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// In a file of the data directory.
    Disk,
    /// Nowhere.
    None,
}

/// How long answers are kept, and how many.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// How long somebody's IDs are given again: those of a call that left at 9:00 until 21:00, with
    /// 12 h.
    pub ttl: Duration,
    /// The same for who was not found, doubling each time the answer repeats, up to 1 h: with 1 m,
    /// Feishu is asked again after 1, 2, 4 … 32 and then every 60 minutes.
    pub negative_ttl: Duration,
    /// How long past their TTL people who were found are still given when Feishu cannot be asked.
    pub serve_stale: Duration,
    /// About how many identifiers are remembered, all tenants together: when it is nearly full, the fuller
    /// parts of memory drop some already, of a million 0.3 %.
    pub capacity: usize,
    /// Where answers outlive the process.
    pub store: StoreKind,
    /// The secret that seals what is stored. `None` if nobody says, and there is no data directory.
    pub key_file: Option<PathBuf>,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            // IDs do not change, but an address can pass to somebody else: half a day later everybody
            // knows, and everybody is asked for twice a day at most.
            ttl: Duration::from_hours(12),
            // A newcomer is found soon after they get their account.
            negative_ttl: Duration::from_mins(1),
            // An outage of a working day and the night after.
            serve_stale: Duration::from_hours(24),
            // Everybody of a very large company by e-mail and mobile.
            capacity: 1_000_000,
            store: StoreKind::Disk,
            key_file: None,
        }
    }
}

impl CacheConfig {
    pub(super) fn read(reader: &mut Reader, data: &DataConfig) -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        const MONTH: Duration = Duration::from_hours(30 * 24);
        const HOUR: Duration = Duration::from_hours(1);
        let default = Self::default();
        Self {
            ttl: reader.ranged("cache.ttl", default.ttl, SECOND..=MONTH),
            negative_ttl: reader.ranged("cache.negative_ttl", default.negative_ttl, SECOND..=HOUR),
            capacity: reader.ranged("cache.capacity", default.capacity, 1000..=100_000_000),
            store: reader.setting("cache.store", default.store),
            key_file: key_file(reader, data),
            serve_stale: reader.ranged(
                "cache.serve_stale",
                default.serve_stale,
                Duration::ZERO..=MONTH,
            ),
        }
    }
}

fn key_file(reader: &mut Reader, data: &DataConfig) -> Option<PathBuf> {
    const KEY: &str = "cache.key_file";
    if reader.origin(KEY).is_some() {
        let (path, origin) = reader.optional::<PathBuf>(KEY)?;
        return Some(beside(&path, &origin));
    }
    reader.know(KEY);
    let path = data.dir.as_ref().map(|dir| dir.join("store.key"));
    reader.show(KEY, path.as_ref().map(Value::show), Origin::Default);
    path
}

impl Value for StoreKind {
    fn parse(raw: &Raw) -> Result<Self, String> {
        const EXPECTED: &str = "\"disk\" or \"none\"";
        match String::parse(raw)
            .map_err(|_| format!("expected {EXPECTED}"))?
            .as_str()
        {
            "disk" => Ok(Self::Disk),
            "none" => Ok(Self::None),
            "redis" => Err(format!("\"redis\" is not available yet: {EXPECTED}")),
            _ => Err(format!("expected {EXPECTED}")),
        }
    }

    fn show(&self) -> String {
        quote(match self {
            Self::Disk => "disk",
            Self::None => "none",
        })
    }
}
