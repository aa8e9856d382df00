//! Configuration files: mistakes are told with their place, secrets never, and what `check-config`
//! prints means the same again.
#![no_main]

use std::{path::PathBuf, sync::LazyLock};

use feishu_id::config::{Config, Loaded, Sources};
use libfuzzer_sys::{Corpus, fuzz_target};

/// Stands in the file as a secret, and nowhere else.
const SECRET: &str = "zq7-the-secret";

static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("feishu-id-fuzz-config-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    // What the file names by a relative path is looked for here.
    std::env::set_current_dir(&dir).unwrap();
    dir
});

fuzz_target!(|text: &str| -> Corpus {
    if leads_out(text) || text.contains(SECRET) {
        return Corpus::Reject;
    }
    // Before the text, so that no quote of the text is open there.
    let file = format!("[tenants.zq]\napp_id = \"a\"\napp_secret = \"{SECRET}\"\n{text}");
    match load(&file) {
        Err(errors) => {
            assert!(!errors.is_empty());
            assert!(!errors.contains(SECRET), "{errors}");
        }
        Ok(loaded) => {
            let printed = loaded.effective().to_string();
            assert!(!printed.contains(SECRET), "{printed}");
            assert!(!format!("{loaded:?}").contains(SECRET));
            assert!(
                loaded
                    .warnings
                    .iter()
                    .all(|warning| !warning.contains(SECRET))
            );
            let again = load(&printed).unwrap_or_else(|errors| panic!("{errors}\n{printed}"));
            assert_eq!(values(&printed), values(&again.effective().to_string()));
        }
    }
    Corpus::Keep
});

/// Whether it may name a file outside of the directory, which is not to be opened: devices are files.
fn leads_out(text: &str) -> bool {
    let begins = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
    let mut before = '"';
    let absolute = text.chars().any(|c| {
        let before = std::mem::replace(&mut before, c);
        c == '/' && begins(before)
    });
    absolute || text.contains("..") || text.contains('\\')
}

fn load(text: &str) -> Result<Loaded, String> {
    let file = DIR.join("feishu-id.toml");
    std::fs::write(&file, text).unwrap();
    let sources = Sources {
        file: Some(file),
        ..Sources::default()
    };
    Config::load(&sources).map_err(|errors| errors.to_string())
}

/// The lines without where they come from.
fn values(printed: &str) -> Vec<&str> {
    let lines = printed.lines();
    lines
        .map(|line| {
            line.rsplit_once(" # ")
                .map_or(line, |(value, _)| value)
                .trim_end()
        })
        .collect()
}
