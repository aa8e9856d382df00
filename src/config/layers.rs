//! Brings flags, environment and file into one shape: for each key the values given, the strongest
//! first. Knows the naming rules of the sources, no key and no type.

use std::{collections::BTreeMap, ffi::OsString, path::Path, sync::Arc};

use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::{ConfigError, Origin, Sources, value::Raw, watched::Watched};

/// Prefix of this program's own variables.
const PREFIX: &str = "FEISHU_ID_";

/// Variables with the prefix that are flags of the command line, not settings.
const COMMAND_LINE: [&str; 5] = [
    "ALLOW_CORE_DUMPS",
    "API_KEY",
    "CONFIG",
    "LOG_LEVEL",
    "LOG_FORMAT",
];

/// Sections that hold sections of any name.
pub(super) const NAMED: [&str; 2] = ["tenants", "callers"];

/// Variables with the prefix that are flags of the command line and settings, too, so that they win over
/// the file: the command line's spelling, and the key. A variable of the key's own name is weaker.
const COMMAND_LINE_KEYS: [(&str, &str); 1] = [("FEISHU_ID_LOG_LEVEL", "log.level")];

/// The tenant that the plain variables below make.
pub(super) const PLAIN_TENANT: &str = "default";

/// One tenant without a file: plain variables and the keys they set.
const PLAIN_VARIABLES: [(&str, &str); 4] = [
    ("FEISHU_APP_ID", "app_id"),
    ("FEISHU_APP_SECRET", "app_secret"),
    ("FEISHU_APP_SECRET_FILE", "app_secret_file"),
    ("FEISHU_BASE_URL", "base_url"),
];

/// Variables by which collectors are made known to every program alike (OpenTelemetry's, exporter
/// specification), and the keys they set; the narrower name first.
const STANDARD_VARIABLES: [(&str, &str); 3] = [
    (
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "telemetry.otlp_endpoint",
    ),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
    ("OTEL_SERVICE_NAME", "telemetry.service_name"),
];

/// Variables of others that say where a user's files belong.
const PLACES: [&str; 2] = ["XDG_STATE_HOME", "HOME"];

/// A value and where it stands.
pub(super) struct Setting {
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

/// All that was given.
#[derive(Default)]
pub(super) struct Layers {
    /// By key; the strongest first.
    pub(super) settings: BTreeMap<String, Vec<Setting>>,
    /// Tables of the file, also the empty ones.
    pub(super) tables: BTreeMap<String, Origin>,
    /// Where a user's files belong.
    pub(super) places: BTreeMap<&'static str, OsString>,
    pub(super) watched: Watched,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<String>,
}

impl Layers {
    pub(super) fn collect(sources: &Sources) -> Self {
        let mut layers = Self::default();
        for flag in &sources.flags {
            let raw = Raw::Text(flag.value.clone());
            layers.add(flag.key.to_owned(), raw, Origin::Flag(flag.flag));
        }
        layers.add_command_line_variables(sources);
        layers.add_environment(sources);
        layers.add_places(sources);
        // The file comes before the plain variables only to learn which tenants it names.
        let plain = layers.plain_variables(sources);
        if let Some(path) = &sources.file {
            layers.add_file(path);
        }
        layers.add_plain(plain);
        layers.add_standard(sources);
        layers
    }

    fn add(&mut self, key: String, raw: Raw, origin: Origin) {
        let setting = Setting { raw, origin };
        self.settings.entry(key).or_default().push(setting);
    }

    fn add_command_line_variables(&mut self, sources: &Sources) {
        for (variable, key) in COMMAND_LINE_KEYS {
            let found = sources.env.iter().find(|(name, _)| name == variable);
            let text = found.and_then(|(_, value)| value.to_str());
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                let origin = Origin::Variable(variable.to_owned());
                self.add(key.to_owned(), Raw::Text(text.to_owned()), origin);
            }
        }
    }

    /// An empty variable counts as unset: that is how compose files pass what they do not know.
    fn add_environment(&mut self, sources: &Sources) {
        for (name, value) in &sources.env {
            let Some(name) = name.to_str() else { continue };
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            if value.is_empty() || COMMAND_LINE.contains(&rest) || is_of_kubernetes(rest) {
                continue;
            }
            let origin = Origin::Variable(name.to_owned());
            match value.to_str() {
                Some(text) => self.add(key_of(rest), Raw::Text(text.to_owned()), origin),
                None => self
                    .errors
                    .push(ConfigError::of_place(origin, "is not UTF-8")),
            }
        }
    }

    /// They are meant for every program of the machine, so whatever is meant for this one is stronger.
    fn add_standard(&mut self, sources: &Sources) {
        for (variable, key) in STANDARD_VARIABLES {
            let found = sources.env.iter().find(|(name, _)| name == variable);
            let value = found.and_then(|(_, value)| value.to_str());
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                let origin = Origin::Variable(variable.to_owned());
                self.add(key.to_owned(), Raw::Text(value.to_owned()), origin);
            }
        }
    }

    fn add_places(&mut self, sources: &Sources) {
        for name in PLACES {
            let found = sources.env.iter().find(|(other, _)| other == name);
            if let Some((_, value)) = found.filter(|(_, value)| !value.is_empty()) {
                self.places.insert(name, value.clone());
            }
        }
    }

    fn plain_variables(&mut self, sources: &Sources) -> Vec<(&'static str, Setting)> {
        let mut plain = Vec::new();
        for (variable, key) in PLAIN_VARIABLES {
            let found = sources.env.iter().find(|(name, _)| name == variable);
            let Some((_, value)) = found.filter(|(_, value)| !value.is_empty()) else {
                continue;
            };
            let origin = Origin::Variable(variable.to_owned());
            match value.to_str() {
                Some(text) => {
                    let raw = Raw::Text(text.to_owned());
                    plain.push((key, Setting { raw, origin }));
                }
                None => self
                    .errors
                    .push(ConfigError::of_place(origin, "is not UTF-8")),
            }
        }
        plain
    }

    /// They fill the tenant `default`, stronger than the file. Where other tenants have been
    /// configured by name they are left alone: somebody's shell must not add a tenant to a server.
    fn add_plain(&mut self, plain: Vec<(&'static str, Setting)>) {
        let names = self.names("tenants");
        let applies = names.is_empty() || names.iter().any(|name| name == PLAIN_TENANT);
        for (key, setting) in plain {
            if !applies {
                self.warnings.push(format!(
                    "{}: ignored, because tenants are configured by name ({}); it would set \
                     tenants.{PLAIN_TENANT}.{key}",
                    setting.origin,
                    names.join(", "),
                ));
                continue;
            }
            let path = format!("tenants.{PLAIN_TENANT}.{key}");
            let others = self.settings.entry(path.clone()).or_default();
            if let Some(other) = others.first()
                && matches!(other.origin, Origin::Variable(_))
            {
                let message = format!("is set by the {} too: remove one", other.origin);
                self.errors
                    .push(ConfigError::of_key(&path, &setting.origin, message));
            }
            others.insert(0, setting);
        }
    }

    /// The names that the file or the environment mentions in this section, good or bad, in order.
    pub(super) fn names(&self, section: &str) -> Vec<String> {
        let inside = format!("{section}.");
        let keys = self.settings.keys().filter_map(|key| {
            let rest = key.strip_prefix(&inside)?;
            // A quoted name may hold dots; it will be refused, but as the one name it is.
            let split = if rest.starts_with(['"', '\'']) {
                rest.rsplit_once('.')
            } else {
                rest.split_once('.')
            };
            Some(split?.0)
        });
        let tables = self.tables.keys().filter_map(|table| {
            let rest = table.strip_prefix(&inside)?;
            let nested = !rest.starts_with(['"', '\'']) && rest.contains('.');
            (!nested).then_some(rest)
        });
        let names: std::collections::BTreeSet<&str> = keys.chain(tables).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    fn add_file(&mut self, path: &Path) {
        let text = match std::fs::read_to_string(path) {
            // It may hold secrets.
            Ok(text) => Zeroizing::new(text),
            Err(error) => {
                self.watched.note(path, None);
                let message = format!("cannot be read: {error}");
                self.errors
                    .push(ConfigError::of_place(path.display(), message));
                return;
            }
        };
        self.watched.note(path, Some(text.as_bytes()));
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let (document, errors) = DeTable::parse_recoverable(text);
        // One mistake can make many; the first few are the ones that help.
        for error in errors.iter().take(5) {
            let (line, column) = position(text, error.span().map_or(0, |span| span.start));
            // Only the parser's own words: its Display quotes the line, which may hold a secret.
            self.errors.push(ConfigError::of_place(
                format!("{}:{line}:{column}", path.display()),
                format!("not TOML: {}", error.message()),
            ));
        }
        if errors.is_empty() {
            let file = File {
                path: path.into(),
                text,
            };
            self.add_table(&file, "", document.get_ref());
        }
    }

    fn add_table(&mut self, file: &File<'_>, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let key_text = segment(key.get_ref());
            let path = if prefix.is_empty() {
                key_text
            } else {
                format!("{prefix}.{key_text}")
            };
            let origin = file.origin(key.span().start);
            if let DeValue::Table(inner) = value.get_ref() {
                self.tables.insert(path.clone(), origin);
                self.add_table(file, &path, inner);
            } else {
                self.add(path, raw(value.get_ref()), origin);
            }
        }
    }
}

struct File<'a> {
    path: Arc<Path>,
    text: &'a str,
}

impl File<'_> {
    fn origin(&self, offset: usize) -> Origin {
        Origin::File {
            path: Arc::clone(&self.path),
            line: position(self.text, offset).0,
        }
    }
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::String(text.to_string()),
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Raw::Integer(number),
            Err(_) => Raw::Other("a number too large"),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Raw::Float(number),
            Err(_) => Raw::Other("a float"),
        },
        DeValue::Datetime(_) => Raw::Other("a date"),
        // No setting is an array of arrays, or of tables: one level, whatever the file holds.
        DeValue::Array(items) => Raw::List(items.iter().map(|item| flat(item.get_ref())).collect()),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

fn flat(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::Array(_) => Raw::Other("an array"),
        value => raw(value),
    }
}

/// Line and column, both from 1, the column in characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().count() - before.get(..line_start).unwrap_or("").chars().count();
    (line, column + 1)
}

/// A part of a key; one with odd characters keeps its quotes, so that `"a.b"` is not `a.b`.
fn segment(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        super::value::quote(key)
    }
}

/// `GRPC__LISTEN` is `grpc.listen`. A tenant's or caller's name may itself hold `__`; its keys never do.
fn key_of(variable: &str) -> String {
    let lower = variable.to_ascii_lowercase();
    for section in NAMED {
        if let Some((name, key)) = lower
            .strip_prefix(section)
            .and_then(|rest| rest.strip_prefix("__")?.rsplit_once("__"))
        {
            return format!("{section}.{name}.{key}");
        }
    }
    lower.replace("__", ".")
}

/// Kubernetes puts these into every pod beside a Service named `feishu-id`.
fn is_of_kubernetes(rest: &str) -> bool {
    let is_or_extends = |name: &str| {
        rest.strip_prefix(name)
            .is_some_and(|more| more.is_empty() || more.starts_with('_'))
    };
    rest == "SERVICE_HOST" || is_or_extends("SERVICE_PORT") || is_or_extends("PORT")
}
