//! Where in the file each record lies: 16 bytes of memory a record, and 8 for the head of its key. Two
//! keys with the same head push each other out, which among a million records happens in one store
//! of 40 million; what is read is compared in full.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use crate::store::{Class, DirectoryTag, Record, RecordKey, Scope, Selection};

use super::format::UNIT;

/// Parts that are swept, grown and searched one at a time, so that nobody waits for long.
pub(super) const SHARDS: usize = 64;

/// Where a record lies and what must be known of it without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// Its place in the file, in units: 64 GiB can be reached.
    pub(super) at: u32,
    /// When it expires, in seconds since 1970, rounded up.
    expires: u32,
    /// Its length, in units.
    units: u16,
    /// Number of its directory.
    directory: u16,
    class: Class,
}

impl Slot {
    pub(super) fn offset(self) -> u64 {
        u64::from(self.at) * UNIT as u64
    }

    pub(super) fn length(self) -> usize {
        usize::from(self.units) * UNIT
    }

    /// Who goes first when there is no more room: who expires soonest, and the ledger last.
    fn worth(self) -> (bool, u32) {
        (self.class == Class::Ledger, self.expires)
    }
}

/// The heads of keys are drawn by a cipher that callers do not know: they need no hashing.
#[derive(Default)]
pub(super) struct Drawn(u64);

impl Hasher for Drawn {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

type Shard = HashMap<u64, Slot, BuildHasherDefault<Drawn>>;

/// All records of a file.
pub(super) struct Index {
    shards: Vec<Shard>,
    directories: Vec<DirectoryTag>,
    count: usize,
    bytes: u64,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            directories: Vec::new(),
            count: 0,
            bytes: 0,
        }
    }
}

impl Index {
    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The bytes of the file that they take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn find(&self, key: &RecordKey) -> Option<Slot> {
        let directory = self.number(key.directory())?;
        let slot = self.shards.get(shard(key.short()))?.get(&key.short())?;
        (slot.directory == directory).then_some(*slot)
    }

    /// The record under this key lies there now. False if it is beyond what can be counted.
    pub(super) fn insert(
        &mut self,
        key: &RecordKey,
        record: &Record,
        offset: u64,
        length: usize,
    ) -> bool {
        self.drop_head(key.short());
        let place = (
            u32::try_from(offset / UNIT as u64),
            u16::try_from(length / UNIT),
            self.number_or_new(key.directory()),
        );
        let (Ok(at), Ok(units), Some(directory)) = place else {
            return false;
        };
        let slot = Slot {
            at,
            expires: seconds(record.expires_at()),
            units,
            directory,
            class: record.class(),
        };
        self.place(key.short(), slot);
        true
    }

    /// Forgets the record of this key, whatever it is.
    pub(super) fn forget(&mut self, key: &RecordKey) {
        self.drop_head(key.short());
    }

    /// The same record lies elsewhere: in another file's index.
    pub(super) fn moved(&mut self, short: u64, slot: Slot, offset: u64) {
        if let Ok(at) = u32::try_from(offset / UNIT as u64) {
            self.place(short, Slot { at, ..slot });
        }
    }

    /// An index of another file for the same directories.
    pub(super) fn of_same_directories(&self) -> Self {
        Self {
            directories: self.directories.clone(),
            ..Self::default()
        }
    }

    /// Forgets what is selected, and says how many that were.
    pub(super) fn remove(&mut self, which: &Selection) -> usize {
        match &which.scope {
            Scope::Key(key) => usize::from(self.remove_one(key, which)),
            Scope::Keys(keys) => keys
                .iter()
                .filter(|key| self.remove_one(key, which))
                .count(),
            Scope::Directory(_) | Scope::Everything => {
                (0..SHARDS).map(|part| self.remove_from(part, which)).sum()
            }
        }
    }

    /// The same for the record under one of the keys that are meant: whether it was there and is gone.
    pub(super) fn remove_one(&mut self, key: &RecordKey, which: &Selection) -> bool {
        let class = self.find(key).map(|slot| slot.class);
        let found = class.is_some_and(|class| which.takes(class));
        if found {
            self.forget(key);
        }
        found
    }

    /// The same in one part.
    pub(super) fn remove_from(&mut self, part: usize, which: &Selection) -> usize {
        let only = match &which.scope {
            Scope::Directory(tag) => match self.number(*tag) {
                Some(number) => Some(number),
                None => return 0,
            },
            _ => None,
        };
        self.prune(part, |slot| {
            only.is_none_or(|number| slot.directory == number) && which.takes(slot.class)
        })
    }

    /// Forgets what has expired in one part.
    pub(super) fn expire(&mut self, part: usize, now: u64) -> usize {
        // Rounded up there and down here: nothing goes too early.
        let now = u32::try_from(now / 1000).unwrap_or(u32::MAX);
        self.prune(part, |slot| slot.expires <= now)
    }

    /// What the records of one part are worth.
    pub(super) fn worths(&self, part: usize) -> Vec<(bool, u32)> {
        let shard = self.shards.get(part);
        shard.map_or(Vec::new(), |shard| {
            shard.values().map(|slot| slot.worth()).collect()
        })
    }

    /// Forgets at most so many of one part that are worth no more than that.
    pub(super) fn evict(&mut self, part: usize, bound: (bool, u32), most: usize) -> usize {
        let mut left = most;
        self.prune(part, |slot| {
            let goes = left > 0 && slot.worth() <= bound;
            left -= usize::from(goes);
            goes
        })
    }

    /// The records of one part.
    pub(super) fn part(&self, part: usize) -> Vec<(u64, Slot)> {
        let shard = self.shards.get(part);
        shard.map_or(Vec::new(), |shard| {
            shard.iter().map(|(k, v)| (*k, *v)).collect()
        })
    }

    fn prune(&mut self, part: usize, mut goes: impl FnMut(&Slot) -> bool) -> usize {
        let Some(shard) = self.shards.get_mut(part) else {
            return 0;
        };
        let mut gone = (0, 0);
        shard.retain(|_, slot| {
            let goes = goes(slot);
            if goes {
                gone = (gone.0 + 1, gone.1 + slot.length() as u64);
            }
            !goes
        });
        // Memory follows at some distance: a part that refills does not grow again at once.
        if shard.len() < shard.capacity() / 4 {
            shard.shrink_to(shard.len() * 2);
        }
        self.count -= gone.0;
        self.bytes -= gone.1;
        gone.0
    }

    fn place(&mut self, short: u64, slot: Slot) {
        self.drop_head(short);
        if let Some(shard) = self.shards.get_mut(shard(short)) {
            shard.insert(short, slot);
            self.count += 1;
            self.bytes += slot.length() as u64;
        }
    }

    fn drop_head(&mut self, short: u64) {
        let shard = self.shards.get_mut(shard(short));
        if let Some(old) = shard.and_then(|shard| shard.remove(&short)) {
            self.count -= 1;
            self.bytes -= old.length() as u64;
        }
    }

    fn number(&self, tag: DirectoryTag) -> Option<u16> {
        let found = self.directories.iter().position(|other| *other == tag);
        found.and_then(|position| u16::try_from(position).ok())
    }

    fn number_or_new(&mut self, tag: DirectoryTag) -> Option<u16> {
        self.number(tag).or_else(|| {
            let number = u16::try_from(self.directories.len()).ok()?;
            self.directories.push(tag);
            Some(number)
        })
    }
}

/// Bits that the maps themselves use neither for the bucket nor for the tag.
fn shard(short: u64) -> usize {
    usize::try_from((short >> 40) % SHARDS as u64).unwrap_or(0)
}

fn seconds(milliseconds: u64) -> u32 {
    u32::try_from(milliseconds.div_ceil(1000)).unwrap_or(u32::MAX)
}
