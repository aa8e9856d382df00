#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
};

use super::*;

const ACME: DirectoryName<'_> = DirectoryName {
    tenant: "acme",
    base_url: "https://open.feishu.cn",
    app_id: "cli_a",
};

fn vault(seed: u8) -> Vault {
    Vault::of(&[seed; SECRET]).unwrap()
}

/// A directory of a test's own.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("feishu-id-vault-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn key(&self) -> PathBuf {
        self.0.join("store.key")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_was_sealed_is_opened_again() {
    let vault = vault(1);
    let key = vault.key(&ACME, &[b"a@example.com"]);
    for length in [0, 1, 27, 28, 29, 60, 1000, 16_000] {
        let text = vec![7; length];
        let record = vault.seal(&key, Class::Mixed, 5, &text).unwrap();
        assert_eq!((record.class(), record.expires_at()), (Class::Mixed, 5));
        assert_eq!(*vault.open_record(&key, &record).unwrap(), text);
        let again = Record::from_bytes(&record.to_bytes()).unwrap();
        assert_eq!(again, record);
    }
    assert!(
        vault
            .seal(&key, Class::Found, 5, &vec![0; MAX_SEALED])
            .is_none()
    );
}

#[test]
fn a_record_with_any_byte_changed_is_not_opened() {
    let vault = vault(1);
    let key = vault.key(&ACME, &[b"a@example.com"]);
    let genuine = vault
        .seal(&key, Class::Found, 99, b"ou_1")
        .unwrap()
        .to_bytes();
    for position in 0..genuine.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = genuine.to_vec();
            bytes[position] ^= flip;
            let opened = Record::from_bytes(&bytes.into())
                .and_then(|record| vault.open_record(&key, &record));
            assert!(opened.is_none(), "byte {position} was changed unnoticed");
        }
    }
    for length in 0..genuine.len() {
        let opened = Record::from_bytes(&genuine.slice(..length))
            .and_then(|record| vault.open_record(&key, &record));
        assert!(opened.is_none(), "cut to {length} bytes unnoticed");
    }
}

#[test]
fn a_record_under_another_key_or_of_another_secret_is_not_opened() {
    let ours = vault(1);
    let (a, b) = (ours.key(&ACME, &[b"a"]), ours.key(&ACME, &[b"b"]));
    let record = ours.seal(&a, Class::Found, 99, b"ou_1").unwrap();
    assert!(ours.open_record(&a, &record).is_some());
    assert!(ours.open_record(&b, &record).is_none());
    assert!(vault(2).open_record(&a, &record).is_none());
    let newer = Record {
        version: FORMAT + 1,
        ..record
    };
    assert!(ours.open_record(&a, &newer).is_none());
}

#[test]
fn keys_differ_in_whatever_their_parts_differ_in() {
    let vault = vault(1);
    let key = |parts: &[&[u8]]| vault.key(&ACME, parts);
    assert_eq!(key(&[b"ab", b"c"]), key(&[b"ab", b"c"]));
    assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
    assert_ne!(key(&[b"ab"]), key(&[b"ab", b""]));
    let shifted = DirectoryName {
        tenant: "acmeh",
        base_url: "ttps://open.feishu.cn",
        ..ACME
    };
    let others = [
        DirectoryName {
            tenant: "acm",
            ..ACME
        },
        DirectoryName {
            base_url: "https://open.larksuite.com",
            ..ACME
        },
        DirectoryName {
            app_id: "cli_b",
            ..ACME
        },
        shifted,
    ];
    for other in others {
        assert_ne!(vault.directory(&other), vault.directory(&ACME));
        assert_ne!(
            vault.key(&other, &[b"a"]).to_bytes()[8..],
            key(&[b"a"]).to_bytes()[8..]
        );
    }
    assert_ne!(super::tests::vault(2).key(&ACME, &[b"a"]), key(&[b"a"]));
    let bytes = key(&[b"a"]).to_bytes();
    assert_eq!(RecordKey::from_bytes(&bytes), Some(key(&[b"a"])));
    assert_eq!(bytes[..8], vault.directory(&ACME).0);
}

#[test]
fn neither_lengths_nor_repeats_tell_much() {
    let vault = vault(1);
    let key = vault.key(&ACME, &[b"a"]);
    let seal = |text: &[u8]| vault.seal(&key, Class::Found, 1, text).unwrap().to_bytes();
    assert_eq!(seal(b"").len(), seal(&[1; STEP - LENGTH]).len());
    assert_eq!(seal(b"").len() + STEP, seal(&[1; STEP - LENGTH + 1]).len());
    assert_ne!(seal(b"x"), seal(b"x"));
}

#[test]
fn debug_shows_neither_secret_nor_key() {
    let vault = vault(0xab);
    let key = vault.key(&ACME, &[b"a"]);
    let record = vault.seal(&key, Class::Found, 1, b"ou_1").unwrap();
    let shown = format!("{vault:?} {key:?} {record:?} {:?}", vault.directory(&ACME));
    let expected = "Vault(..) RecordKey(..) Record { class: Found, expires_at: 1, .. } \
                    DirectoryTag(..)";
    assert_eq!(shown, expected);
}

#[test]
fn a_key_file_is_made_once_for_its_owner_alone() {
    let scratch = Scratch::new("made");
    let first = Vault::open(&scratch.key()).unwrap();
    let about = fs::metadata(scratch.key()).unwrap();
    assert_eq!(
        (about.permissions().mode() & 0o7777, about.len()),
        (0o600, 32)
    );
    assert_eq!(Vault::open(&scratch.key()).unwrap().id(), first.id());
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1);
    let other = Scratch::new("made-other");
    assert_ne!(Vault::open(&other.key()).unwrap().id(), first.id());
}

#[test]
fn processes_that_start_together_agree_on_one_key() {
    let scratch = Scratch::new("together");
    let open = || Vault::open(&scratch.key()).unwrap().id();
    let ids: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[test]
fn a_key_file_that_others_can_read_or_of_another_length_is_refused() {
    let scratch = Scratch::new("refused");
    let told = || Vault::open(&scratch.key()).unwrap_err().to_string();
    let path = scratch.key().display().to_string();
    for length in [0, 31, 33, 4000] {
        fs::write(scratch.key(), vec![1; length]).unwrap();
        fs::set_permissions(scratch.key(), fs::Permissions::from_mode(0o600)).unwrap();
        let expected = format!("the key file {path} must hold 32 bytes and nothing else");
        assert!(told().starts_with(&expected), "{}", told());
    }
    fs::write(scratch.key(), [1; 32]).unwrap();
    for mode in [0o604, 0o620, 0o660, 0o644, 0o444, 0o601] {
        fs::set_permissions(scratch.key(), fs::Permissions::from_mode(mode)).unwrap();
        assert!(
            told().contains(&format!("(mode {mode:04o}): `chmod 600 {path}`")),
            "{}",
            told()
        );
    }
    // As Kubernetes mounts secrets.
    for mode in [0o400, 0o440, 0o640] {
        fs::set_permissions(scratch.key(), fs::Permissions::from_mode(mode)).unwrap();
        assert!(Vault::open(&scratch.key()).is_ok(), "{mode:04o}");
    }
}

#[test]
fn a_link_planted_in_its_place_is_not_followed_when_a_key_is_made() {
    let scratch = Scratch::new("link");
    let elsewhere = scratch.0.join("elsewhere");
    symlink(&elsewhere, scratch.key()).unwrap();
    assert!(matches!(
        Vault::open(&scratch.key()),
        Err(KeyFileError::Read(..))
    ));
    assert!(!elsewhere.exists());
    // A mounted secret is a link to what is there.
    fs::write(&elsewhere, [1; 32]).unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(Vault::open(&scratch.key()).unwrap().id(), vault(1).id());
}
