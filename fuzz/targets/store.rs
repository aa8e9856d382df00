//! Store files: whatever lies there, the store opens, gives nobody anything that was not written for
//! them, and can be written.
#![no_main]

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use feishu_id::{
    clock,
    store::{
        self, Class, DirectoryName, Opened, RecordKey, Scope, Selection, Settings, Store as _,
    },
};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

/// Sizes of the parts that have checksums; see `store::disk::format`.
const FILE_HEADER: usize = 64;
const BLOCK_HEADER: usize = 16;
const ENTRY_HEADER: usize = 8;
const UNIT: usize = 16;

/// What all inputs share.
struct Base {
    settings: Settings,
    runtime: Runtime,
    /// The file as it was left by a process that wrote, overwrote and removed.
    image: Vec<u8>,
    /// What was ever written under each key.
    written: HashMap<RecordKey, Vec<String>>,
}

thread_local! {
    static BASE: Base = Base::new();
}

fuzz_target!(|data: &[u8]| {
    BASE.with(|base| base.try_with(data));
});

impl Base {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("feishu-id-fuzz-store-{}", std::process::id()));
        let _not_there = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let settings = Settings {
            key_file: dir.join("store.key"),
            dir,
            capacity: 10_000,
        };
        // Always the same, so that an input does the same in every process but for random nonces.
        let mut options = fs::OpenOptions::new();
        let key = options.write(true).create_new(true).mode(0o600);
        std::io::Write::write_all(&mut key.open(&settings.key_file).unwrap(), &[7; 32]).unwrap();
        let mut base = Self {
            settings,
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
            image: Vec::new(),
            written: HashMap::new(),
        };
        base.write();
        base
    }

    fn file(&self) -> PathBuf {
        self.settings.dir.join("answers.db")
    }

    fn write(&mut self) {
        let opened = store::open(&self.settings).unwrap();
        for step in 0..3 {
            for who in 0..8 {
                let key = key(&opened, who);
                let text = format!("{who} in {step}");
                put(
                    &opened,
                    key,
                    if who == 7 {
                        Class::Ledger
                    } else {
                        Class::Found
                    },
                    &text,
                );
                self.written.entry(key).or_default().push(text);
            }
            let gone = Selection {
                scope: Scope::Key(key(&opened, step)),
                negative_only: false,
            };
            self.runtime.block_on(opened.store.remove(gone)).unwrap();
        }
        drop(opened);
        self.image = fs::read(self.file()).unwrap();
    }

    fn try_with(&self, data: &[u8]) {
        let Some((how, data)) = data.split_first() else {
            return;
        };
        let mut image = match how % 3 {
            0 => data.to_vec(),
            1 => edited(&self.image, data),
            _ => composed(&self.image, data),
        };
        if how & 0x80 != 0 {
            mend_checksums(&mut image);
        }
        fs::write(self.file(), &image).unwrap();
        let opened = store::open(&self.settings).unwrap();
        self.runtime.block_on(self.check(&opened));
        drop(opened);
        remove_what_was_set_aside(&self.settings.dir);
    }

    async fn check(&self, opened: &Opened) {
        for (key, texts) in &self.written {
            let record = opened.store.get(&[*key]).await.pop().unwrap();
            // What was tampered with is not opened.
            if let Some(text) = record.and_then(|record| opened.vault.open_record(key, &record)) {
                assert!(
                    texts
                        .iter()
                        .any(|written| written.as_bytes() == text.as_slice())
                );
            }
        }
        let key = key(opened, 100);
        put(opened, key, Class::Found, "later");
        opened.store.flush().await.unwrap();
        let record = opened.store.get(&[key]).await.pop().unwrap().unwrap();
        assert_eq!(
            opened.vault.open_record(&key, &record).unwrap().as_slice(),
            b"later"
        );
    }
}

fn key(opened: &Opened, who: u64) -> RecordKey {
    let directory = DirectoryName {
        tenant: if who % 2 == 0 { "acme" } else { "globex" },
        base_url: "https://open.feishu.cn",
        app_id: "cli_a",
    };
    opened.vault.key(&directory, &[&who.to_le_bytes()])
}

fn put(opened: &Opened, key: RecordKey, class: Class, text: &str) {
    let later = clock::wall_now() + Duration::from_hours(1);
    let later = u64::try_from(later.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let record = opened
        .vault
        .seal(&key, class, later, text.as_bytes())
        .unwrap();
    opened.store.put(key, record);
}

/// The file after what the data says was done to it: an operation, a place, and what with.
fn edited(image: &[u8], data: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    for edit in data.chunks_exact(4).take(64) {
        let at = usize::from(u16::from_le_bytes([edit[1], edit[2]])) % (image.len() + 1);
        let count = usize::from(edit[3]);
        match edit[0] % 6 {
            0 if at < image.len() => image[at] ^= edit[3].max(1),
            1 => image.truncate(at),
            2 => {
                let end = (at + count).min(image.len());
                image[at..end].fill(0);
            }
            3 => {
                let end = (at + count).min(image.len());
                image.drain(at..end);
            }
            4 => {
                let end = (at + count).min(image.len());
                let again = image[at..end].to_vec();
                image.extend(again);
            }
            _ => {
                image.splice(at..at, std::iter::repeat_n(edit[3], count));
            }
        }
    }
    image
}

/// A file of one whole block with entries whose bodies are the data's: each behind its length.
fn composed(image: &[u8], mut data: &[u8]) -> Vec<u8> {
    let mut file = image[..FILE_HEADER].to_vec();
    let mut entries = Vec::new();
    while let Some((length, rest)) = data.split_first() {
        let length = usize::from(*length).min(rest.len());
        let (body, rest) = rest.split_at(length);
        entries.extend(u32::try_from(length).unwrap().to_le_bytes());
        entries.extend([0; 4]);
        entries.extend(body);
        entries.resize(entries.len().next_multiple_of(UNIT), 0);
        data = rest;
    }
    file.extend(b"blk\n");
    file.extend(u32::try_from(entries.len()).unwrap().to_le_bytes());
    file.extend([0; 8]);
    file.extend(entries);
    mend_checksums(&mut file);
    file
}

/// Puts the right checksums wherever one belongs, as far as the lengths make sense: what is behind
/// them is reached by more than chance.
fn mend_checksums(file: &mut [u8]) {
    if file.len() < FILE_HEADER {
        return;
    }
    let sum = crc32fast::hash(&file[..FILE_HEADER - 4]).to_le_bytes();
    file[FILE_HEADER - 4..FILE_HEADER].copy_from_slice(&sum);
    let mut at = FILE_HEADER;
    while at + BLOCK_HEADER <= file.len() {
        let sum = crc32fast::hash(&file[at..at + BLOCK_HEADER - 4]).to_le_bytes();
        file[at + BLOCK_HEADER - 4..at + BLOCK_HEADER].copy_from_slice(&sum);
        let length = length_at(file, at + 4);
        let end = at
            .saturating_add(BLOCK_HEADER)
            .saturating_add(length)
            .min(file.len());
        mend_entries(&mut file[at + BLOCK_HEADER..end]);
        at = end;
    }
}

fn mend_entries(entries: &mut [u8]) {
    let mut at = 0;
    while at + ENTRY_HEADER <= entries.len() {
        let body = at + ENTRY_HEADER;
        let end = body
            .saturating_add(length_at(entries, at))
            .min(entries.len());
        let sum = crc32fast::hash(&entries[body..end]).to_le_bytes();
        entries[at + 4..body].copy_from_slice(&sum);
        at = end.next_multiple_of(UNIT);
    }
}

fn length_at(bytes: &[u8], at: usize) -> usize {
    let length = bytes[at..]
        .first_chunk()
        .map_or(0, |length| u32::from_le_bytes(*length));
    usize::try_from(length).unwrap()
}

fn remove_what_was_set_aside(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.display().to_string().contains(".set-aside-") {
            fs::remove_file(path).unwrap();
        }
    }
}
