//! The bytes of the file: a header, then blocks, each of them what was written at one time.
//!
//! ```text
//! file   = header block*
//! header = magic, format, key ID, mark, checksum of these
//! block  = magic, length of the entries, checksum of these; entry*
//! entry  = length, checksum of the body, body, zeros up to a multiple of 16
//! body   = 1, key, record  |  2, selection (whether only negative ones; nothing, a directory, or keys)
//! ```
//!
//! The mark is a length up to which the file was on the disk at some time, so that what is cut off by a
//! crash can be told from what is damaged. A block counts whole or not at all. Numbers are little-endian.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes};

use crate::store::{
    DirectoryTag, KeyId, MAX_SEALED, Record, RecordKey, Scope, Selection, record::HEADER,
};

/// Everything in the file begins at a multiple of this: a place is counted in it.
pub(super) const UNIT: usize = 16;
/// Length of the file's header.
pub(super) const FILE_HEADER: usize = 64;
/// Length of a block's header.
pub(super) const BLOCK_HEADER: usize = UNIT;
/// Length and checksum before each body.
pub(super) const ENTRY_HEADER: usize = 8;
/// Most bytes of a block's entries.
pub(super) const MAX_BLOCK: usize = 4 * 1024 * 1024;
/// Most bytes of one entry.
pub(super) const MAX_ENTRY: usize =
    (ENTRY_HEADER + 1 + RecordKey::LENGTH + HEADER + MAX_SEALED).next_multiple_of(UNIT);

/// Most keys of one removal: 2 MB.
pub(super) const MAX_KEYS: usize = 50_000;

const MAGIC: &[u8; 16] = b"feishu-id store\n";
const FORMAT: u32 = 1;
const BLOCK: u32 = u32::from_le_bytes(*b"blk\n");
const RECORD: u8 = 1;
const REMOVAL: u8 = 2;

/// What a file's header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// A store of this format, sealed with that key, and its mark.
    Ours(KeyId, u64),
    /// A store of another format.
    Format(u32),
    /// Something else, or damaged.
    Foreign,
}

pub(super) fn file_header(key: KeyId, mark: u64) -> [u8; FILE_HEADER] {
    let mut header = [0; FILE_HEADER];
    let (text, checksum) = header.split_at_mut(FILE_HEADER - 4);
    let mut rest = &mut *text;
    rest.put_slice(MAGIC);
    rest.put_u32_le(FORMAT);
    rest.put_slice(&key.0);
    rest.put_u64_le(mark);
    checksum.copy_from_slice(&crc32fast::hash(text).to_le_bytes());
    header
}

pub(super) fn read_file_header(header: &[u8; FILE_HEADER]) -> Header {
    let Some((text, checksum)) = header.split_last_chunk::<4>() else {
        return Header::Foreign;
    };
    if crc32fast::hash(text) != u32::from_le_bytes(*checksum) || !text.starts_with(MAGIC) {
        return Header::Foreign;
    }
    let rest = text.get(MAGIC.len()..).unwrap_or_default();
    let Some((format, rest)) = rest.split_first_chunk() else {
        return Header::Foreign;
    };
    let format = u32::from_le_bytes(*format);
    match rest.split_first_chunk() {
        Some((key, rest)) if format == FORMAT => {
            let mark = rest.first_chunk().copied().unwrap_or_default();
            Header::Ours(KeyId(*key), u64::from_le_bytes(mark))
        }
        _ => Header::Format(format),
    }
}

/// A block's header, for entries of that length.
pub(super) fn block_header(length: u32) -> [u8; BLOCK_HEADER] {
    let mut header = [0; BLOCK_HEADER];
    let (text, checksum) = header.split_at_mut(BLOCK_HEADER - 4);
    let mut rest = &mut *text;
    rest.put_u32_le(BLOCK);
    rest.put_u32_le(length);
    checksum.copy_from_slice(&crc32fast::hash(text).to_le_bytes());
    header
}

/// The length of a block's entries, if this is a block's header.
pub(super) fn read_block_header(header: &[u8; BLOCK_HEADER]) -> Option<usize> {
    let (text, checksum) = header.split_last_chunk::<4>()?;
    let (magic, rest) = text.split_first_chunk::<4>()?;
    let whole = crc32fast::hash(text) == u32::from_le_bytes(*checksum);
    let ours = whole && u32::from_le_bytes(*magic) == BLOCK;
    let length = usize::try_from(u32::from_le_bytes(*rest.first_chunk()?)).ok()?;
    (ours && length <= MAX_BLOCK && length.is_multiple_of(UNIT)).then_some(length)
}

/// What an entry says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// From now on this lies under that key.
    Record(RecordKey, Record),
    /// From now on these are gone.
    Removal(Selection),
}

impl Entry {
    /// Appends the entry, and says how many bytes that took.
    pub(super) fn write(&self, to: &mut Vec<u8>) -> usize {
        let start = to.len();
        to.put_bytes(0, ENTRY_HEADER);
        match self {
            Self::Record(key, record) => {
                to.put_u8(RECORD);
                to.put_slice(&key.to_bytes());
                to.put_slice(&record.to_bytes());
            }
            Self::Removal(selection) => {
                to.put_u8(REMOVAL);
                to.put_u8(u8::from(selection.negative_only));
                match &selection.scope {
                    Scope::Everything => {}
                    Scope::Directory(DirectoryTag(tag)) => to.put_slice(tag),
                    Scope::Key(key) => to.put_slice(&key.to_bytes()),
                    Scope::Keys(keys) => {
                        for key in keys.iter() {
                            to.put_slice(&key.to_bytes());
                        }
                    }
                }
            }
        }
        let body = to.get(start + ENTRY_HEADER..).unwrap_or_default();
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let checksum = crc32fast::hash(body);
        if let Some(mut header) = to.get_mut(start..start + ENTRY_HEADER) {
            header.put_u32_le(length);
            header.put_u32_le(checksum);
        }
        to.resize(to.len().next_multiple_of(UNIT), 0);
        to.len() - start
    }

    /// The entry at the head of these bytes and how many it takes; `None` if it is damaged.
    pub(super) fn read(bytes: &Bytes) -> Option<(Self, usize)> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (checksum, _) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let taken = length.checked_add(ENTRY_HEADER)?;
        if taken > bytes.len() {
            return None;
        }
        let body = bytes.slice(ENTRY_HEADER..taken);
        let whole = crc32fast::hash(&body) == u32::from_le_bytes(*checksum);
        let entry = whole.then(|| Self::read_body(&body)).flatten()?;
        Some((entry, taken.next_multiple_of(UNIT)))
    }

    fn read_body(body: &Bytes) -> Option<Self> {
        match body.split_first()? {
            (&RECORD, rest) => {
                let (key, _) = rest.split_first_chunk()?;
                let record = Record::from_bytes(&body.slice(1 + RecordKey::LENGTH..))?;
                Some(Self::Record(RecordKey::from_bytes(key)?, record))
            }
            (&REMOVAL, [negative_only, scope @ ..]) => {
                let scope = match scope {
                    [] => Scope::Everything,
                    scope => match scope.try_into() {
                        Ok(tag) => Scope::Directory(DirectoryTag(tag)),
                        Err(_) => keys(scope)?,
                    },
                };
                Some(Self::Removal(Selection {
                    scope,
                    negative_only: *negative_only != 0,
                }))
            }
            _ => None,
        }
    }
}

fn keys(bytes: &[u8]) -> Option<Scope> {
    let (keys, rest) = bytes.as_chunks::<{ RecordKey::LENGTH }>();
    if !rest.is_empty() {
        return None;
    }
    if let [key] = keys {
        return Some(Scope::Key(RecordKey::from_bytes(key)?));
    }
    let keys: Option<_> = keys.iter().map(RecordKey::from_bytes).collect();
    Some(Scope::Keys(Arc::new(keys?)))
}
