//! The types of settings: how each is read from TOML and from a plain text (a variable, a flag), and
//! how it is shown. Knows no keys.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use jiff::tz::TimeZone;
use secrecy::SecretString;
use zeroize::Zeroize as _;

/// A setting as it was written. No `Debug`: it may hold a secret.
pub(super) enum Raw {
    /// A TOML string.
    String(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML float.
    Float(f64),
    /// A TOML array.
    List(Vec<Raw>),
    /// Any other TOML value, by the name of its type.
    Other(&'static str),
    /// The text of a variable or a flag, which has no type yet.
    Text(String),
}

/// Any of them may be a secret, and which are is not known here.
impl Drop for Raw {
    fn drop(&mut self) {
        if let Self::String(text) | Self::Text(text) = self {
            text.zeroize();
        }
    }
}

impl Raw {
    fn text(&self, expected: &str) -> Result<&str, String> {
        match self {
            Self::String(text) | Self::Text(text) => Ok(text.trim()),
            other => Err(format!("expected {expected}, found {}", other.type_name())),
        }
    }

    fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "a whole number",
            Self::Boolean(_) => "true or false without quotes",
            Self::Float(_) => "a float",
            Self::List(_) => "an array",
            Self::Other(name) => name,
            Self::Text(_) => "a text",
        }
    }
}

/// A type of setting.
pub(super) trait Value: Sized {
    /// Reads it; the error says what is expected and never repeats what was written.
    fn parse(raw: &Raw) -> Result<Self, String>;
    /// As TOML writes it; secrets masked.
    fn show(&self) -> String;
}

impl Value for bool {
    fn parse(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Boolean(value) => Ok(*value),
            Raw::Text(text) if text.trim() == "true" => Ok(true),
            Raw::Text(text) if text.trim() == "false" => Ok(false),
            other => Err(format!(
                "expected true or false, found {}",
                other.type_name()
            )),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! whole_number {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn parse(raw: &Raw) -> Result<Self, String> {
                let parsed = match raw {
                    Raw::Integer(value) => Self::try_from(*value).ok(),
                    Raw::Text(text) => text.trim().parse().ok(),
                    other => {
                        return Err(format!("expected a whole number, found {}", other.type_name()));
                    }
                };
                parsed.ok_or_else(|| "expected a whole number, zero or more".to_owned())
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
whole_number!(u32, u64, usize);

impl Value for f64 {
    fn parse(raw: &Raw) -> Result<Self, String> {
        const EXPECTED: &str = "a number such as 0.01";
        let parsed = match raw {
            Raw::Float(value) => Some(*value),
            Raw::Integer(value) => i32::try_from(*value).ok().map(Self::from),
            Raw::Text(text) => text.trim().parse().ok(),
            other => return Err(format!("expected {EXPECTED}, found {}", other.type_name())),
        };
        let parsed = parsed.filter(|value: &Self| value.is_finite());
        parsed.ok_or_else(|| format!("expected {EXPECTED}"))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Duration {
    fn parse(raw: &Raw) -> Result<Self, String> {
        const ADD_UNIT: &str = "a duration needs a unit: write \"5s\", \"500ms\" or \"1m30s\"";
        if matches!(raw, Raw::Integer(_) | Raw::Float(_)) {
            return Err(ADD_UNIT.to_owned());
        }
        let text = raw.text("a duration such as \"5s\"")?;
        if text.parse::<f64>().is_ok() {
            return Err(ADD_UNIT.to_owned());
        }
        humantime::parse_duration(text).map_err(|_| {
            "expected a duration with a unit, such as \"5s\", \"500ms\" or \"1m30s\"".to_owned()
        })
    }

    fn show(&self) -> String {
        quote(&humantime::format_duration(*self).to_string())
    }
}

impl Value for SocketAddr {
    fn parse(raw: &Raw) -> Result<Self, String> {
        const EXPECTED: &str =
            "an IP address and a port, such as \"127.0.0.1:50051\" or \"[::1]:50051\"";
        raw.text(EXPECTED)?
            .parse()
            .map_err(|_| format!("expected {EXPECTED}"))
    }

    fn show(&self) -> String {
        quote(&self.to_string())
    }
}

/// An address that can be switched off.
pub(super) struct OptionalAddress(pub(super) Option<SocketAddr>);

impl Value for OptionalAddress {
    fn parse(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::String(text) | Raw::Text(text) if text.trim() == "off" => Ok(Self(None)),
            raw => SocketAddr::parse(raw)
                .map(|address| Self(Some(address)))
                .map_err(|message| format!("{message}, or \"off\"")),
        }
    }

    fn show(&self) -> String {
        self.0
            .map_or_else(|| quote("off"), |address| address.show())
    }
}

/// A limit that can be switched off.
#[derive(PartialEq, PartialOrd)]
pub(super) struct OptionalLimit(pub(super) Option<u64>);

impl Value for OptionalLimit {
    fn parse(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::String(text) | Raw::Text(text) if text.trim() == "off" => Ok(Self(None)),
            raw => u64::parse(raw)
                .map(|limit| Self(Some(limit)))
                .map_err(|message| format!("{message}, or \"off\"")),
        }
    }

    fn show(&self) -> String {
        self.0
            .map_or_else(|| quote("off"), |limit| limit.to_string())
    }
}

impl Value for TimeZone {
    fn parse(raw: &Raw) -> Result<Self, String> {
        const EXPECTED: &str = "the name of a time zone, such as \"Asia/Shanghai\" or \"UTC\"";
        Self::get(raw.text(EXPECTED)?).map_err(|_| format!("expected {EXPECTED}"))
    }

    fn show(&self) -> String {
        quote(self.iana_name().unwrap_or("UTC+8"))
    }
}

/// Several of a type: a TOML array, or one without its brackets; in a variable, separated by commas.
pub(super) struct List<T>(pub(super) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Value> Value for List<T> {
    fn parse(raw: &Raw) -> Result<Self, String> {
        let all: Result<_, String> = match raw {
            Raw::List(items) => items.iter().map(T::parse).collect(),
            Raw::Text(text) => {
                let items = text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty());
                items
                    .map(|item| T::parse(&Raw::Text(item.to_owned())))
                    .collect()
            }
            one @ Raw::String(_) => T::parse(one).map(|one| vec![one]),
            other => Err(format!("expected an array, found {}", other.type_name())),
        };
        all.map(Self)
    }

    fn show(&self) -> String {
        let items: Vec<_> = self.0.iter().map(T::show).collect();
        format!("[{}]", items.join(", "))
    }
}

impl Value for String {
    fn parse(raw: &Raw) -> Result<Self, String> {
        match raw.text("a string")? {
            "" => Err("must not be empty".to_owned()),
            text => Ok(text.to_owned()),
        }
    }

    fn show(&self) -> String {
        quote(self)
    }
}

impl Value for PathBuf {
    fn parse(raw: &Raw) -> Result<Self, String> {
        String::parse(raw).map(Self::from)
    }

    fn show(&self) -> String {
        quote(&self.to_string_lossy())
    }
}

impl Value for SecretString {
    fn parse(raw: &Raw) -> Result<Self, String> {
        String::parse(raw).map(Self::from)
    }

    fn show(&self) -> String {
        quote(MASK)
    }
}

/// Stands for a secret's value wherever one is shown.
pub(super) const MASK: &str = "********";

/// As TOML writes a string.
pub(super) fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
