#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::ExposeSecret as _;

use super::*;

mod callers;
mod reload;
mod sources;
mod store;
mod telemetry;
mod tenants;
mod tls;

/// A directory of a test's own.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("feishu-id-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn env(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    let pair = |(name, value): &(&str, &str)| (OsString::from(name), OsString::from(value));
    variables.iter().map(pair).collect()
}

/// Loads a file of that content and that environment.
fn load(scratch: &str, toml: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let scratch = Scratch::new(scratch);
    Config::load(&Sources {
        file: Some(scratch.file("feishu-id.toml", toml)),
        env: env(variables),
        flags: Vec::new(),
    })
}

/// The errors of a file, as printed, without the directory.
fn errors(scratch: &str, toml: &str, variables: &[(&str, &str)]) -> String {
    let directory =
        std::env::temp_dir().join(format!("feishu-id-{}-{scratch}", std::process::id()));
    let prefix = format!("{}/", directory.display());
    match load(scratch, toml, variables) {
        Ok(_) => panic!("expected errors"),
        Err(errors) => errors.to_string().replace(&prefix, ""),
    }
}

fn flag(key: &'static str, value: &str) -> FlagSetting {
    FlagSetting {
        flag: "--listen",
        key,
        value: value.to_owned(),
    }
}

#[test]
fn nothing_given_means_the_defaults() {
    let loaded = Config::load(&Sources::default()).unwrap();
    let config = loaded.config;
    assert!(loaded.warnings.is_empty());
    assert!(config.tenants.is_empty());
    assert_eq!(config.grpc.listen.to_string(), "127.0.0.1:50051");
    assert_eq!(config.grpc.health_listen, None);
    assert_eq!(config.grpc.max_identifiers, 1000);
    assert_eq!(config.cache.ttl, Duration::from_hours(12));
    assert_eq!(config.cache.negative_ttl, Duration::from_mins(1));
    assert_eq!(config.cache.capacity, 1_000_000);
    assert_eq!(config.cache.store, StoreKind::Disk);
    assert_eq!(config.cache.serve_stale, Duration::from_hours(24));
    assert_eq!((config.data.dir, config.cache.key_file), (None, None));
    assert_eq!(config.upstream.timeout, Duration::from_secs(5));
    assert_eq!(
        (config.quota.per_second, config.quota.per_minute),
        (50, 1000)
    );
    assert_eq!(config.drain.timeout, Duration::from_secs(10));
}

#[test]
fn every_key_can_be_set_in_the_file() {
    let toml = r#"
        [grpc]
        listen = "[::1]:1"
        health_listen = "0.0.0.0:2"
        max_identifiers = 10
        max_in_flight_batches = 2
        max_connections = 3
        max_connections_per_peer = 2
        max_connection_age = "1m30s"
        keepalive_interval = "4s"
        keepalive_timeout = "5s"
        insecure = true
        [cache]
        ttl = "30m"
        negative_ttl = "10s"
        capacity = 50_000
        store = "none"
        key_file = "/run/secrets/store.key"
        serve_stale = "0s"
        [data]
        dir = "/var/lib/feishu-id"
        [upstream]
        connect_timeout = "500ms"
        timeout = "1s"
        max_in_flight = 4
        max_response_bytes = 65_536
        [quota]
        per_second = 5
        per_minute = 100
        per_month = 10000
        time_zone = "Europe/Berlin"
        max_queue = 200
        [drain]
        delay = "5s"
        timeout = "0s"
        [tenants.acme]
        app_id = "cli_a"
        app_secret = "s"
        base_url = "https://open.larksuite.com/"
        proxy = "http://proxy:3128"
        default = true
    "#;
    let config = load("every-key", toml, &[]).unwrap().config;
    assert_eq!(config.grpc.health_listen.unwrap().to_string(), "0.0.0.0:2");
    assert_eq!(config.grpc.max_connection_age, Duration::from_secs(90));
    assert_eq!(config.grpc.max_connections_per_peer, 2);
    assert_eq!(config.cache.ttl, Duration::from_mins(30));
    assert_eq!(config.cache.negative_ttl, Duration::from_secs(10));
    assert_eq!(config.cache.capacity, 50_000);
    assert_eq!(config.cache.store, StoreKind::None);
    let key_file = Some(PathBuf::from("/run/secrets/store.key"));
    assert_eq!(config.cache.key_file, key_file);
    assert_eq!(config.cache.serve_stale, Duration::ZERO);
    assert_eq!(config.data.dir, Some(PathBuf::from("/var/lib/feishu-id")));
    assert_eq!(config.upstream.connect_timeout, Duration::from_millis(500));
    assert_eq!(config.upstream.max_response_bytes, 65_536);
    assert_eq!(config.quota.max_queue, 200);
    assert_eq!(config.quota.per_month, Some(10_000));
    let zone = config.quota.time_zone.iana_name();
    assert_eq!(zone, Some("Europe/Berlin"));
    assert_eq!(config.drain.delay, Duration::from_secs(5));
    assert_eq!(config.tenants[0].base_url, "https://open.larksuite.com");
    assert!(config.tenants[0].default);
}

#[test]
fn all_mistakes_are_told_at_once_each_with_key_and_place() {
    let toml = "\
[grpc]
listen = 50051
max_identifiers = 0
insecure = \"yes\"
[upstream]
timeout = 5
connect_timeout = \"soon\"
";
    let told = errors(
        "all-at-once",
        toml,
        &[("FEISHU_ID_QUOTA__PER_SECOND", "many")],
    );
    let expected = [
        "feishu-id.toml:4: grpc.insecure: expected true or false, found a string",
        "feishu-id.toml:2: grpc.listen: expected an IP address and a port, such as \
         \"127.0.0.1:50051\" or \"[::1]:50051\", found a whole number",
        "feishu-id.toml:3: grpc.max_identifiers: must be from 1 to 10000, not 0",
        "feishu-id.toml:7: upstream.connect_timeout: expected a duration with a unit, such as \
         \"5s\", \"500ms\" or \"1m30s\"",
        "feishu-id.toml:6: upstream.timeout: a duration needs a unit: write \"5s\", \"500ms\" or \
         \"1m30s\"",
        "environment variable FEISHU_ID_QUOTA__PER_SECOND: quota.per_second: expected a whole \
         number, zero or more",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_month_has_at_least_one_call_or_no_limit_and_ends_somewhere() {
    let load = |toml| load("month", toml, &[]);
    let quota = |toml| load(toml).unwrap().config.quota;
    assert_eq!(quota("[quota]\nper_month = \"off\"").per_month, None);
    let zone = quota("").time_zone;
    assert_eq!(zone.iana_name(), Some("Asia/Shanghai"));
    let told = errors(
        "month",
        "[quota]\nper_month = 0\ntime_zone = \"Beijing\"",
        &[],
    );
    let expected = [
        "feishu-id.toml:2: quota.per_month: must be at least 1, or \"off\"",
        "feishu-id.toml:3: quota.time_zone: expected the name of a time zone, such as \
         \"Asia/Shanghai\" or \"UTC\"",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn answers_are_kept_neither_for_no_time_nor_for_ever() {
    let toml = "[cache]\nttl = \"720h 1s\"\nnegative_ttl = \"0s\"\ncapacity = 999";
    let told = errors("cache", toml, &[]);
    let expected = [
        "feishu-id.toml:2: cache.ttl: must be from \"1s\" to \"30days\", not \"30days 1s\"",
        "feishu-id.toml:3: cache.negative_ttl: must be from \"1s\" to \"1h\", not \"0s\"",
        "feishu-id.toml:4: cache.capacity: must be from 1000 to 100000000, not 999",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_duration_in_a_variable_needs_a_unit_too() {
    let told = errors("unit", "", &[("FEISHU_ID_DRAIN__TIMEOUT", "10")]);
    assert!(told.contains("FEISHU_ID_DRAIN__TIMEOUT: drain.timeout: a duration needs a unit"));
}

#[test]
fn a_listener_that_others_can_reach_is_refused_unless_insecure() {
    let toml = "[grpc]\nlisten = \"0.0.0.0:50051\"";
    let told = errors("insecure", toml, &[]);
    assert!(told.starts_with("feishu-id.toml:2: grpc.listen: 0.0.0.0:50051 can be reached"));
    assert!(told.contains("neither encryption nor authentication"));
    assert!(told.contains("grpc.insecure = true"));
    assert!(told.contains("tls.certificate"));

    let allowed = load("insecure", toml, &[("FEISHU_ID_GRPC__INSECURE", "true")]).unwrap();
    assert_eq!(allowed.config.grpc.listen.to_string(), "0.0.0.0:50051");
}

#[test]
fn an_address_for_http_that_was_asked_for_is_told_from_the_default() {
    let http = |variables| load("http", "", variables).unwrap().config.http;
    let default = http(&[]);
    assert_eq!(default.listen.unwrap().to_string(), "127.0.0.1:8080");
    assert!(!default.is_asked_for);
    let asked = http(&[("FEISHU_ID_HTTP__LISTEN", "127.0.0.1:8080")]);
    assert!(asked.is_asked_for);
    assert_eq!(http(&[("FEISHU_ID_HTTP__LISTEN", "off")]).listen, None);
}

#[test]
fn http_cannot_share_the_listener() {
    let toml = "[http]\nlisten = \"127.0.0.1:50051\"";
    let told = errors("http-port", toml, &[]);
    assert!(told.contains("http.listen: is the same address as grpc.listen"));
}

#[test]
fn health_cannot_share_the_listener() {
    let toml = "[grpc]\nhealth_listen = \"127.0.0.1:50051\"";
    let told = errors("health-port", toml, &[]);
    assert!(told.contains("grpc.health_listen: is the same address as grpc.listen"));
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_nearest() {
    let told = errors("unknown", "[grpc]\nlisen = \"127.0.0.1:1\"", &[]);
    assert_eq!(
        told,
        "feishu-id.toml:2: grpc.lisen: no such setting; did you mean grpc.listen?"
    );
}

#[test]
fn an_unknown_section_is_one_error() {
    let told = errors(
        "section",
        "[weather]\nwind = \"west\"\nrain = \"none\"\n[empty]",
        &[],
    );
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines[0].starts_with("feishu-id.toml:3: weather.rain: no such setting"));
    assert_eq!(lines[1], "feishu-id.toml:4: empty: no such section");
}

#[test]
fn a_section_written_as_a_key_is_explained() {
    let told = errors("as-key", "grpc = 5\ntenants = []", &[]);
    assert!(told.contains("feishu-id.toml:1: grpc: no such setting; grpc is a section"));
    assert!(told.contains("feishu-id.toml:2: tenants: no such setting; tenants is a section"));
}

#[test]
fn a_syntax_error_has_line_and_column_and_never_the_line_itself() {
    for bad in [
        "[tenants.a]\napp_secret = hunter2-hunter2",
        "[tenants.a]\napp_secret = \"hunter2-hunter2",
        "[tenants.a]\napp_secret = 'x' hunter2-hunter2",
        "[tenants.a]\napp_secret \"hunter2-hunter2\"",
        "[tenants.a]\napp_secret = \"hunter2-\\hunter2\"",
        "[tenants.a]\napp_secret = \"a\"\napp_secret = \"hunter2-hunter2\"",
    ] {
        let told = errors("syntax", bad, &[]);
        assert!(told.starts_with("feishu-id.toml:2:") || told.starts_with("feishu-id.toml:3:"));
        assert!(told.contains("not TOML: "), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    let told = errors("syntax", "a = 1\nb = = 2\n", &[]);
    assert!(told.starts_with("feishu-id.toml:2:5: not TOML: "), "{told}");
}

#[test]
fn the_effective_settings_are_toml_that_loads_again() {
    let toml = "[tenants.acme]\napp_id = \"cli_a\"\napp_secret = \"hunter2\"";
    let variables = [("FEISHU_ID_DRAIN__DELAY", "5s")];
    let loaded = load("effective", toml, &variables).unwrap();
    let printed = loaded.effective().to_string();
    assert!(!printed.contains("hunter2"));
    let line = |start: &str| {
        printed
            .lines()
            .find(|l| l.starts_with(start))
            .unwrap()
            .to_owned()
    };
    assert!(line("delay").ends_with("# environment variable FEISHU_ID_DRAIN__DELAY"));
    assert!(line("app_id").ends_with("feishu-id.toml:2"));
    assert!(line("max_identifiers").ends_with("# default"));
    assert!(line("base_url").starts_with("base_url = \"https://open.feishu.cn\""));

    let again = load("effective", &printed, &[]).unwrap().config;
    assert_eq!(again.drain.delay, Duration::from_secs(5));
}

#[test]
fn debug_shows_no_secret() {
    let toml =
        "[tenants.a]\napp_id = \"x\"\napp_secret = \"hunter2\"\nproxy = \"http://u:hunter2@p\"";
    let loaded = load("debug", toml, &[]).unwrap();
    assert!(!format!("{loaded:?}").contains("hunter2"));
    assert!(!loaded.effective().to_string().contains("hunter2"));
    let sources = Sources {
        file: None,
        env: env(&[("FEISHU_APP_SECRET", "hunter2")]),
        flags: vec![FlagSetting {
            flag: "--listen",
            key: "grpc.listen",
            value: "hunter2".to_owned(),
        }],
    };
    let shown = format!("{sources:?}");
    assert!(
        shown.contains("--listen") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn the_user_of_a_proxy_is_masked_too() {
    let toml = "[tenants.a]\napp_id = \"x\"\napp_secret = \"s\"\n\
                proxy = \"http://hunter2:hunter2@p:3128\"";
    let printed = load("proxy-user", toml, &[])
        .unwrap()
        .effective()
        .to_string();
    assert!(
        printed.contains("\"http://********:********@p:3128/\""),
        "{printed}"
    );
    assert!(!printed.contains("hunter2"), "{printed}");
}

fn beside(directory: &Scratch, name: &str) -> String {
    let path: &Path = &directory.0;
    path.join(name).display().to_string()
}
