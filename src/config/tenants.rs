//! `[tenants.NAME]`: one Feishu app each.

mod base_url;
pub(super) mod files;

use std::{collections::BTreeMap, fmt, path::PathBuf};

use secrecy::SecretString;

use super::{
    Origin,
    reader::Reader,
    value::{Value as _, quote},
};

/// Longest name of a tenant, in characters; it goes into metrics' labels and variable names.
const MAX_NAME: usize = 40;

/// One tenant: a Feishu app and where to reach Feishu for it.
#[derive(Clone)]
pub struct TenantConfig {
    /// What callers call it.
    pub name: String,
    /// The app's ID.
    pub app_id: String,
    /// The app's secret.
    pub app_secret: SecretString,
    /// Feishu's, Lark's, a private deployment's or the sandbox's address, without a slash at its
    /// end.
    pub base_url: String,
    /// Certificates (PEM) to trust besides the public ones, as read from the tenant's `ca_file`.
    pub ca_pem: Option<Vec<u8>>,
    /// The proxy to call Feishu through. May hold a password, hence a secret.
    pub proxy: Option<SecretString>,
    /// Whether an empty tenant name means this one.
    pub default: bool,
}

impl fmt::Debug for TenantConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantConfig")
            .field("name", &self.name)
            .field("app_id", &self.app_id)
            .field("base_url", &self.base_url)
            .field("ca_pem", &self.ca_pem.as_ref().map(Vec::len))
            .field("proxy", &self.proxy.is_some())
            .field("default", &self.default)
            .finish_non_exhaustive()
    }
}

impl TenantConfig {
    /// A tenant at the given address without extras.
    pub fn new(name: &str, app_id: &str, app_secret: SecretString, base_url: &str) -> Self {
        Self {
            name: name.to_owned(),
            app_id: app_id.to_owned(),
            app_secret,
            base_url: base_url.trim_end_matches('/').to_owned(),
            ca_pem: None,
            proxy: None,
            default: false,
        }
    }
}

/// Reads every tenant that any source names.
pub(super) fn read(reader: &mut Reader) -> Vec<TenantConfig> {
    let mut tenants = Vec::new();
    for name in reader.names("tenants") {
        let key = format!("tenants.{name}");
        if !is_name(&name) {
            let origin = reader.place(&key);
            let message = format!("a tenant's name is 1 to {MAX_NAME} of a-z, 0-9 and _");
            reader.error(&key, &origin, message);
        }
        // Read all the same, so that its other mistakes are told too.
        tenants.extend(read_one(reader, &name));
    }
    check_distinct(reader, &tenants);
    check_one_default(reader, &tenants);
    tenants
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    (1..=MAX_NAME).contains(&name.len()) && name.chars().all(allowed)
}

fn read_one(reader: &mut Reader, name: &str) -> Option<TenantConfig> {
    let key = |leaf: &str| format!("tenants.{name}.{leaf}");
    let app_id = required(reader, name, "app_id");
    let app_secret = read_secret(reader, name);
    let base_url = base_url::read(reader, &key("base_url"));
    let ca_pem = files::read_certificates(reader, &key("ca_file"));
    let proxy = base_url::read_proxy(reader, &key("proxy"));
    let default = reader.setting(&key("default"), false);
    Some(TenantConfig {
        name: name.to_owned(),
        app_id: app_id?,
        app_secret: app_secret?,
        base_url: base_url?,
        ca_pem,
        proxy,
        default,
    })
}

fn required(reader: &mut Reader, name: &str, leaf: &str) -> Option<String> {
    let key = format!("tenants.{name}.{leaf}");
    let is_set = reader.origin(&key).is_some();
    let found = reader.optional::<String>(&key);
    if !is_set {
        let place = reader.place(&format!("tenants.{name}"));
        let message = format!("is missing: tenant {} needs it", quote(name));
        reader.error(&key, &place, message);
    }
    found.map(|(value, _)| value)
}

/// From exactly one of two keys, whichever sources they stand in.
fn read_secret(reader: &mut Reader, name: &str) -> Option<SecretString> {
    let value_key = format!("tenants.{name}.app_secret");
    let file_key = format!("tenants.{name}.app_secret_file");
    let value_origin = reader.origin(&value_key).cloned();
    let file_origin = reader.origin(&file_key).cloned();
    let value = reader.optional::<SecretString>(&value_key);
    let file = reader.optional::<PathBuf>(&file_key);
    match (value_origin, file_origin) {
        (Some(value_origin), Some(file_origin)) => {
            let message =
                format!("two sources for one secret: {file_key} is set too ({file_origin})");
            reader.error(&value_key, &value_origin, message);
            None
        }
        (None, None) => {
            let place = reader.place(&format!("tenants.{name}"));
            let message = format!(
                "is missing: tenant {} needs it, or app_secret_file",
                quote(name)
            );
            reader.error(&value_key, &place, message);
            None
        }
        (Some(_), None) => value.map(|(secret, _)| secret),
        (None, Some(_)) => {
            let (path, origin) = file?;
            files::read_secret(reader, &path, &origin)
                .map_err(|message| reader.error(&file_key, &origin, message))
                .ok()
        }
    }
}

/// Two tenants of one app would each spend the quota that they share.
fn check_distinct(reader: &mut Reader, tenants: &[TenantConfig]) {
    let mut seen: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for tenant in tenants {
        let app = (tenant.base_url.as_str(), tenant.app_id.as_str());
        if let Some(other) = seen.insert(app, &tenant.name) {
            let key = format!("tenants.{}.app_id", tenant.name);
            let origin = reader.origin(&key).cloned().unwrap_or(Origin::Default);
            let message = format!(
                "is the same app at the same base_url as tenant {}: they would share one quota \
                 without knowing of each other; remove one",
                quote(other)
            );
            reader.error(&key, &origin, message);
        }
    }
}

fn check_one_default(reader: &mut Reader, tenants: &[TenantConfig]) {
    let mut defaults = tenants.iter().filter(|tenant| tenant.default);
    let Some(first) = defaults.next() else { return };
    for other in defaults {
        let key = format!("tenants.{}.default", other.name);
        let origin = reader.origin(&key).cloned().unwrap_or(Origin::Default);
        let message = format!(
            "{} is the default already: only one can be",
            first.name.show()
        );
        reader.error(&key, &origin, message);
    }
}
