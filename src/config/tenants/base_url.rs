//! A tenant's addresses: Feishu's and the proxy's. Either may be written with a password in it, so
//! no error repeats one.

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::{
    Origin,
    reader::Reader,
    value::{MASK, Value as _, quote},
};

/// Feishu's public address. Lark's is `https://open.larksuite.com`.
const FEISHU: &str = "https://open.feishu.cn";

/// Reads, checks and normalises a base URL.
pub(super) fn read(reader: &mut Reader, key: &str) -> Option<String> {
    let is_set = reader.origin(key).is_some();
    let found = reader.take::<SecretString>(key);
    let (text, origin) = match found {
        Some((text, origin)) => (text.expose_secret().to_owned(), origin),
        None if is_set => return None,
        None => (FEISHU.to_owned(), Origin::Default),
    };
    let url = match parse_base(&text) {
        Ok(url) => url,
        Err(message) => {
            reader.error(key, &origin, message);
            return None;
        }
    };
    let base = url.as_str().trim_end_matches('/').to_owned();
    if url.scheme() == "http" && !is_loopback(&url) {
        reader.warn(format!(
            "{origin}: {key}: {base} is not encrypted: the app's secret and people's contact data \
             can be read on the way; use https unless the network is trusted"
        ));
    }
    reader.show(key, Some(quote(&base)), origin);
    Some(base)
}

fn parse_base(text: &str) -> Result<Url, String> {
    const EXPECTED: &str = "expected a URL such as \"https://open.feishu.cn\"";
    let url = Url::parse(text).map_err(|error| format!("{EXPECTED}: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{EXPECTED}: it starts with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user name and no password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(
            "must hold no query and no fragment: only the address, such as \
                    \"https://open.feishu.cn\""
                .to_owned(),
        );
    }
    if url.path().trim_end_matches('/').ends_with("/open-apis") {
        return Err("leave /open-apis out: it is added to every call".to_owned());
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let ip = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || ip
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

/// Reads and checks a proxy's URL.
pub(super) fn read_proxy(reader: &mut Reader, key: &str) -> Option<SecretString> {
    let found = reader.take::<SecretString>(key);
    let Some((text, origin)) = found else {
        reader.show(key, None, Origin::Default);
        return None;
    };
    match parse_proxy(text.expose_secret()) {
        Ok(mut url) => {
            // A URL with a host, which this is, can have both. Where tokens are the user's name, that
            // is the secret.
            if url.password().is_some() {
                let _ = url.set_password(Some(MASK));
            }
            if !url.username().is_empty() {
                let _ = url.set_username(MASK);
            }
            reader.show(key, Some(url.to_string().show()), origin);
            Some(text)
        }
        Err(message) => {
            reader.error(key, &origin, message);
            None
        }
    }
}

fn parse_proxy(text: &str) -> Result<Url, String> {
    const EXPECTED: &str = "expected a proxy's URL such as \"http://proxy.example.com:3128\"";
    let url = Url::parse(text).map_err(|error| format!("{EXPECTED}: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{EXPECTED}: it starts with http:// or https://"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(EXPECTED.to_owned());
    }
    Ok(url)
}
