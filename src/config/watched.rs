//! The files that a configuration is read from: its own and those that it names. Whoever reads it again
//! and again watches them, and can tell whether what they hold is what it was.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

/// Files, each with what it held.
#[derive(Default)]
pub(super) struct Watched {
    files: Vec<PathBuf>,
    contents: Sha256,
}

/// Tells what the files of one reading held from what they hold at another. `Debug` does not show it:
/// secrets are among what it is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Watched {
    /// Notes a file, and what it holds if it could be read.
    pub(super) fn note(&mut self, path: &Path, content: Option<&[u8]>) {
        let mut part = |bytes: &[u8]| self.contents.update(Sha256::digest(bytes));
        part(path.as_os_str().as_encoded_bytes());
        match content {
            Some(content) => part(content),
            None => self.contents.update([0]),
        }
        if !self.files.iter().any(|file| file == path) {
            self.files.push(path.to_owned());
        }
    }

    pub(super) fn finish(self) -> (Vec<PathBuf>, Fingerprint) {
        (self.files, Fingerprint(self.contents.finalize().into()))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fingerprint").finish_non_exhaustive()
    }
}
