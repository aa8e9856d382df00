//! The files that a tenant's settings name. Each is read once, when the configuration is.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::config::{Origin, beside, reader::Reader};

/// Most that is read of a secret's file, in bytes. Feishu's secrets have 32; whoever names a larger
/// file has named the wrong one.
const MAX_SECRET: u64 = 4096;

/// Most that is read of a certificate file, in bytes. A whole system's bundle has some 250 kB.
pub(in crate::config) const MAX_CERTIFICATES: u64 = 4 * 1024 * 1024;

/// The secret in a file, without the newline that editors put at its end.
pub(super) fn read_secret(
    reader: &mut Reader,
    path: &Path,
    origin: &Origin,
) -> Result<SecretString, String> {
    let name = path;
    let path = beside(path, origin);
    if looks_like_a_secret(name) && !path.exists() {
        return Err(
            "expected the path of a file that holds the secret, found what looks like the secret \
             itself: name the file, or use app_secret"
                .to_owned(),
        );
    }
    let bytes = reader.file(&path, MAX_SECRET)?;
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Err(format!("{} is not a text", path.display()));
    };
    match text.trim_end_matches(['\n', '\r']) {
        secret if secret.trim().is_empty() => Err(format!("{} is empty", path.display())),
        secret => Ok(SecretString::from(secret)),
    }
}

/// Whether it is no path but a secret in its place, which a message about the path would repeat:
/// Feishu's have 32 letters and digits.
fn looks_like_a_secret(path: &Path) -> bool {
    let path = path.as_os_str().as_encoded_bytes();
    path.len() == 32 && path.iter().all(u8::is_ascii_alphanumeric)
}

/// The certificates (PEM) in the file that `key` names, if it names one.
pub(super) fn read_certificates(reader: &mut Reader, key: &str) -> Option<Vec<u8>> {
    let (path, origin) = reader.optional::<PathBuf>(key)?;
    let path = beside(&path, &origin);
    let read = reader.file(&path, MAX_CERTIFICATES).and_then(|bytes| {
        let pem = String::from_utf8_lossy(&bytes).contains("-----BEGIN CERTIFICATE-----");
        if pem {
            Ok(bytes.to_vec())
        } else {
            Err(format!(
                "{} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)",
                path.display()
            ))
        }
    });
    read.map_err(|message| reader.error(key, &origin, message))
        .ok()
}

/// The whole of a file that is not too long. Wiped when it is dropped: it may be a secret.
pub(in crate::config) fn read_at_most(
    path: &Path,
    limit: u64,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .and_then(|file| {
            // Room for all of it from the start: what is moved leaves a copy behind.
            let size = file.metadata()?.len().min(limit) + 1;
            bytes.reserve_exact(usize::try_from(size).unwrap_or(0));
            file.take(limit + 1).read_to_end(&mut bytes)
        })
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > limit) {
        return Err(format!(
            "{} is larger than {limit} bytes: is it the right file?",
            path.display()
        ));
    }
    Ok(bytes)
}
