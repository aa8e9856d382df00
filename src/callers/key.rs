//! Keys and their hashes. A key is text without structure, so that it fits into a header, a variable and
//! a file; what it begins with lets scanners of repositories find one that has been committed.

use std::fmt;

use aws_lc_rs::{constant_time, rand};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// What every key begins with.
const PREFIX: &str = "fid_";
/// What a hash begins with.
const ALGORITHM: &str = "sha256:";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Letters after the prefix: 62^43 is just over 2^256.
const LETTERS: usize = 43;
/// The largest multiple of 62 in a byte: what is over would make the first letters likelier.
const FAIR: u8 = 248;

/// A caller's key. Wiped when it is dropped.
pub struct Key(Zeroizing<String>);

/// The SHA-256 of a key: says whose it is, and not what it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

/// The system gives no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandomness;

impl Key {
    /// A new one.
    ///
    /// # Errors
    /// Without random numbers there is none.
    pub fn generate() -> Result<Self, NoRandomness> {
        // Room for all of it: a text that grows would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + LETTERS));
        text.push_str(PREFIX);
        let mut bytes = Zeroizing::new([0; 64]);
        while text.len() < PREFIX.len() + LETTERS {
            rand::fill(bytes.as_mut_slice()).map_err(|_| NoRandomness)?;
            let missing = PREFIX.len() + LETTERS - text.len();
            let fair = bytes.iter().filter(|byte| **byte < FAIR);
            let letters = fair.filter_map(|byte| ALPHABET.get(usize::from(byte % 62)));
            text.extend(letters.take(missing).map(|letter| char::from(*letter)));
        }
        Ok(Self(text))
    }

    /// The key itself, for whoever it is made for.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the configuration has of it.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.0.as_bytes())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(redacted)")
    }
}

impl KeyHash {
    /// The hash of a key as it was presented.
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// A hash from the configuration.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Whether both are of the same key, in a time that does not tell how alike they are.
    pub(super) fn is(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

/// As the configuration has it.
impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ALGORITHM)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(sha256)")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_key_has_256_bits_and_each_is_another() {
        let keys: Vec<_> = (0..1000).map(|_| Key::generate().unwrap()).collect();
        let mut letters: HashMap<char, usize> = HashMap::new();
        for key in &keys {
            let rest = key.expose().strip_prefix("fid_").unwrap();
            assert_eq!(rest.len(), 43);
            assert!(rest.chars().all(|c| c.is_ascii_alphanumeric()));
            rest.chars()
                .for_each(|c| *letters.entry(c).or_default() += 1);
        }
        let different: std::collections::HashSet<_> = keys.iter().map(Key::expose).collect();
        assert_eq!(different.len(), 1000);
        // 43,000 letters of 62: 694 of each; seven standard deviations are 183.
        assert_eq!(letters.len(), 62);
        for (letter, count) in letters {
            assert!((511..=877).contains(&count), "{letter}: {count}");
        }
    }

    #[test]
    fn the_hash_is_sha256_of_the_whole_key() {
        let hash = KeyHash::of(b"abc");
        assert_eq!(
            hash.to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(hash.is(&KeyHash::of(b"abc")));
        assert!(!hash.is(&KeyHash::of(b"abx")));
    }

    #[test]
    fn nothing_of_a_key_is_printed() {
        let key = Key::generate().unwrap();
        assert_eq!(format!("{key:?}"), "Key(redacted)");
        assert_eq!(format!("{:?}", key.hash()), "KeyHash(sha256)");
    }
}
