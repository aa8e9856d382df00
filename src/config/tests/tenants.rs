//! Tenants: secrets, addresses, names, and what they must not share.

use super::*;

/// Errors of one tenant `a` with an app ID, a secret and the given line, the fourth.
fn errors_of(scratch: &str, line: &str) -> String {
    let toml = format!("[tenants.a]\napp_id = \"x\"\napp_secret = \"hunter2\"\n{line}");
    errors(scratch, &toml, &[])
}

#[test]
fn a_tenant_comes_from_variables_even_with_underscores_in_its_name() {
    let variables = [
        ("FEISHU_ID_TENANTS__ACME_EU__APP_ID", "cli_a"),
        ("FEISHU_ID_TENANTS__ACME_EU__APP_SECRET", "s"),
        ("FEISHU_ID_TENANTS__A__B__APP_ID", "cli_b"),
        ("FEISHU_ID_TENANTS__A__B__APP_SECRET", "s"),
    ];
    let config = load("names", "", &variables).unwrap().config;
    let names: Vec<_> = config.tenants.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["a__b", "acme_eu"]);
    assert!(config.default_tenant().is_none());
}

#[test]
fn a_variable_overrides_a_key_of_the_file() {
    let toml = "[tenants.acme]\napp_id = \"cli_a\"\napp_secret = \"old\"";
    let variables = [("FEISHU_ID_TENANTS__ACME__APP_SECRET", "new")];
    let config = load("override", toml, &variables).unwrap().config;
    assert_eq!(config.tenants[0].app_secret.expose_secret(), "new");
}

#[test]
fn a_missing_id_or_secret_is_named() {
    let told = errors("missing", "[tenants.acme]\n", &[]);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(
        lines,
        [
            "feishu-id.toml:1: tenants.acme.app_id: is missing: tenant \"acme\" needs it",
            "feishu-id.toml:1: tenants.acme.app_secret: is missing: tenant \"acme\" needs it, or \
             app_secret_file",
        ]
    );
    let told = errors("missing", "", &[("FEISHU_BASE_URL", "https://a.example")]);
    assert!(told.contains("environment variable FEISHU_BASE_URL: tenants.default.app_id"));
}

#[test]
fn two_sources_for_one_secret_are_an_error_across_file_and_environment() {
    let told = errors_of("two-secrets", "app_secret_file = \"s\"");
    assert_eq!(
        told,
        "feishu-id.toml:3: tenants.a.app_secret: two sources for one secret: \
         tenants.a.app_secret_file is set too (feishu-id.toml:4)"
    );
    let toml = "[tenants.default]\napp_id = \"x\"\napp_secret = \"hunter2\"";
    let told = errors("two-secrets", toml, &[("FEISHU_APP_SECRET_FILE", "/s")]);
    assert!(told.contains("(environment variable FEISHU_APP_SECRET_FILE)"));
    assert!(!told.contains("hunter2"));
}

#[test]
fn a_secret_file_beside_the_configuration_is_read_without_its_newline() {
    let scratch = Scratch::new("secret-file");
    scratch.file("acme.secret", "hunter2\r\n");
    let toml = "[tenants.acme]\napp_id = \"x\"\napp_secret_file = \"acme.secret\"";
    let sources = Sources {
        file: Some(scratch.file("c.toml", toml)),
        ..Sources::default()
    };
    let config = Config::load(&sources).unwrap().config;
    assert_eq!(config.tenants[0].app_secret.expose_secret(), "hunter2");
}

#[test]
fn a_secret_in_place_of_its_files_path_is_not_repeated() {
    let secret = "hunter2hunter2hunter2hunter2hunt";
    let toml = format!("[tenants.a]\napp_id = \"x\"\napp_secret_file = \"{secret}\"");
    let told = errors("secret-as-path", &toml, &[]);
    assert!(told.contains("looks like the secret itself"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    // A file may be called anything.
    let scratch = Scratch::new("odd-name");
    scratch.file(secret, "other");
    let sources = Sources {
        file: Some(scratch.file("c.toml", &toml)),
        ..Sources::default()
    };
    let config = Config::load(&sources).unwrap().config;
    assert_eq!(config.tenants[0].app_secret.expose_secret(), "other");
}

#[test]
fn a_bad_secret_file_is_named_with_its_key() {
    let scratch = Scratch::new("bad-secret-file");
    scratch.file("empty", "\n");
    scratch.file("binary", [0xff, 0xfe]);
    scratch.file("large", vec![b'x'; 5000]);
    for (name, complaint) in [
        ("absent", "cannot be read"),
        ("empty", "is empty"),
        ("binary", "is not a text"),
        ("large", "is larger than 4096 bytes"),
    ] {
        let path = beside(&scratch, name);
        let variables = [("FEISHU_APP_ID", "x"), ("FEISHU_APP_SECRET_FILE", &path)];
        let told = errors("bad-secret", "", &variables);
        let start =
            "environment variable FEISHU_APP_SECRET_FILE: tenants.default.app_secret_file: ";
        assert!(told.starts_with(start), "{told}");
        assert!(told.contains(complaint), "{told}");
        assert!(told.contains(&path), "{told}");
    }
}

#[test]
fn an_empty_secret_in_the_file_is_an_error() {
    let told = errors(
        "empty",
        "[tenants.a]\napp_id = \"x\"\napp_secret = \"\"",
        &[],
    );
    assert_eq!(
        told,
        "feishu-id.toml:3: tenants.a.app_secret: must not be empty"
    );
}

#[test]
fn a_secret_of_the_wrong_type_is_not_repeated() {
    let told = errors(
        "wrong-type",
        "[tenants.a]\napp_id = \"x\"\napp_secret = 271828",
        &[],
    );
    assert!(told.contains("app_secret: expected a string, found a whole number"));
    assert!(!told.contains("271828"));
}

#[test]
fn a_bad_base_url_is_an_error_that_does_not_repeat_passwords() {
    for (url, complaint) in [
        ("open.feishu.cn", "expected a URL such as"),
        ("ftp://open.feishu.cn", "starts with https:// or http://"),
        ("https://open.feishu.cn/?a=1", "no query"),
        ("https://open.feishu.cn/#a", "no query and no fragment"),
        (
            "https://u:hunter2@open.feishu.cn",
            "no user name and no password",
        ),
        ("https://open.feishu.cn/open-apis/", "leave /open-apis out"),
    ] {
        let told = errors_of("base-url", &format!("base_url = \"{url}\""));
        assert!(
            told.starts_with("feishu-id.toml:4: tenants.a.base_url: "),
            "{told}"
        );
        assert!(told.contains(complaint), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn plain_http_is_a_warning_unless_it_stays_on_this_machine() {
    let of = |url: &str| {
        let toml = format!("[tenants.a]\napp_id = \"x\"\napp_secret = \"s\"\nbase_url = \"{url}\"");
        load("http", &toml, &[]).unwrap().warnings
    };
    assert!(of("http://127.0.0.1:8090").is_empty());
    assert!(of("http://[::1]:8090").is_empty());
    assert!(of("http://localhost:8090").is_empty());
    let warnings = of("http://feishu.internal");
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("tenants.a.base_url: http://feishu.internal is not encrypted"));
}

#[test]
fn a_bad_proxy_is_an_error_that_does_not_repeat_passwords() {
    for proxy in ["proxy", "ftp://u:hunter2@proxy", "http://u:hunter2@"] {
        let told = errors_of("proxy", &format!("proxy = \"{proxy}\""));
        assert!(
            told.starts_with("feishu-id.toml:4: tenants.a.proxy: "),
            "{told}"
        );
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn a_ca_file_must_hold_a_certificate() {
    let told = errors_of("ca", "ca_file = \"absent.pem\"");
    assert!(told.starts_with("feishu-id.toml:4: tenants.a.ca_file: absent.pem cannot be read"));

    let scratch = Scratch::new("ca-content");
    scratch.file("ca.pem", "-----BEGIN PRIVATE KEY-----");
    let path = beside(&scratch, "ca.pem");
    let told = errors_of("ca", &format!("ca_file = \"{path}\""));
    assert!(told.contains("holds no certificate in PEM form"));
}

#[test]
fn a_bad_name_is_an_error() {
    let long = "a".repeat(41);
    for name in ["Acme", "acme-eu", "\"a.b\"", "\"\"", &long] {
        let toml = format!("[tenants.{name}]\napp_id = \"x\"\napp_secret = \"s\"");
        let told = errors("name", &toml, &[]);
        assert!(told.starts_with("feishu-id.toml:1: tenants."), "{told}");
        assert!(
            told.ends_with("a tenant's name is 1 to 40 of a-z, 0-9 and _"),
            "{told}"
        );
    }
}

#[test]
fn an_unknown_key_of_a_tenant_names_the_nearest_and_not_the_value() {
    let told = errors_of("typo", "app_secert = \"hunter2\"");
    assert_eq!(
        told,
        "feishu-id.toml:4: tenants.a.app_secert: no such setting; did you mean \
         tenants.a.app_secret?"
    );
}

#[test]
fn two_tenants_with_one_app_are_an_error() {
    let toml = "\
[tenants.a]
app_id = \"cli_x\"
app_secret = \"s\"
base_url = \"https://OPEN.feishu.cn:443/\"
[tenants.b]
app_id = \"cli_x\"
app_secret = \"s\"
";
    let told = errors("same-app", toml, &[]);
    assert!(
        told.starts_with("feishu-id.toml:6: tenants.b.app_id: is the same app"),
        "{told}"
    );
    assert!(told.contains("tenant \"a\""));
}

#[test]
fn two_defaults_are_an_error() {
    let toml = "\
[tenants.a]
app_id = \"cli_a\"
app_secret = \"s\"
default = true
[tenants.b]
app_id = \"cli_b\"
app_secret = \"s\"
default = true
";
    let told = errors("defaults", toml, &[]);
    assert_eq!(
        told,
        "feishu-id.toml:8: tenants.b.default: \"a\" is the default already: only one can be"
    );
}
