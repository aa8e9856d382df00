//! Opens a store whatever lies in its directory, or says why the process must do without one. What
//! cannot be used is set aside, never deleted at once: it may be somebody's.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use tokio::sync::Semaphore;

use crate::store::{KeyFileError, KeyId, Vault};

use super::{
    DiskStore, READS, Shared,
    log::{Fault, Log, Lost},
    writer::{Upkeep, Writer},
};

const ANSWERS: &str = "answers.db";
const LOCK: &str = "answers.lock";
const SET_ASIDE: &str = "answers.db.set-aside-";
/// Most files that are kept aside.
const KEPT_ASIDE: usize = 3;

/// Where a store lies and how much it holds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its directory, which is made if it is not there.
    pub dir: PathBuf,
    /// The file with the secret, which is made if it is not there.
    pub key_file: PathBuf,
    /// Most records.
    pub capacity: usize,
}

/// A store and the vault that seals its records.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: DiskStore,
    /// The vault.
    pub vault: Vault,
    /// What to warn people of, a line each.
    pub warnings: Vec<String>,
    /// How many bytes were cut off that were being written as a process was ended: no damage.
    pub torn: u64,
}

/// Why a process must do without a store.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The directory cannot be made or used.
    #[error("the data directory {path} cannot be used: {error}", path = .0.display(), error = .1)]
    Directory(PathBuf, #[source] io::Error),
    /// Another process has the store.
    #[error("the data directory {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The secret cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The file is there and cannot be used, and could not be replaced.
    #[error("{path} cannot be used: {error}", path = .0.display(), error = .1)]
    File(PathBuf, #[source] io::Error),
}

/// Opens the store of a directory. Blocks while it reads the file through: some 80 ms for each
/// 100,000 records.
///
/// # Errors
/// Why the process must do without; nothing was changed but for a directory or a key that was made.
pub fn open(settings: &Settings) -> Result<Opened, Unavailable> {
    let Settings {
        dir,
        key_file,
        capacity,
    } = settings;
    let unusable = |error| Unavailable::Directory(dir.clone(), error);
    let mut warnings = Vec::new();
    make(dir).map_err(unusable)?;
    if others_may_write(dir).map_err(unusable)? {
        warnings.push(format!(
            "the data directory {} can be written by others than its owner: they can take away or \
             replace what is remembered",
            dir.display()
        ));
    }
    let lock = lock(dir)?;
    let vault = Vault::open(key_file)?;
    if let Some(mode) = group_may_read_ours(key_file) {
        warnings.push(format!(
            "the key file {path} can be read by its group (mode {mode:04o}): `chmod 600 {path}`, unless \
             the group is meant to",
            path = key_file.display()
        ));
    }
    let path = dir.join(ANSWERS);
    let (log, index, lost) = read_or_replace(&path, vault.id(), &mut warnings)?;
    if lost.damaged > 0 {
        warnings.push(damaged(&path, lost.damaged));
    }
    let shared = Arc::new(Shared::new(index, log.file()));
    shared.note_size(log.len());
    let writer = Writer {
        shared: shared.clone(),
        log,
        _lock: lock,
        capacity: (*capacity).max(1),
        upkeep: Upkeep::default(),
    };
    // It ends with the store, which waits for it.
    thread::Builder::new()
        .name("store".to_owned())
        .spawn(move || writer.run())
        .map_err(unusable)?;
    let store = DiskStore {
        shared,
        reads: Arc::new(Semaphore::new(READS)),
    };
    Ok(Opened {
        store,
        vault,
        warnings,
        torn: lost.torn,
    })
}

fn make(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn others_may_write(dir: &Path) -> io::Result<bool> {
    let mode = fs::metadata(dir)?.mode();
    // With the sticky bit they can add files, but touch none of ours.
    Ok(mode & 0o022 != 0 && mode & 0o1000 == 0)
}

/// The mode of a file of this process's own user that a group can read, too. Another's, such as a mounted
/// secret, cannot be changed here.
fn group_may_read_ours(file: &Path) -> Option<u32> {
    let about = fs::metadata(file).ok()?;
    let is_ours = about.uid() == rustix::process::geteuid().as_raw();
    (is_ours && about.mode() & 0o040 != 0).then_some(about.mode() & 0o7777)
}

/// A file of its own is locked, because the store's is replaced by compactions. The system frees the
/// lock whenever and however the process ends.
fn lock(dir: &Path) -> Result<File, Unavailable> {
    let path = dir.join(LOCK);
    let unusable = |error| Unavailable::Directory(dir.to_owned(), error);
    // Before it is opened: opening a pipe waits for somebody who reads.
    let kind = fs::symlink_metadata(&path).map(|about| about.file_type());
    let wrong = match kind {
        Ok(kind) if kind.is_symlink() => Some("a symbolic link"),
        Ok(kind) if !kind.is_file() => Some("not a file"),
        _ => None,
    };
    if let Some(wrong) = wrong {
        let error = io::Error::other(format!("{LOCK} is {wrong}: remove it"));
        return Err(unusable(error));
    }
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Unavailable::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

fn read_or_replace(
    path: &Path,
    key: KeyId,
    warnings: &mut Vec<String>,
) -> Result<(Log, super::Index, Lost), Unavailable> {
    let failed = |error| Unavailable::File(path.to_owned(), error);
    let fresh = || {
        let log = Log::create(path, key)?;
        Ok((log, super::Index::default(), Lost::default()))
    };
    let cause = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return fresh().map_err(failed),
        Err(error) => return Err(failed(error)),
        Ok(about) if !about.is_file() => Fault::Foreign,
        Ok(_) => match Log::open(path, key, super::now()) {
            Ok(opened) => return Ok(opened),
            Err(Fault::Io(error)) => return Err(failed(error)),
            Err(fault) => fault,
        },
    };
    let aside = set_aside(path, super::now() / 1000).map_err(failed)?;
    warnings.push(format!(
        "{} cannot be used: {cause}. It was renamed to {}, and nothing is remembered from before: \
         Feishu is asked again for everybody who is asked for",
        path.display(),
        aside.display()
    ));
    remove_oldest(path);
    fresh().map_err(failed)
}

fn damaged(path: &Path, bytes: u64) -> String {
    format!(
        "{} is damaged: its last {bytes} bytes, which had been written, cannot be read any more and were cut \
         off. What was learnt last is not remembered, and what was flushed last may be remembered again: \
         flush it once more, and see to the disk",
        path.display()
    )
}

/// Renames it after the time, or so that it is the newest.
fn set_aside(path: &Path, now: u64) -> io::Result<PathBuf> {
    let newest = aside(path)
        .last()
        .map_or(0, |(second, _)| second.saturating_add(1));
    let second = now.max(newest);
    let aside = path.with_file_name(format!("{SET_ASIDE}{second}"));
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// What was set aside, the oldest first.
fn aside(path: &Path) -> Vec<(u64, PathBuf)> {
    let Some(Ok(entries)) = path.parent().map(fs::read_dir) else {
        return Vec::new();
    };
    let second = |name: &str| name.strip_prefix(SET_ASIDE)?.parse::<u64>().ok();
    let aside = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        Some((second(entry.file_name().to_str()?)?, entry.path()))
    });
    let mut aside: Vec<_> = aside.collect();
    aside.sort_unstable();
    aside
}

/// Best effort: it is only for the room on the disk.
fn remove_oldest(path: &Path) {
    let aside = aside(path);
    let surplus = aside.len().saturating_sub(KEPT_ASIDE);
    for (_, path) in aside.into_iter().take(surplus) {
        let _kept = fs::remove_file(path);
    }
}
