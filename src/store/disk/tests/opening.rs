//! Whatever lies in the directory.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

fn refused(scratch: &Scratch) -> String {
    open(&scratch.settings(1000)).unwrap_err().to_string()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Opens what cannot be used, and checks that it was set aside as it was.
async fn is_set_aside(scratch: &Scratch, cause: &str) {
    let before = bytes_of(&scratch.file());
    let aside = scratch.aside().len();
    let opened = scratch.open();
    let set_aside = scratch.aside();
    assert_eq!(set_aside.len(), aside + 1);
    let newest = set_aside.last().unwrap();
    assert_eq!(bytes_of(newest), before);
    let expected = format!(
        "{} cannot be used: {cause}. It was renamed to {}, and nothing is remembered from before",
        scratch.file().display(),
        newest.display()
    );
    assert_eq!(opened.warnings.len(), 1, "{:?}", opened.warnings);
    assert!(
        opened.warnings[0].starts_with(&expected),
        "{}",
        opened.warnings[0]
    );
    assert!(!opened.has("acme", "a").await);
    opened.found("acme", "a");
    drop(opened);
    let again = scratch.open();
    assert!(again.warnings.is_empty() && again.has("acme", "a").await);
}

#[tokio::test]
async fn a_missing_directory_is_made_for_its_owner_alone() {
    let scratch = Scratch::new("missing");
    let nested = Settings {
        dir: scratch.0.join("a/b"),
        ..scratch.settings(1000)
    };
    fs::create_dir(&scratch.0).unwrap();
    let opened = open(&nested).unwrap();
    assert!(opened.warnings.is_empty());
    assert_eq!(mode(&nested.dir), 0o700);
    assert_eq!(mode(&nested.dir.join("answers.db")), 0o600);
}

#[tokio::test]
async fn a_directory_that_others_can_write_is_told() {
    let scratch = Scratch::new("writable");
    fs::create_dir(&scratch.0).unwrap();
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(scratch.open().warnings[0].contains("can be written by others"));
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o1777)).unwrap();
    assert!(scratch.open().warnings.is_empty());
}

#[test]
fn a_directory_that_cannot_be_used_is_a_reason_and_no_more() {
    let scratch = Scratch::new("no-dir");
    fs::write(&scratch.0, "a file").unwrap();
    let told = refused(&scratch);
    let expected = format!(
        "the data directory {} cannot be used: ",
        scratch.0.display()
    );
    assert!(told.starts_with(&expected), "{told}");
    fs::remove_file(&scratch.0).unwrap();
    // Nobody can write there, not even root.
    let proc = Settings {
        dir: "/proc/self/feishu-id".into(),
        ..scratch.settings(1000)
    };
    let told = open(&proc).unwrap_err().to_string();
    assert!(
        told.starts_with("the data directory /proc/self/feishu-id cannot be used"),
        "{told}"
    );
    fs::create_dir(&scratch.0).unwrap();
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o500)).unwrap();
    let is_root = fs::write(scratch.0.join("probe"), "").is_ok();
    assert!(is_root || refused(&scratch).contains("ermission denied"));
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn a_store_in_use_is_left_where_it_is() {
    let scratch = Scratch::new("in-use");
    let first = scratch.open();
    first.found("acme", "a");
    let expected = format!(
        "the data directory {} is in use by another process",
        scratch.0.display()
    );
    assert_eq!(refused(&scratch), expected);
    first.flush().await;
    assert!(scratch.aside().is_empty());
    drop(first);
    assert!(scratch.open().has("acme", "a").await);
}

#[tokio::test]
async fn a_bad_key_file_is_a_reason_and_nothing_is_set_aside() {
    let scratch = Scratch::new("bad-key");
    scratch.open().found("acme", "a");
    let key = fs::read(scratch.0.join("store.key")).unwrap();
    fs::write(scratch.0.join("store.key"), "short").unwrap();
    assert!(refused(&scratch).contains("must hold 32 bytes"));
    assert!(scratch.aside().is_empty());
    fs::write(scratch.0.join("store.key"), key).unwrap();
    assert!(scratch.open().has("acme", "a").await);
}

#[tokio::test]
async fn a_store_of_another_key_is_set_aside() {
    let scratch = Scratch::new("other-key");
    scratch.open().found("acme", "a");
    fs::remove_file(scratch.0.join("store.key")).unwrap();
    is_set_aside(&scratch, "it was sealed with another key file").await;
}

#[tokio::test]
async fn what_is_no_store_is_set_aside() {
    let scratch = Scratch::new("foreign");
    drop(scratch.open());
    for content in [&b""[..], b"garbage", &[0; 5000], &[0xff; 5000]] {
        fs::write(scratch.file(), content).unwrap();
        is_set_aside(&scratch, "it is not a store of answers").await;
        for path in scratch.aside() {
            fs::remove_file(path).unwrap();
        }
    }
}

#[tokio::test]
async fn a_store_of_a_newer_format_is_set_aside() {
    let scratch = Scratch::new("newer");
    drop(scratch.open());
    let mut bytes = bytes_of(&scratch.file());
    bytes[16] = 2;
    let checksum = crc32fast::hash(&bytes[..60]).to_le_bytes();
    bytes[60..64].copy_from_slice(&checksum);
    fs::write(scratch.file(), bytes).unwrap();
    is_set_aside(
        &scratch,
        "it is of format 2, which this version does not know",
    )
    .await;
}

#[tokio::test]
async fn at_most_three_are_kept_aside_the_newest() {
    let scratch = Scratch::new("three");
    drop(scratch.open());
    for round in 0..6 {
        fs::write(scratch.file(), format!("garbage {round}")).unwrap();
        assert_eq!(scratch.open().warnings.len(), 1);
    }
    let left: Vec<_> = scratch.aside().iter().map(|path| bytes_of(path)).collect();
    assert_eq!(left, [b"garbage 3", b"garbage 4", b"garbage 5"]);
}

#[tokio::test]
async fn links_planted_at_our_names_are_not_followed() {
    let scratch = Scratch::new("links");
    fs::create_dir(&scratch.0).unwrap();
    let victim = scratch.0.join("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, scratch.file()).unwrap();
    symlink(&victim, scratch.0.join("answers.db.new")).unwrap();
    let opened = scratch.open();
    assert_eq!(opened.warnings.len(), 1);
    opened.found("acme", "a");
    drop(opened);
    assert_eq!(bytes_of(&victim), b"precious");
    fs::remove_file(scratch.0.join("answers.lock")).unwrap();
    symlink(&victim, scratch.0.join("answers.lock")).unwrap();
    assert!(refused(&scratch).contains("answers.lock is a symbolic link: remove it"));
}

#[tokio::test]
async fn what_a_broken_off_compaction_left_does_not_matter() {
    let scratch = Scratch::new("half");
    scratch.open().found("acme", "a");
    fs::write(scratch.0.join("answers.db.new"), "half of a new one").unwrap();
    let opened = scratch.open();
    assert!(opened.has("acme", "a").await);
    // The next one makes it anew.
    assert_eq!(opened.remove(Scope::Everything, false).await, 1);
    drop(opened);
    assert!(!scratch.open().has("acme", "a").await);
}

/// A pipe, which nobody writes to or reads from: opening it would wait for ever.
fn pipe(at: &Path) {
    let made = std::process::Command::new("mkfifo").arg(at).status();
    assert!(made.unwrap().success());
    fs::set_permissions(at, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn what_is_no_file_is_refused_and_never_waited_for() {
    let scratch = Scratch::new("pipes");
    fs::create_dir(&scratch.0).unwrap();
    let (key, lock) = (scratch.0.join("store.key"), scratch.0.join("answers.lock"));
    for make in [pipe, |at: &Path| fs::create_dir(at).unwrap()] {
        make(&key);
        assert!(refused(&scratch).contains("store.key is not a file"));
        assert!(
            fs::remove_file(&key)
                .or_else(|_| fs::remove_dir(&key))
                .is_ok()
        );
        fs::remove_file(&lock).unwrap();
        make(&lock);
        assert!(refused(&scratch).contains("answers.lock is not a file: remove it"));
        assert!(
            fs::remove_file(&lock)
                .or_else(|_| fs::remove_dir(&lock))
                .is_ok()
        );
    }
    // The store itself is set aside, whatever it is, and so is what a compaction would use.
    pipe(&scratch.file());
    pipe(&scratch.0.join("answers.db.new"));
    let opened = scratch.open();
    assert!(opened.warnings[0].contains("it is not a store of answers"));
    opened.found("acme", "a");
    drop(opened);
    assert!(scratch.open().has("acme", "a").await);
}

#[test]
fn a_key_file_of_our_own_that_a_group_can_read_is_told() {
    let scratch = Scratch::new("group");
    drop(scratch.open());
    let key = scratch.0.join("store.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let warnings = scratch.open().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("can be read by its group (mode 0640): `chmod 600"));
}
