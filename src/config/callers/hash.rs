//! The hash of a key, as `feishu-id keys new` prints it. No secret: who has it cannot call.

use std::fmt::Write as _;

use crate::config::value::{Raw, Value, quote};

/// What it begins with.
const ALGORITHM: &str = "sha256:";

/// The SHA-256 of a key.
#[derive(Clone, Copy)]
pub(super) struct Hash(pub(super) [u8; 32]);

impl Value for Hash {
    fn parse(raw: &Raw) -> Result<Self, String> {
        let text = String::parse(raw)?;
        if let Some(hash) = text.strip_prefix(ALGORITHM).and_then(bytes) {
            return Ok(Self(hash));
        }
        // Whatever else is long enough and starts like no hash may be a key; it is never repeated.
        if text.starts_with("fid_") {
            return Err(
                "is a key, and here goes its hash; whoever could read this knows the key now: make \
                 a new one by `feishu-id keys new`, which prints the line to put here"
                    .to_owned(),
            );
        }
        Err(
            "expected \"sha256:\" and 64 hexadecimal digits, as `feishu-id keys new` prints \
             them; never a key itself"
                .to_owned(),
        )
    }

    fn show(&self) -> String {
        let mut text = ALGORITHM.to_owned();
        for byte in self.0 {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        quote(&text)
    }
}

fn bytes(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}
