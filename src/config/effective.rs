//! The settings in force, for people: `check-config` prints it.

use std::fmt;

use super::{Origin, at_run_time::is_changeable};

/// Every key, its value (secrets masked) and where it came from, as TOML with comments.
#[derive(Clone, Debug, Default)]
pub struct Effective {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    section: String,
    key: String,
    /// None: not set, and there is no default.
    value: Option<String>,
    origin: Origin,
}

impl Effective {
    pub(super) fn push(&mut self, path: &str, value: Option<String>, origin: Origin) {
        let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
        self.entries.push(Entry {
            section: section.to_owned(),
            key: key.to_owned(),
            value,
            origin,
        });
    }

    /// The keys of which a change takes effect only at the next start.
    pub fn fixed(&self) -> impl Iterator<Item = String> {
        self.entries
            .iter()
            .map(Entry::path)
            .filter(|path| !is_changeable(path))
    }

    /// Those of them that have another value there.
    pub fn fixed_that_differ<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = String> + 'a {
        let value = |entries: &[Entry], path: &str| {
            let entry = entries.iter().find(|entry| entry.path() == path);
            entry.and_then(|entry| entry.value.clone())
        };
        self.fixed()
            .filter(move |path| value(&self.entries, path) != value(&other.entries, path))
    }
}

impl Entry {
    fn path(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut section = "";
        for entry in &self.entries {
            if entry.section != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                writeln!(f, "{gap}[{}]", entry.section)?;
                section = &entry.section;
            }
            match &entry.value {
                Some(value) => {
                    let setting = format!("{} = {value}", entry.key);
                    writeln!(f, "{setting:<44} # {}", entry.origin)?;
                }
                None => writeln!(f, "# {} is not set", entry.key)?,
            }
        }
        Ok(())
    }
}
