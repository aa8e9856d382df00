//! Makes keys and seals records, with a secret that no store sees.
//!
//! What this protects: whoever has the store alone learns how many records there are, which of them
//! belong to one directory, when they expire and whether they hold an ID. Not whom they are about.
//! Whoever has the key file *and* the store can try all mobile numbers, of which there are few
//! enough: keep them apart where that matters (`cache.key_file` on another volume, or a mounted
//! secret). The file may be readable by a group, as mounted secrets are, but by nobody else. An old record put back in place of a newer one of the same key is not noticed.
//!
//! AES-256-GCM-SIV, of the library that TLS is made of already, with random nonces: among 2^32
//! records two share one with odds of 1 in 2^33. Even then, or where a copied machine draws the same
//! again, it tells only whether two plaintexts under the same key of a record were equal.

mod key_file;

use std::{fmt, path::Path};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
    hkdf, hmac, rand,
};
use bytes::{BufMut as _, Bytes};
use zeroize::Zeroizing;

use super::record::{Class, DirectoryTag, FORMAT, HEADER, MAX_SEALED, Record, RecordKey};

pub use key_file::KeyFileError;

/// Length of the secret.
const SECRET: usize = 32;
/// Plaintexts are padded to multiples of this: the length then tells little of the content.
const STEP: usize = 32;
/// The plaintext's length, at its head.
const LENGTH: usize = 4;

/// A directory's full name: two that differ in any of it never share a record.
#[derive(Clone, Copy)]
pub struct DirectoryName<'a> {
    /// The tenant's name.
    pub tenant: &'a str,
    /// Where it is reached.
    pub base_url: &'a str,
    /// The app that asks.
    pub app_id: &'a str,
}

/// Tells one secret from another, and nothing else of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId(pub(super) [u8; 16]);

/// The secret's three uses, each with a key of its own. The library wipes keys when they are dropped.
pub struct Vault {
    names: hmac::Key,
    seal: LessSafeKey,
    id: KeyId,
}

impl Vault {
    /// The vault of the secret in this file, which is made if it is not there.
    ///
    /// # Errors
    /// Why the secret cannot be used, and what to do.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let secret = key_file::read_or_make(path)?;
        Self::of(&secret).map_err(|_| KeyFileError::Library)
    }

    /// The vault of this secret.
    ///
    /// # Errors
    /// The library refused, which it has no reason to.
    pub(super) fn of(secret: &[u8; SECRET]) -> Result<Self, Unspecified> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"feishu-id store 1");
        let root = salt.extract(secret);
        let names = derive::<32>(&root, b"names")?;
        let seal = derive::<32>(&root, b"seal")?;
        let id = derive::<16>(&root, b"id")?;
        Ok(Self {
            names: hmac::Key::new(hmac::HMAC_SHA256, names.as_slice()),
            seal: LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, seal.as_slice())?),
            id: KeyId(*id),
        })
    }

    /// Which secret this is: a store of another's cannot be read.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The mark of a directory's keys.
    pub fn directory(&self, name: &DirectoryName<'_>) -> DirectoryTag {
        let digest = self.digest(b"directory", name, &[]);
        DirectoryTag(digest.first_chunk().copied().unwrap_or_default())
    }

    /// The key of what these parts name in a directory: `["ab", "c"]` and `["a", "bc"]` differ.
    pub fn key(&self, directory: &DirectoryName<'_>, parts: &[&[u8]]) -> RecordKey {
        let digest = self.digest(b"record", directory, parts);
        RecordKey::new(self.directory(directory), digest)
    }

    fn digest(&self, what: &[u8], name: &DirectoryName<'_>, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = hmac::Context::with_key(&self.names);
        let DirectoryName {
            tenant,
            base_url,
            app_id,
        } = name;
        let head = [
            what,
            tenant.as_bytes(),
            base_url.as_bytes(),
            app_id.as_bytes(),
        ];
        for part in head.iter().chain(parts) {
            // Each behind its length: where one ends is never a matter of its content.
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            mac.update(&length.to_le_bytes());
            mac.update(part);
        }
        mac.sign().as_ref().try_into().unwrap_or_default()
    }

    /// Seals a plaintext under its key. `None` if it is too large for a record.
    pub fn seal(
        &self,
        key: &RecordKey,
        class: Class,
        expires_at: u64,
        plaintext: &[u8],
    ) -> Option<Record> {
        let mut record = Record {
            version: FORMAT,
            class,
            expires_at,
            sealed: Bytes::new(),
        };
        let length = u32::try_from(plaintext.len()).ok()?;
        let padded = (LENGTH + plaintext.len()).next_multiple_of(STEP);
        let mut text = Zeroizing::new(Vec::with_capacity(padded + AES_256_GCM_SIV.tag_len()));
        text.put_u32_le(length);
        text.put_slice(plaintext);
        text.resize(padded, 0);
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let about = Aad::from(about(key, &record));
        self.seal
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), about, &mut *text)
            .ok()?;
        record.sealed = [nonce.as_slice(), &text].concat().into();
        (record.sealed.len() <= MAX_SEALED).then_some(record)
    }

    /// The plaintext, if this is what was sealed under this key: `None` if anything was changed.
    pub fn open_record(&self, key: &RecordKey, record: &Record) -> Option<Zeroizing<Vec<u8>>> {
        if record.version != FORMAT {
            return None;
        }
        let (nonce, sealed) = record.sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut text = Zeroizing::new(sealed.to_vec());
        let about = Aad::from(about(key, record));
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.seal.open_in_place(nonce, about, &mut text).ok()?;
        let (length, rest) = opened.split_first_chunk::<LENGTH>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        Some(Zeroizing::new(rest.get(..length)?.to_vec()))
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(..)")
    }
}

/// What is sealed in with the plaintext without being hidden: header and key.
fn about(key: &RecordKey, record: &Record) -> [u8; HEADER + RecordKey::LENGTH] {
    let mut about = [0; HEADER + RecordKey::LENGTH];
    let (header, rest) = about.split_at_mut(HEADER);
    header.copy_from_slice(&record.header());
    rest.copy_from_slice(&key.to_bytes());
    about
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<const N: usize>(
    root: &hkdf::Prk,
    use_: &[u8],
) -> Result<Zeroizing<[u8; N]>, Unspecified> {
    let mut key = Zeroizing::new([0; N]);
    root.expand(&[use_], Length(N))?.fill(key.as_mut_slice())?;
    Ok(key)
}

#[cfg(test)]
mod tests;
