//! The file with the secret: made once, for its owner's eyes only.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::SECRET;

type Secret = Zeroizing<[u8; SECRET]>;

/// Why the secret cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("the key file {path} cannot be read: {error}", path = .0.display(), error = .1)]
    Read(PathBuf, #[source] io::Error),
    /// There is none, and none can be made.
    #[error("the key file {path} cannot be made: {error}", path = .0.display(), error = .1)]
    Make(PathBuf, #[source] io::Error),
    /// It is a pipe, a device or a directory, which might never end, or never begin.
    #[error("the key file {} is not a file: name another, or remove it to have one made", .0.display())]
    NotAFile(PathBuf),
    /// Others can read it, or its group can replace it.
    #[error(
        "the key file {path} can be read or written by others than its owner (mode {mode:04o}): \
         `chmod 600 {path}`, or make a new one by removing it",
        path = .path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It holds something else.
    #[error(
        "the key file {} must hold {SECRET} bytes and nothing else: name another, or remove it \
         to have one made",
        .0.display()
    )]
    Length(PathBuf),
    /// No random numbers, or no memory.
    #[error("the cryptographic library refused")]
    Library,
}

pub(super) fn read_or_make(path: &Path) -> Result<Secret, KeyFileError> {
    match read(path) {
        Err(KeyFileError::Read(_, error)) if error.kind() == io::ErrorKind::NotFound => {
            make(path)?;
            // What is read is what lies there, also where another process was faster.
            read(path)
        }
        read => read,
    }
}

/// Symbolic links are followed here: mounted secrets are some. Kubernetes mounts them as root's, readable by
/// a group that the process is in (mode 0440), on a volume where nobody can change that: so a group may
/// read it, and only a group. Whoever opens the store warns where that can be mended.
fn read(path: &Path) -> Result<Secret, KeyFileError> {
    let failed = |error| KeyFileError::Read(path.to_owned(), error);
    // Before it is opened: opening a pipe waits for somebody who writes.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(KeyFileError::NotAFile(path.to_owned()));
    }
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    let mode = about.mode() & 0o7777;
    if mode & 0o027 != 0 {
        let path = path.to_owned();
        return Err(KeyFileError::Exposed { path, mode });
    }
    // One byte more than is right, into room that is never moved: no copy of it stays behind.
    let mut bytes = Zeroizing::new([0; SECRET + 1]);
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match (&file).read(room) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    match bytes.first_chunk() {
        Some(secret) if filled == SECRET => Ok(Zeroizing::new(*secret)),
        _ => Err(KeyFileError::Length(path.to_owned())),
    }
}

/// Written in full beside its place and then linked into it: a key file is whole or not there, none
/// is ever replaced, and a link planted in its place is not followed.
fn make(path: &Path) -> Result<(), KeyFileError> {
    let failed = |error| KeyFileError::Make(path.to_owned(), error);
    let mut secret = Zeroizing::new([0; SECRET]);
    let mut suffix = [0; 8];
    rand::fill(secret.as_mut_slice()).map_err(|_| KeyFileError::Library)?;
    rand::fill(&mut suffix).map_err(|_| KeyFileError::Library)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{:016x}", u64::from_le_bytes(suffix)));
    let beside = PathBuf::from(beside);
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(secret.as_slice())?;
        file.sync_all()
    };
    let made = write().and_then(|()| match fs::hard_link(&beside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    // It holds a secret that is either in its place now or of no use.
    let _gone = fs::remove_file(&beside);
    made.map_err(failed)?;
    let parent = path.parent().filter(|parent| parent != &Path::new(""));
    File::open(parent.unwrap_or(Path::new(".")))
        .and_then(|directory| directory.sync_all())
        .map_err(failed)
}
