//! The file as a log: blocks are only ever appended, and each is on the disk before the next is begun.
//! So after a crash only the last one can be torn, and what is damaged before it is something else.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use crate::store::{KeyId, Record, RecordKey};

use super::{
    format::{
        BLOCK_HEADER, Entry, FILE_HEADER, Header, MAX_BLOCK, MAX_ENTRY, UNIT, block_header,
        file_header, read_file_header,
    },
    index::{Index, SHARDS, Slot},
    replay::replay,
};

/// Beyond this places cannot be counted.
const MAX_FILE: u64 = (u32::MAX as u64) * UNIT as u64 - MAX_BLOCK as u64;
/// What is read ahead when all is read.
const READ_AHEAD: usize = 1024 * 1024;

/// Why a file is not a store that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// It is the system's fault, not the file's.
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is not a store of answers")]
    Foreign,
    #[error("it is of format {0}, which this version does not know")]
    Format(u32),
    #[error("it was sealed with another key file")]
    OtherKey,
    #[error("it is damaged at byte {0}")]
    Damaged(u64),
}

/// Entries that will be written together.
pub(super) struct Block(Vec<u8>);

impl Block {
    pub(super) fn new() -> Self {
        Self(vec![0; BLOCK_HEADER])
    }

    /// Appends an entry; says where in the block it begins and how long it is.
    pub(super) fn push(&mut self, entry: &Entry) -> (usize, usize) {
        let start = self.0.len();
        (start, entry.write(&mut self.0))
    }

    /// The same for an entry that has been written before.
    fn push_bytes(&mut self, entry: &[u8]) -> usize {
        let start = self.0.len();
        self.0.extend_from_slice(entry);
        start
    }

    /// Whether there is room for another entry of any size.
    pub(super) fn has_room(&self) -> bool {
        self.0.len() + MAX_ENTRY <= MAX_BLOCK
    }

    fn is_empty(&self) -> bool {
        self.0.len() == BLOCK_HEADER
    }

    fn bytes(&mut self) -> &[u8] {
        let entries = self.0.len().saturating_sub(BLOCK_HEADER);
        let header = block_header(u32::try_from(entries).unwrap_or(u32::MAX));
        if let Some(room) = self.0.first_chunk_mut() {
            *room = header;
        }
        &self.0
    }
}

/// The open file. Only its owner appends.
pub(super) struct Log {
    file: Arc<File>,
    path: PathBuf,
    key: KeyId,
    /// Where the next block begins.
    end: u64,
    /// A write failed: what lies behind the end is unknown.
    torn: bool,
    /// What the header says.
    mark: u64,
}

/// What was not there any more as a file was opened, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// Had been on the disk: something has damaged the file since.
    pub(super) damaged: u64,
    /// Was being written as a crash came.
    pub(super) torn: u64,
}

impl Log {
    /// An empty store, in place of whatever is there. It is there in full or not at all.
    pub(super) fn create(path: &Path, key: KeyId) -> io::Result<Self> {
        let mut log = Self::create_beside(path, key)?;
        log.put_in_place()?;
        Ok(log)
    }

    fn create_beside(path: &Path, key: KeyId) -> io::Result<Self> {
        let beside = beside(path);
        discard(&beside)?;
        let mut options = OpenOptions::new();
        // `create_new` follows no link.
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all_at(&file_header(key, 0), 0)?;
        Ok(Self {
            file: Arc::new(file),
            path: path.to_owned(),
            key,
            end: FILE_HEADER as u64,
            torn: false,
            mark: 0,
        })
    }

    fn put_in_place(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(beside(&self.path), &self.path)?;
        // From here on this is the store, whether or not the directory says so after a power cut.
        if let Some(directory) = self.path.parent() {
            let _unsynced = File::open(directory).and_then(|directory| directory.sync_all());
        }
        Ok(())
    }

    /// Opens a file and reads it through into an index of what has not expired.
    pub(super) fn open(path: &Path, key: KeyId, now: u64) -> Result<(Self, Index, Lost), Fault> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let size = file.metadata()?.len();
        let mut reader = BufReader::with_capacity(READ_AHEAD, &file);
        let mut header = [0; FILE_HEADER];
        if size < FILE_HEADER as u64 {
            return Err(Fault::Foreign);
        }
        reader.read_exact(&mut header)?;
        let mark = match read_file_header(&header) {
            Header::Ours(theirs, mark) if theirs == key => mark,
            Header::Ours(..) => return Err(Fault::OtherKey),
            Header::Format(format) => return Err(Fault::Format(format)),
            Header::Foreign => return Err(Fault::Foreign),
        };
        let mut index = Index::default();
        let end = replay(&mut reader, size, now, &mut index)?;
        let lost = Lost {
            damaged: mark.saturating_sub(end),
            torn: size.saturating_sub(end.max(mark)),
        };
        let mut log = Self {
            file: Arc::new(file),
            path: path.to_owned(),
            key,
            end,
            torn: false,
            mark,
        };
        if lost.damaged > 0 {
            // It is told once.
            log.note_mark()?;
        }
        if end < size || lost.damaged > 0 {
            log.file.set_len(end)?;
            log.file.sync_all()?;
        }
        Ok((log, index, lost))
    }

    /// Notes in the header how far the file is on the disk now. Nothing is waited for: a mark that is lost
    /// leaves the one before, which holds as well.
    pub(super) fn note_mark(&mut self) -> io::Result<()> {
        if self.torn || self.mark == self.end {
            return Ok(());
        }
        // One sector, which a disk writes whole.
        self.file
            .write_all_at(&file_header(self.key, self.end), 0)?;
        self.mark = self.end;
        Ok(())
    }

    /// Appends a block. It is on the disk when this returns its place.
    pub(super) fn append(&mut self, block: &mut Block) -> io::Result<u64> {
        if self.torn {
            // A shorter block over a longer torn one would leave the rest of that behind it.
            self.file.set_len(self.end)?;
            self.torn = false;
        }
        self.torn = true;
        let place = self.write(block)?;
        if let Err(error) = self.file.sync_data() {
            self.end = place;
            return Err(error);
        }
        self.torn = false;
        Ok(place)
    }

    #[cfg(test)]
    pub(super) fn leave_torn(&mut self, bytes: &[u8]) {
        assert!(self.file.write_all_at(bytes, self.end).is_ok());
        self.torn = true;
    }

    fn write(&mut self, block: &mut Block) -> io::Result<u64> {
        let place = self.end;
        let bytes = block.bytes();
        let length = bytes.len() as u64;
        if place.saturating_add(length) > MAX_FILE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.file.write_all_at(bytes, place)?;
        self.end = place + length;
        Ok(place)
    }

    /// The file, for reading what an index says.
    pub(super) fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    /// Its length.
    pub(super) fn len(&self) -> u64 {
        self.end
    }

    /// Copies what the index knows into a file of its own, which takes the place of this one. `None`
    /// if `stop` said to stop; then nothing has changed.
    pub(super) fn compact(
        &self,
        records: Vec<(u64, Slot)>,
        index: Index,
        stop: impl FnMut() -> bool,
    ) -> io::Result<Option<(Self, Index)>> {
        let copied = self.copy(records, index, stop);
        if !matches!(copied, Ok(Some(_))) {
            // On a full disk above all, half a copy must not stay. What cannot be removed now, the
            // next one removes.
            let _later = discard(&beside(&self.path));
        }
        copied
    }

    fn copy(
        &self,
        records: Vec<(u64, Slot)>,
        mut index: Index,
        mut stop: impl FnMut() -> bool,
    ) -> io::Result<Option<(Self, Index)>> {
        let mut new = Self::create_beside(&self.path, self.key)?;
        let mut block = Block::new();
        let mut placed = Vec::new();
        for (short, slot) in records {
            // What cannot be read is not taken along: it would not be found either.
            let Some(bytes) = read_bytes(&self.file, slot) else {
                continue;
            };
            placed.push((short, slot, block.push_bytes(&bytes)));
            if !block.has_room() {
                if stop() {
                    return Ok(None);
                }
                new.write_copies(&mut block, &mut placed, &mut index)?;
            }
        }
        new.write_copies(&mut block, &mut placed, &mut index)?;
        new.put_in_place()?;
        Ok(Some((new, index)))
    }

    fn write_copies(
        &mut self,
        block: &mut Block,
        placed: &mut Vec<(u64, Slot, usize)>,
        index: &mut Index,
    ) -> io::Result<()> {
        if block.is_empty() {
            return Ok(());
        }
        let place = self.write(block)?;
        for (short, slot, start) in placed.drain(..) {
            index.moved(short, slot, place + start as u64);
        }
        *block = Block::new();
        Ok(())
    }
}

/// The records of an index in the order of the file, a part at a time.
pub(super) fn in_file_order(mut part: impl FnMut(usize) -> Vec<(u64, Slot)>) -> Vec<(u64, Slot)> {
    let mut records: Vec<_> = (0..SHARDS).flat_map(&mut part).collect();
    records.sort_unstable_by_key(|(_, slot)| slot.at);
    records
}

/// The record at this place with its key; `None` if it is damaged or cannot be read.
pub(super) fn read(file: &File, slot: Slot) -> Option<(RecordKey, Record)> {
    match Entry::read(&read_bytes(file, slot)?)?.0 {
        Entry::Record(key, record) => Some((key, record)),
        Entry::Removal(_) => None,
    }
}

fn read_bytes(file: &File, slot: Slot) -> Option<Bytes> {
    let mut bytes = vec![0; slot.length()];
    file.read_exact_at(&mut bytes, slot.offset()).ok()?;
    let bytes = Bytes::from(bytes);
    let (_, taken) = Entry::read(&bytes)?;
    (taken == bytes.len()).then_some(bytes)
}

/// Where a new file is made before it takes its place.
fn beside(path: &Path) -> PathBuf {
    path.with_extension("db.new")
}

/// Removes what a crash may have left there.
fn discard(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
