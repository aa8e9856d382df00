//! A file read through from its beginning, as it is opened: what it holds by now, and where it ends.

use std::io::{self, Read};

use bytes::Bytes;

use super::{
    format::{BLOCK_HEADER, Entry, FILE_HEADER, read_block_header},
    index::Index,
    log::Fault,
};

/// Reads all blocks; says where the last whole one ends.
pub(super) fn replay(
    from: &mut impl Read,
    size: u64,
    now: u64,
    index: &mut Index,
) -> Result<u64, Fault> {
    let mut at = FILE_HEADER as u64;
    loop {
        let left = size.saturating_sub(at);
        if left < BLOCK_HEADER as u64 {
            return Ok(at);
        }
        let mut header = [0; BLOCK_HEADER];
        from.read_exact(&mut header)?;
        let Some(length) = read_block_header(&header) else {
            // After a power cut a file can be longer than what was written into it.
            let never_written = header == [0; BLOCK_HEADER] && is_zero(from)?;
            return if never_written {
                Ok(at)
            } else {
                Err(Fault::Damaged(at))
            };
        };
        let whole = (BLOCK_HEADER + length) as u64;
        if whole > left {
            return Ok(at);
        }
        let mut bytes = vec![0; length];
        from.read_exact(&mut bytes)?;
        match entries(bytes.into()) {
            Some(entries) => {
                for (start, length, entry) in entries {
                    let place = at + (BLOCK_HEADER + start) as u64;
                    apply(index, entry, place, length, now);
                }
            }
            None if whole == left => return Ok(at),
            None => return Err(Fault::Damaged(at)),
        }
        at += whole;
    }
}

/// The entries of a block with place and length; `None` if one is damaged.
fn entries(mut bytes: Bytes) -> Option<Vec<(usize, usize, Entry)>> {
    let mut entries = Vec::new();
    let mut start = 0;
    while !bytes.is_empty() {
        let (entry, taken) = Entry::read(&bytes)?;
        if taken > bytes.len() {
            return None;
        }
        bytes = bytes.slice(taken..);
        entries.push((start, taken, entry));
        start += taken;
    }
    Some(entries)
}

fn apply(index: &mut Index, entry: Entry, place: u64, length: usize, now: u64) {
    match entry {
        Entry::Removal(which) => {
            index.remove(&which);
        }
        Entry::Record(key, record) if record.expires_at() > now => {
            index.insert(&key, &record, place, length);
        }
        // It took the place of an older one all the same.
        Entry::Record(key, _) => index.forget(&key),
    }
}

fn is_zero(from: &mut impl Read) -> io::Result<bool> {
    let mut bytes = [0; 4096];
    loop {
        match from.read(&mut bytes)? {
            0 => return Ok(true),
            count => {
                if bytes.iter().take(count).any(|byte| *byte != 0) {
                    return Ok(false);
                }
            }
        }
    }
}
