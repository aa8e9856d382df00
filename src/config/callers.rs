//! `[callers.NAME]`: who may call, and what each may ask for. Once there is one, nobody else may.

mod hash;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Config, Origin,
    reader::Reader,
    value::{List, OptionalLimit, Raw, Value, quote},
};

use hash::Hash;

/// Longest name of a caller, in characters; it goes into metrics' labels and the audit log.
const MAX_NAME: usize = 40;
/// What whoever is not configured is called in the audit log.
const RESERVED: &str = "anonymous";
/// Stands for all tenants.
const ALL: &str = "*";

/// Identifiers a second that a caller may ask for unless told otherwise: 8.6 million a day, which is every
/// person of the largest company and no address space; and the burst of ten seconds is a whole batch.
const PER_SECOND: u64 = 100;
/// Most that can be set, of what can be limited at all: more is "off".
const MOST_PER_SECOND: u64 = 1_000_000;

/// One caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerConfig {
    /// What logs and metrics call it.
    pub name: String,
    /// The SHA-256 of each of its keys.
    pub key_hashes: Vec<[u8; 32]>,
    /// The DNS names and URIs of its client certificates.
    pub certificate_identity: Vec<String>,
    /// Whom it may ask about: the names of tenants, or a `*` for all.
    pub tenants: Vec<String>,
    /// The kinds of ID that it may ask for.
    pub user_id_types: Vec<IdKind>,
    /// Whether it may ask for answers younger than a minute.
    pub fresh: bool,
    /// Whether it may administer.
    pub admin: bool,
    /// How many identifiers a second it may ask for; none: as many as it likes.
    pub identifiers_per_second: Option<u64>,
}

/// A kind of Feishu ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "documented once, in the proto")]
pub enum IdKind {
    UserId,
    OpenId,
    UnionId,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Permission {
    Fresh,
    Admin,
}

impl CallerConfig {
    /// Whether it may ask about people of all tenants.
    pub fn has_all_tenants(&self) -> bool {
        self.tenants.iter().any(|name| name == ALL)
    }
}

/// Whether there are callers, good or bad, before any is read.
pub(super) fn are_configured(reader: &Reader) -> bool {
    !reader.names("callers").is_empty()
}

/// Reads every caller that any source names.
pub(super) fn read(reader: &mut Reader) -> Vec<CallerConfig> {
    let mut callers = Vec::new();
    for name in reader.names("callers") {
        check_name(reader, &name);
        // Read all the same, so that its other mistakes are told too.
        callers.push(read_one(reader, &name));
    }
    check_distinct(reader, &callers);
    callers
}

fn check_name(reader: &mut Reader, name: &str) {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let message = if !(1..=MAX_NAME).contains(&name.len()) || !name.chars().all(allowed) {
        format!("a caller's name is 1 to {MAX_NAME} of a-z, 0-9, _ and -")
    } else if name == RESERVED {
        format!("{RESERVED} is what whoever is not configured is called: choose another name")
    } else {
        return;
    };
    let key = format!("callers.{name}");
    let origin = reader.place(&key);
    reader.error(&key, &origin, message);
}

fn read_one(reader: &mut Reader, name: &str) -> CallerConfig {
    let key = |leaf: &str| format!("callers.{name}.{leaf}");
    let hashes: List<Hash> = reader.setting(&key("key_hashes"), List::default());
    let identities: List<String> = reader.setting(&key("certificate_identity"), List::default());
    let tenants = read_tenants(reader, name);
    let kinds = List(vec![IdKind::UserId, IdKind::OpenId, IdKind::UnionId]);
    let kinds = reader.checked(&key("user_id_types"), kinds, |List(kinds)| {
        if kinds.is_empty() {
            return Err("is empty: name a kind of ID, or leave it out for all".to_owned());
        }
        Ok(())
    });
    let permissions: List<Permission> = reader.setting(&key("permissions"), List::default());
    let default = OptionalLimit(Some(PER_SECOND));
    let rate = reader.checked(
        &key("identifiers_per_second"),
        default,
        |limit| match limit.0 {
            None | Some(1..=MOST_PER_SECOND) => Ok(()),
            Some(_) => Err(format!("must be from 1 to {MOST_PER_SECOND}, or \"off\"")),
        },
    );
    if hashes.0.is_empty() && identities.0.is_empty() {
        let origin = reader.place(&format!("callers.{name}"));
        reader.warn(format!(
            "{origin}: callers.{name}: has neither key_hashes nor certificate_identity, so nobody \
             can be this caller; `feishu-id keys new {name}` makes a key"
        ));
    }
    if !identities.0.is_empty() && reader.origin("tls.client_ca").is_none() {
        let identity_key = key("certificate_identity");
        let origin = reader.origin(&identity_key).cloned();
        let origin = origin.unwrap_or(Origin::Default);
        reader.warn(format!(
            "{origin}: {identity_key}: no client shows a certificate as long as tls.client_ca is not \
             set"
        ));
    }
    CallerConfig {
        name: name.to_owned(),
        key_hashes: hashes.0.into_iter().map(|hash| hash.0).collect(),
        certificate_identity: identities.0,
        tenants,
        user_id_types: kinds.0,
        fresh: permissions.0.contains(&Permission::Fresh),
        admin: permissions.0.contains(&Permission::Admin),
        identifiers_per_second: rate.0,
    }
}

/// They have no default: what nobody has thought of nobody may ask about.
fn read_tenants(reader: &mut Reader, name: &str) -> Vec<String> {
    let key = format!("callers.{name}.tenants");
    let is_set = reader.origin(&key).is_some();
    let tenants: List<String> = reader.checked(&key, List::default(), |List(tenants)| {
        if tenants.is_empty() {
            return Err("is empty: name tenants, or \"*\" for all".to_owned());
        }
        if tenants.len() > 1 && tenants.iter().any(|tenant| tenant == ALL) {
            return Err("\"*\" means all tenants: leave out the others".to_owned());
        }
        Ok(())
    });
    if !is_set {
        let place = reader.place(&format!("callers.{name}"));
        let message = format!(
            "is missing: caller {} needs it: name the tenants it may ask about, or \"*\" for all",
            quote(name)
        );
        reader.error(&key, &place, message);
    }
    tenants.0
}

/// A key or a certificate is one caller's.
fn check_distinct(reader: &mut Reader, callers: &[CallerConfig]) {
    let mut hashes: BTreeMap<[u8; 32], &str> = BTreeMap::new();
    let mut identities: BTreeMap<&str, &str> = BTreeMap::new();
    for caller in callers {
        let of = |other: &str| match other {
            other if other == caller.name => "is there twice: remove one".to_owned(),
            other => format!(
                "holds one that is caller {}'s too: remove one",
                quote(other)
            ),
        };
        for hash in &caller.key_hashes {
            if let Some(other) = hashes.insert(*hash, &caller.name) {
                error(reader, &caller.name, "key_hashes", of(other));
            }
        }
        for identity in &caller.certificate_identity {
            if let Some(other) = identities.insert(identity, &caller.name) {
                error(reader, &caller.name, "certificate_identity", of(other));
            }
        }
    }
}

/// Once it is known which tenants there are.
pub(super) fn check_tenants(reader: &mut Reader, config: &Config) {
    // With --sandbox they come later.
    if config.tenants.is_empty() {
        return;
    }
    for (caller, tenant) in config.unknown_tenants() {
        error(reader, &caller, "tenants", no_such_tenant(config, &tenant));
    }
}

fn error(reader: &mut Reader, caller: &str, leaf: &str, message: String) {
    let key = format!("callers.{caller}.{leaf}");
    let origin = reader.origin(&key).cloned().unwrap_or(Origin::Default);
    reader.error(&key, &origin, message);
}

fn no_such_tenant(config: &Config, tenant: &str) -> String {
    let names: Vec<_> = config.tenants.iter().map(|tenant| &*tenant.name).collect();
    format!(
        "{} is no tenant: there are {}",
        quote(tenant),
        names.join(", ")
    )
}

impl Config {
    /// The tenants that callers may ask about and that there are not, each with the caller's name.
    fn unknown_tenants(&self) -> Vec<(String, String)> {
        let known: BTreeSet<&str> = self.tenants.iter().map(|tenant| &*tenant.name).collect();
        let is_unknown = |name: &&String| *name != ALL && !known.contains(name.as_str());
        let of_one = |caller: &CallerConfig| {
            let unknown = caller.tenants.iter().filter(is_unknown);
            unknown
                .map(|tenant| (caller.name.clone(), tenant.clone()))
                .collect::<Vec<_>>()
        };
        self.callers.iter().flat_map(of_one).collect()
    }

    /// Checks the callers' tenants against those there are, where these were not known when the
    /// configuration was loaded.
    ///
    /// # Errors
    /// The first that there is not.
    pub fn check_callers(&self) -> Result<(), String> {
        match self.unknown_tenants().first() {
            None => Ok(()),
            Some((caller, tenant)) => {
                let message = no_such_tenant(self, tenant);
                Err(format!("callers.{caller}.tenants: {message}"))
            }
        }
    }
}

impl Value for IdKind {
    fn parse(raw: &Raw) -> Result<Self, String> {
        match String::parse(raw)?.as_str() {
            "user_id" => Ok(Self::UserId),
            "open_id" => Ok(Self::OpenId),
            "union_id" => Ok(Self::UnionId),
            _ => Err("expected \"user_id\", \"open_id\" or \"union_id\"".to_owned()),
        }
    }

    fn show(&self) -> String {
        quote(match self {
            Self::UserId => "user_id",
            Self::OpenId => "open_id",
            Self::UnionId => "union_id",
        })
    }
}

impl Value for Permission {
    fn parse(raw: &Raw) -> Result<Self, String> {
        match String::parse(raw)?.as_str() {
            "fresh" => Ok(Self::Fresh),
            "admin" => Ok(Self::Admin),
            _ => Err("expected \"fresh\" or \"admin\"".to_owned()),
        }
    }

    fn show(&self) -> String {
        quote(match self {
            Self::Fresh => "fresh",
            Self::Admin => "admin",
        })
    }
}
