//! What people are called, and how that is written into a request: the made-up people of the
//! sandbox, a pattern, or the lines of a file.

use std::{fmt::Write as _, fs, path::Path};

use bytes::{BufMut as _, BytesMut};

use crate::{args::Common, values::Kinds, wire};

/// How many made-up people the sandbox has in each tenant.
const LOAD_PEOPLE: u64 = 1_000_000;
/// The names of everybody, by number.
pub enum Names {
    Patterns(Vec<Pattern>),
    List(Vec<String>),
}

/// A text with a number in it.
pub struct Pattern {
    before: String,
    digits: usize,
    after: String,
}

impl Names {
    pub fn new(common: &Common) -> Result<Self, String> {
        if let Some(path) = &common.file {
            return Ok(Self::List(lines(path)?));
        }
        if !common.pattern.is_empty() {
            let patterns = common.pattern.iter().map(|text| Pattern::new(text));
            return Ok(Self::Patterns(patterns.collect::<Result<_, _>>()?));
        }
        let tenant = if common.tenant.is_empty() {
            "acme"
        } else {
            &common.tenant
        };
        let email = Pattern {
            before: "load-".to_owned(),
            digits: 1,
            after: format!("@{tenant}.example"),
        };
        let mobile = Pattern {
            before: "+86199".to_owned(),
            digits: 8,
            after: String::new(),
        };
        Ok(Self::Patterns(match common.kinds {
            Kinds::Email => vec![email],
            Kinds::Mobile => vec![mobile],
            Kinds::Mixed => vec![email, mobile],
        }))
    }

    /// How many there are: after the last, the first comes again.
    pub fn count(&self) -> Option<u64> {
        match self {
            Self::List(lines) => u64::try_from(lines.len()).ok(),
            Self::Patterns(_) => Some(LOAD_PEOPLE),
        }
    }

    /// Appends one `identifiers` field of a request.
    pub fn write(&self, person: u64, to: &mut BytesMut) {
        match self {
            Self::List(lines) => {
                let count = u64::try_from(lines.len()).unwrap_or(u64::MAX).max(1);
                let index = usize::try_from(person % count).unwrap_or_default();
                identifier(lines.get(index).map_or("", String::as_str), to);
            }
            Self::Patterns(patterns) => {
                let person = person % LOAD_PEOPLE;
                let count = u64::try_from(patterns.len()).unwrap_or(u64::MAX).max(1);
                let index = usize::try_from(person % count).unwrap_or_default();
                if let Some(pattern) = patterns.get(index) {
                    let mut text = String::with_capacity(48);
                    // Writing into a string cannot fail.
                    let _ = write!(
                        text,
                        "{}{person:0width$}{}",
                        pattern.before,
                        pattern.after,
                        width = pattern.digits
                    );
                    identifier(&text, to);
                }
            }
        }
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Self, String> {
        let wrong = || format!("--pattern {text}: has one {{}}, or {{:08}} for eight digits");
        let (before, rest) = text.split_once('{').ok_or_else(wrong)?;
        let (inside, after) = rest.split_once('}').ok_or_else(wrong)?;
        let digits = match inside {
            "" => 1,
            width => {
                let width = width.strip_prefix(":0").ok_or_else(wrong)?;
                let width = width.parse().map_err(|_| wrong())?;
                if width > 20 {
                    return Err(wrong());
                }
                width
            }
        };
        Ok(Self {
            before: before.to_owned(),
            digits,
            after: after.to_owned(),
        })
    }
}

fn lines(path: &Path) -> Result<Vec<String>, String> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("--file {name}: {error}"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<String> = lines.map(ToOwned::to_owned).collect();
    if lines.is_empty() {
        return Err(format!("--file {name}: nobody in it"));
    }
    Ok(lines)
}

/// Field 3 of a request: an e-mail (field 1) if it has an @, else a mobile (field 2).
fn identifier(text: &str, to: &mut BytesMut) {
    let kind = if text.contains('@') { 1 } else { 2 };
    let inside = wire::size_of_bytes(text.len());
    wire::put_key(3, to);
    wire::put_varint(inside, to);
    wire::put_key(kind, to);
    wire::put_varint(text.len(), to);
    to.put_slice(text.as_bytes());
}
