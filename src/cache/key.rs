//! What an answer is kept under: everything that changes it but for the kind of ID, in full.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use bytes::BufMut as _;
use quick_cache::Equivalent;

/// Everything that changes an answer but for the kind of ID. Never `Debug`: it is personal data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CacheKey<'a> {
    /// Which directory: a number for its tenant, base URL and app together.
    pub directory: u32,
    /// Whether people who have left count.
    pub include_resigned: bool,
    /// Who, in normal form: no e-mail address reads like a mobile number.
    pub identifier: &'a str,
}

/// An entry by its key: the entry's own memory, at whose head the key lies.
pub(super) struct StoredKey(pub(super) Arc<[u8]>);

/// What comes before the identifier: the directory, whether the resigned count, and its length.
const HEAD: usize = 4 + 1 + 2;

impl CacheKey<'_> {
    fn head(&self) -> [u8; HEAD] {
        // In normal form it has 254 bytes at most.
        let length = u16::try_from(self.identifier.len()).unwrap_or(u16::MAX);
        let mut head = [0; HEAD];
        let mut rest = head.as_mut_slice();
        rest.put_u32_le(self.directory);
        rest.put_u8(u8::from(self.include_resigned));
        rest.put_u16_le(length);
        head
    }

    /// Puts it at the head of an entry.
    pub(super) fn write(&self, entry: &mut Vec<u8>) {
        entry.extend(self.head());
        entry.extend(self.identifier.as_bytes());
    }
}

/// An entry's head, its identifier, and what comes after it. Nothing of what is no entry.
pub(super) fn split(entry: &[u8]) -> Option<(&[u8; HEAD], &[u8], &[u8])> {
    let (head, rest) = entry.split_first_chunk::<HEAD>()?;
    let [.., e, f] = *head;
    let length = usize::from(u16::from_le_bytes([e, f]));
    let (identifier, answers) = rest.split_at_checked(length)?;
    Some((head, identifier, answers))
}

impl StoredKey {
    /// Which directory it is of.
    pub(super) fn directory(&self) -> Option<u32> {
        self.0.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        match split(&self.0) {
            Some((head, identifier, _)) => (head, identifier),
            None => (&[], &[]),
        }
    }
}

// Both forms hash alike, so that one is found by the other.

impl Hash for CacheKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.head());
        state.write(self.identifier.as_bytes());
    }
}

impl Hash for StoredKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (head, identifier) = self.parts();
        state.write(head);
        state.write(identifier);
    }
}

impl PartialEq for StoredKey {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for StoredKey {}

impl Equivalent<StoredKey> for CacheKey<'_> {
    fn equivalent(&self, key: &StoredKey) -> bool {
        key.parts() == (self.head().as_slice(), self.identifier.as_bytes())
    }
}
