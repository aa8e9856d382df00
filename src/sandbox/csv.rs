//! Reads a directory from a CSV file: columns by name in any order, and for whatever is wrong the
//! file and the line. Knows no tenant's credentials; `world` makes those.

use std::collections::HashMap;
use std::path::Path;

use super::SandboxError;
use super::person::{Person, Status, stored_mobile};

/// `department` is for the people who keep the file: no call that is simulated shows it.
const COLUMNS: [&str; 11] = [
    "tenant",
    "name",
    "email",
    "mobile",
    "user_id",
    "open_id",
    "union_id",
    "enterprise_email",
    "department",
    "status",
    "visible",
];

/// Whose row it is when no tenant is named.
const DEFAULT_TENANT: &str = "acme";

/// Largest file, in bytes: 200,000 people of 300 bytes, twice. It is read in one piece.
const MAX_BYTES: u64 = 128 << 20;

type Tenants = Vec<(String, Vec<Person>)>;

/// Reads the file. Tenants come in the order of their first row.
pub(super) fn load(path: &Path) -> Result<Tenants, SandboxError> {
    let unreadable = |source| SandboxError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_BYTES {
        let problem = format!("the file has {size} bytes; the limit is {MAX_BYTES}");
        return Err(wrong(path, 1, problem));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    parse(&bytes).map_err(|(line, problem)| wrong(path, line, problem))
}

fn wrong(path: &Path, line: u64, problem: String) -> SandboxError {
    SandboxError::Directory {
        path: path.to_owned(),
        line,
        problem,
    }
}

type Problem = (u64, String);

fn parse(bytes: &[u8]) -> Result<Tenants, Problem> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        (line_after(before), "the text is not UTF-8".to_owned())
    })?;
    let mut reader = ::csv::ReaderBuilder::new()
        // The count of fields is checked here, with the line and in the words of the rest.
        .flexible(true)
        .trim(::csv::Trim::Headers)
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| (1, error.to_string()))?;
    let columns = Columns::read(header).map_err(|problem| (1, problem))?;
    let mut rows = Rows::default();
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(1, ::csv::Position::line);
            (line, error.to_string())
        })?;
        let line = line_of(text, &record);
        if record.iter().any(|field| field.contains(['\n', '\r'])) {
            let problem = "a field goes over several lines: is its quote closed?";
            return Err((line, problem.to_owned()));
        }
        let row = columns.row(&record).and_then(|row| rows.add(row, line));
        row.map_err(|problem| (line, problem))?;
    }
    if rows.tenants.is_empty() {
        return Err((1, "there is a header but nobody below it".to_owned()));
    }
    Ok(rows.tenants)
}

fn line_after(text: &[u8]) -> u64 {
    text.iter()
        .fold(1, |line, byte| line + u64::from(*byte == b'\n'))
}

/// The reader's position is where the last record ended; empty lines may follow before this one.
fn line_of(text: &str, record: &::csv::StringRecord) -> u64 {
    let Some(position) = record.position() else {
        return 1;
    };
    let skipped = usize::try_from(position.byte())
        .ok()
        .and_then(|start| text.as_bytes().get(start..))
        .unwrap_or_default()
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .filter(|byte| **byte == b'\n')
        .count();
    position.line() + u64::try_from(skipped).unwrap_or_default()
}

/// Where each known column stands.
struct Columns {
    places: HashMap<&'static str, usize>,
    count: usize,
}

impl Columns {
    fn read(header: &::csv::StringRecord) -> Result<Self, String> {
        let mut places = HashMap::new();
        for (place, name) in header.iter().enumerate() {
            let lower = name.to_lowercase();
            let Some(known) = COLUMNS.into_iter().find(|known| *known == lower) else {
                let all = COLUMNS.join(", ");
                return Err(format!("unknown column {name:?}; known are {all}"));
            };
            if places.insert(known, place).is_some() {
                return Err(format!("the column {known:?} stands there twice"));
            }
        }
        if !places.contains_key("email") && !places.contains_key("mobile") {
            return Err("there is neither a column \"email\" nor a column \"mobile\"".to_owned());
        }
        Ok(Self {
            places,
            count: header.len(),
        })
    }

    fn row(&self, record: &::csv::StringRecord) -> Result<(String, Person), String> {
        if record.len() != self.count {
            let (has, wants) = (record.len(), self.count);
            return Err(format!("the row has {has} fields, the header {wants}"));
        }
        let field = |name| {
            let place = self.places.get(name).copied();
            place
                .and_then(|place| record.get(place))
                .unwrap_or_default()
                .trim()
        };
        let tenant = tenant(field("tenant"))?;
        let person = Person {
            name: field("name").to_owned(),
            email: email("email", field("email"))?,
            mobile: mobile(field("mobile"))?,
            enterprise_email: email("enterprise_email", field("enterprise_email"))?,
            status: status(field("status"))?,
            visible: visible(field("visible"))?,
            user_id: field("user_id").to_owned(),
            open_id: field("open_id").to_owned(),
            union_id: field("union_id").to_owned(),
        };
        if person.email.is_none() && person.mobile.is_none() {
            return Err("the row has neither an email nor a mobile".to_owned());
        }
        let person = person.complete(&tenant);
        Ok((tenant, person))
    }
}

fn tenant(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(DEFAULT_TENANT.to_owned());
    }
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if text.len() > 40 || !text.bytes().all(fits) {
        return Err(format!(
            "tenant {text:?} is not 1 to 40 of the characters a-z, 0-9 and _"
        ));
    }
    Ok(text.to_owned())
}

fn email(column: &str, text: &str) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if !text.contains('@') {
        return Err(format!("{column} {text:?} has no @"));
    }
    Ok(Some(text.to_owned()))
}

fn mobile(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let plain: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let stored = stored_mobile(&plain).ok_or_else(|| {
        format!("mobile {text:?} is neither + and digits nor a mainland number of 11 digits")
    })?;
    Ok(Some(stored))
}

fn status(text: &str) -> Result<Status, String> {
    if text.is_empty() {
        return Ok(Status::Active);
    }
    Status::named(&text.to_lowercase()).ok_or_else(|| {
        let all = Status::NAMES.map(|(name, _)| name).join(", ");
        format!("status {text:?} is not one of {all}")
    })
}

fn visible(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "" | "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(format!("visible {text:?} is not true or false")),
    }
}

/// What has been read, with every ID and the line it came from.
#[derive(Default)]
struct Rows {
    tenants: Tenants,
    places: HashMap<String, usize>,
    ids: HashMap<(String, &'static str, String), u64>,
}

impl Rows {
    fn add(&mut self, (tenant, person): (String, Person), line: u64) -> Result<(), String> {
        let ids = [
            ("user_id", &person.user_id),
            ("open_id", &person.open_id),
            ("union_id", &person.union_id),
        ];
        for (kind, id) in ids {
            let key = (tenant.clone(), kind, id.clone());
            if let Some(first) = self.ids.insert(key, line) {
                return Err(format!(
                    "{kind} {id:?} is that of line {first} already (made-up IDs are the same for \
                     rows with the same name, email and mobile)"
                ));
            }
        }
        let place = *self.places.entry(tenant.clone()).or_insert_with(|| {
            self.tenants.push((tenant, Vec::new()));
            self.tenants.len() - 1
        });
        if let Some((_, people)) = self.tenants.get_mut(place) {
            people.push(person);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
