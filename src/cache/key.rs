//! What an answer is kept under: everything that changes it but for the kind of ID, in full.

use std::hash::{Hash, Hasher};

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

/// A key in one piece, as there may be millions of them.
pub(super) struct StoredKey(Box<[u8]>);

/// What comes before the identifier: the directory, and whether the resigned count.
const HEAD: usize = 4 + 1;

impl CacheKey<'_> {
    #[inline]
    fn head(&self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        let mut rest = head.as_mut_slice();
        rest.put_u32_le(self.directory);
        rest.put_u8(u8::from(self.include_resigned));
        head
    }

    pub(super) fn to_stored(self) -> StoredKey {
        StoredKey([&self.head(), self.identifier.as_bytes()].concat().into())
    }
}

impl StoredKey {
    /// Which directory it is of.
    pub(super) fn directory(&self) -> Option<u32> {
        self.0.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    #[inline]
    fn parts(&self) -> (&[u8], &[u8]) {
        self.0.split_at_checked(HEAD).unwrap_or((&self.0, &[]))
    }
}

// Both forms hash alike, so that one is found by the other. The head counts as one number, since the
// hasher is quicker with whole words, and as none where it is zero: most services have one tenant.

impl Hash for CacheKey<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(&self.head(), self.identifier.as_bytes(), state);
    }
}

impl Hash for StoredKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (head, identifier) = self.parts();
        hash(head, identifier, state);
    }
}

#[inline]
fn hash(head: &[u8], identifier: &[u8], state: &mut impl Hasher) {
    let digits = head.iter().rev();
    let head = digits.fold(0, |number, byte| number << 8 | u64::from(*byte));
    if head != 0 {
        state.write_u64(head);
    }
    state.write(identifier);
}

impl PartialEq for StoredKey {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for StoredKey {}

impl Equivalent<StoredKey> for CacheKey<'_> {
    #[inline]
    fn equivalent(&self, key: &StoredKey) -> bool {
        let (head, identifier) = key.parts();
        identifier == self.identifier.as_bytes() && *head == self.head()
    }
}
