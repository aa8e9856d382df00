//! What a store keeps: opaque keys, and sealed bytes behind a clear header. The header says only what
//! a store must know to keep house, and is authenticated with the bytes.

use std::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};

/// The form of records that this version writes and reads.
pub(super) const FORMAT: u8 = 1;
/// Version, class, expiry.
pub(super) const HEADER: usize = 1 + 1 + 8;
/// Most sealed bytes of a record. An answer of three kinds takes some 200; thousands are a mistake.
pub const MAX_SEALED: usize = 16 * 1024;

/// A directory's mark at the head of its keys, so that its records can be told from others'.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DirectoryTag(pub(super) [u8; 8]);

/// Where a record lies: its directory's tag, then an HMAC of whom and what it is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordKey {
    directory: DirectoryTag,
    digest: [u8; 32],
}

impl RecordKey {
    /// Its length in bytes.
    pub const LENGTH: usize = 40;

    pub(super) fn new(directory: DirectoryTag, digest: [u8; 32]) -> Self {
        Self { directory, digest }
    }

    /// Whose record it is.
    pub fn directory(&self) -> DirectoryTag {
        self.directory
    }

    /// The key as one string of bytes: what a store files it under.
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let (head, tail) = bytes.split_at_mut(self.directory.0.len());
        head.copy_from_slice(&self.directory.0);
        tail.copy_from_slice(&self.digest);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::LENGTH]) -> Option<Self> {
        let (directory, rest) = bytes.split_first_chunk()?;
        Some(Self::new(DirectoryTag(*directory), rest.try_into().ok()?))
    }

    /// Eight bytes that differ from key to key as if drawn: an HMAC's.
    pub(super) fn short(&self) -> u64 {
        let first = self.digest.first_chunk().copied();
        u64::from_le_bytes(first.unwrap_or_default())
    }
}

impl fmt::Debug for DirectoryTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DirectoryTag(..)")
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordKey(..)")
    }
}

/// What a record holds, as far as whoever removes records must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// Only IDs.
    Found = 1,
    /// Only answers that are not an ID.
    Negative = 2,
    /// Both.
    Mixed = 3,
    /// What has been spent; no answer.
    Ledger = 4,
}

impl Class {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        let all = [Self::Found, Self::Negative, Self::Mixed, Self::Ledger];
        all.into_iter().find(|class| *class as u8 == byte)
    }
}

/// One record. Only a [`Vault`](super::Vault) makes and opens it.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    pub(super) version: u8,
    pub(super) class: Class,
    pub(super) expires_at: u64,
    pub(super) sealed: Bytes,
}

impl Record {
    /// What it holds.
    pub fn class(&self) -> Class {
        self.class
    }

    /// From when on it is not given any more, in milliseconds of the wall clock since 1970.
    pub fn expires_at(&self) -> u64 {
        self.expires_at
    }

    pub(super) fn header(&self) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        let mut rest = header.as_mut_slice();
        rest.put_u8(self.version);
        rest.put_u8(self.class as u8);
        rest.put_u64_le(self.expires_at);
        header
    }

    /// The record as one string of bytes: what a store keeps.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(HEADER + self.sealed.len());
        bytes.put_slice(&self.header());
        bytes.put_slice(&self.sealed);
        bytes.freeze()
    }

    /// The record in these bytes, unless they are of another form. Whether they are genuine is for
    /// the vault to say.
    pub fn from_bytes(bytes: &Bytes) -> Option<Self> {
        let (header, sealed) = bytes.split_first_chunk::<HEADER>()?;
        let [version, class, expires_at @ ..] = header;
        let known = *version == FORMAT && sealed.len() <= MAX_SEALED;
        known.then_some(())?;
        Some(Self {
            version: *version,
            class: Class::from_byte(*class)?,
            expires_at: u64::from_le_bytes(*expires_at),
            sealed: bytes.slice(HEADER..),
        })
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("class", &self.class)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
