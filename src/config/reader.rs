//! Gives each section its settings, typed and checked, and gathers mistakes on the way. Whatever was
//! given and never asked for is unknown.

use std::{collections::BTreeSet, ffi::OsStr, ops::RangeInclusive, path::Path};

use zeroize::Zeroizing;

use super::{
    ConfigError, ConfigErrors, Effective, Origin,
    layers::{Layers, NAMED, Setting},
    tenants::files,
    value::{Raw, Value},
    watched::Watched,
};

/// How alike two keys must be (0 to 1) for one to be suggested for the other. By trial: `lisen` and
/// `app_secert` are caught, `foo` is not taken for `proxy`.
const ALIKE: f64 = 0.5;

pub(super) struct Reader {
    layers: Layers,
    known: BTreeSet<String>,
    effective: Effective,
}

impl Reader {
    pub(super) fn new(layers: Layers) -> Self {
        Self {
            layers,
            known: BTreeSet::new(),
            effective: Effective::default(),
        }
    }

    /// The setting or its default. After a mistake the default stands in; nobody will use it.
    pub(super) fn setting<T: Value>(&mut self, key: &str, default: T) -> T {
        self.checked(key, default, |_| Ok(()))
    }

    /// A setting within bounds.
    pub(super) fn ranged<T: Value + PartialOrd>(
        &mut self,
        key: &str,
        default: T,
        range: RangeInclusive<T>,
    ) -> T {
        self.checked(key, default, |value| {
            if range.contains(value) {
                return Ok(());
            }
            let (from, to) = (range.start().show(), range.end().show());
            Err(format!("must be from {from} to {to}, not {}", value.show()))
        })
    }

    /// A setting with a rule of its own.
    pub(super) fn checked<T: Value>(
        &mut self,
        key: &str,
        default: T,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> T {
        let found = self.read(key, |raw| T::parse(raw).and_then(|v| check(&v).map(|()| v)));
        let (value, origin) = found.unwrap_or((default, Origin::Default));
        self.show(key, Some(value.show()), origin);
        value
    }

    /// A setting without a default that the caller shows itself.
    pub(super) fn take<T: Value>(&mut self, key: &str) -> Option<(T, Origin)> {
        self.read(key, T::parse)
    }

    /// A setting without a default.
    pub(super) fn optional<T: Value>(&mut self, key: &str) -> Option<(T, Origin)> {
        let found = self.take::<T>(key);
        let (shown, origin) = match &found {
            Some((value, origin)) => (Some(value.show()), origin.clone()),
            None => (None, Origin::Default),
        };
        self.show(key, shown, origin);
        found
    }

    /// A setting that nobody gave and the caller shows itself.
    pub(super) fn know(&mut self, key: &str) {
        self.known.insert(key.to_owned());
    }

    /// What a variable of others says about where a user's files belong.
    pub(super) fn user_place(&self, variable: &str) -> Option<&OsStr> {
        self.layers.places.get(variable).map(AsRef::as_ref)
    }

    /// The whole of a file that is not too long. It is noted as one to be watched, also if it is not
    /// there.
    pub(super) fn file(&mut self, path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, String> {
        let read = files::read_at_most(path, limit);
        let content = read.as_ref().ok().map(|content| content.as_slice());
        self.layers.watched.note(path, content);
        read
    }

    /// The files that have been read.
    pub(super) fn take_watched(&mut self) -> Watched {
        std::mem::take(&mut self.layers.watched)
    }

    /// The strongest value given, if it is good.
    fn read<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&Raw) -> Result<T, String>,
    ) -> Option<(T, Origin)> {
        self.known.insert(key.to_owned());
        let Setting { raw, origin } = self.layers.settings.get(key)?.first()?;
        match parse(raw) {
            Ok(value) => Some((value, origin.clone())),
            Err(message) => {
                let error = ConfigError::of_key(key, origin, message);
                self.layers.errors.push(error);
                None
            }
        }
    }

    /// Where the key is set, if it is.
    pub(super) fn origin(&self, key: &str) -> Option<&Origin> {
        Some(&self.layers.settings.get(key)?.first()?.origin)
    }

    /// Where the key, or at least its table, stands.
    pub(super) fn place(&self, prefix: &str) -> Origin {
        let inside = format!("{prefix}.");
        let of_key = || {
            let mut keys = self.layers.settings.range(inside.clone()..);
            let (key, settings) = keys.next()?;
            let setting = settings.first().filter(|_| key.starts_with(&inside))?;
            Some(&setting.origin)
        };
        let origin = self.layers.tables.get(prefix).or_else(of_key);
        origin.cloned().unwrap_or(Origin::Default)
    }

    /// What the sections inside this one are called.
    pub(super) fn names(&self, section: &str) -> Vec<String> {
        self.layers.names(section)
    }

    pub(super) fn show(&mut self, key: &str, value: Option<String>, origin: Origin) {
        self.effective.push(key, value, origin);
    }

    pub(super) fn error(&mut self, key: &str, origin: &Origin, message: impl Into<String>) {
        let error = ConfigError::of_key(key, origin, message);
        self.layers.errors.push(error);
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.layers.warnings.push(warning);
    }

    /// Judges what nobody asked for, and closes the account.
    pub(super) fn finish(mut self) -> Result<(Effective, Vec<String>), ConfigErrors> {
        self.report_unknown();
        if self.layers.errors.is_empty() {
            Ok((self.effective, self.layers.warnings))
        } else {
            Err(ConfigErrors(self.layers.errors))
        }
    }

    fn report_unknown(&mut self) {
        let mut told: BTreeSet<&str> = BTreeSet::new();
        for (key, settings) in &self.layers.settings {
            if self.known.contains(key) {
                continue;
            }
            for Setting { origin, .. } in settings {
                let section = key.split('.').next().unwrap_or(key);
                let hint = hint(key, &self.known);
                match origin {
                    Origin::Variable(name) => self.layers.warnings.push(format!(
                        "environment variable {name}: no such setting, ignored{hint}"
                    )),
                    // One error a section is enough where the section itself is unknown.
                    _ if !self.is_section(section) && !told.insert(section) => {}
                    _ => {
                        let message = format!("no such setting{hint}");
                        let error = ConfigError::of_key(key, origin, message);
                        self.layers.errors.push(error);
                    }
                }
            }
        }
        for (table, origin) in &self.layers.tables {
            let section = table.split('.').next().unwrap_or(table);
            let known = NAMED.contains(&section) || self.is_section(section);
            if !known && !told.contains(section) {
                let error = ConfigError::of_key(table, origin, "no such section");
                self.layers.errors.push(error);
            }
        }
    }

    fn is_section(&self, name: &str) -> bool {
        let prefix = format!("{name}.");
        self.known.iter().any(|key| key.starts_with(&prefix))
    }
}

/// What was probably meant: the nearest known key, or the keys of the section.
fn hint(key: &str, known: &BTreeSet<String>) -> String {
    let prefix = format!("{key}.");
    if known.iter().any(|other| other.starts_with(&prefix)) || NAMED.contains(&key) {
        return format!("; {key} is a section: write [{key}] and its keys below");
    }
    let section = key.rsplit_once('.').map_or("", |(section, _)| section);
    // A neighbour in the same section is the likelier thing to have been meant.
    let likeness = |other: &String| {
        let same = other.rsplit_once('.').is_some_and(|(s, _)| s == section);
        let (a, b) = match (same, key.rsplit_once('.'), other.rsplit_once('.')) {
            (true, Some((_, a)), Some((_, b))) => (a, b),
            _ => (key, other.as_str()),
        };
        let alike = strsim::normalized_damerau_levenshtein(a, b);
        // Before all others, also where they are called almost alike: callers.a.x and callers.b.x.
        (same && alike >= ALIKE, alike)
    };
    let nearest = known
        .iter()
        .map(|other| (likeness(other), other))
        .max_by(|((own, a), _), ((other, b), _)| own.cmp(other).then(a.total_cmp(b)));
    match nearest {
        Some(((_, alike), other)) if alike >= ALIKE => format!("; did you mean {other}?"),
        _ => String::new(),
    }
}
