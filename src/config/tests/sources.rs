//! Flags, environment and file, and which of them wins.

use super::*;

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let scratch = Scratch::new("precedence");
    let mut sources = Sources {
        file: Some(scratch.file("c.toml", "[grpc]\nlisten = \"127.0.0.1:1\"")),
        env: Vec::new(),
        flags: Vec::new(),
    };
    let port = |sources: &Sources| Config::load(sources).unwrap().config.grpc.listen.port();
    assert_eq!(port(&sources), 1);
    sources.env = env(&[("FEISHU_ID_GRPC__LISTEN", "127.0.0.1:2")]);
    assert_eq!(port(&sources), 2);
    sources.flags = vec![flag("grpc.listen", "127.0.0.1:3")];
    assert_eq!(port(&sources), 3);
}

#[test]
fn a_bad_flag_is_named_as_the_flag() {
    let sources = Sources {
        flags: vec![flag("grpc.listen", "nowhere")],
        ..Sources::default()
    };
    let errors = Config::load(&sources).unwrap_err().to_string();
    assert!(errors.starts_with("flag --listen: grpc.listen: expected an IP address"));
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let variables = [("FEISHU_ID_GRPC__LISTEN", ""), ("FEISHU_APP_ID", "")];
    let loaded = load("empty-variable", "", &variables).unwrap();
    assert!(loaded.config.tenants.is_empty());
    assert!(loaded.warnings.is_empty());
}

#[test]
fn an_unknown_variable_is_a_warning_with_the_nearest_key() {
    let variables = [("FEISHU_ID_GRPC__LISTN", "x"), ("FEISHU_ID_FOO", "1")];
    let mut warnings = load("unknown-variable", "", &variables).unwrap().warnings;
    warnings.sort();
    assert_eq!(
        warnings,
        [
            "environment variable FEISHU_ID_FOO: no such setting, ignored",
            "environment variable FEISHU_ID_GRPC__LISTN: no such setting, ignored; did you mean \
             grpc.listen?",
        ]
    );
}

#[test]
fn what_kubernetes_injects_and_what_the_command_line_reads_is_ignored() {
    let variables = [
        ("FEISHU_ID_SERVICE_HOST", "10.0.0.1"),
        ("FEISHU_ID_SERVICE_PORT", "50051"),
        ("FEISHU_ID_SERVICE_PORT_GRPC", "50051"),
        ("FEISHU_ID_PORT", "tcp://10.0.0.1:50051"),
        ("FEISHU_ID_PORT_50051_TCP_ADDR", "10.0.0.1"),
        ("FEISHU_ID_CONFIG", "x.toml"),
        ("FEISHU_ID_LOG_LEVEL", "info"),
        ("PATH", "/bin"),
    ];
    assert!(
        load("kubernetes", "", &variables)
            .unwrap()
            .warnings
            .is_empty()
    );
    let told = load("kubernetes", "", &[("FEISHU_ID_PORTAL", "1")]).unwrap();
    assert_eq!(told.warnings.len(), 1);
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_an_error() {
    use std::os::unix::ffi::OsStringExt as _;
    let sources = Sources {
        env: vec![(
            "FEISHU_APP_SECRET".into(),
            OsString::from_vec(vec![0xff, 0xfe]),
        )],
        ..Sources::default()
    };
    let errors = Config::load(&sources).unwrap_err().to_string();
    assert!(errors.contains("environment variable FEISHU_APP_SECRET: is not UTF-8"));
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let sources = Sources {
        file: Some("/nonexistent/feishu-id.toml".into()),
        ..Sources::default()
    };
    let errors = Config::load(&sources).unwrap_err().to_string();
    assert!(errors.starts_with("/nonexistent/feishu-id.toml: cannot be read: "));
}

#[test]
fn the_plain_variables_make_one_tenant() {
    let variables = [
        ("FEISHU_APP_ID", "cli_a"),
        ("FEISHU_APP_SECRET", "s3cret"),
        ("FEISHU_BASE_URL", "http://127.0.0.1:8090/"),
    ];
    let loaded = load("plain", "", &variables).unwrap();
    let tenant = loaded.config.default_tenant().unwrap();
    assert_eq!(tenant.name, "default");
    assert_eq!(tenant.app_id, "cli_a");
    assert_eq!(tenant.app_secret.expose_secret(), "s3cret");
    assert_eq!(tenant.base_url, "http://127.0.0.1:8090");
    let origins: Vec<String> = loaded
        .tenant_origins
        .iter()
        .map(Origin::to_string)
        .collect();
    assert_eq!(origins, ["environment variable FEISHU_APP_ID"]);
}

#[test]
fn the_plain_variables_fill_a_tenant_named_default() {
    let toml = "[tenants.default]\napp_id = \"cli_a\"\nbase_url = \"https://a.example\"";
    let config = load("plain-fills", toml, &[("FEISHU_APP_SECRET", "s")])
        .unwrap()
        .config;
    assert_eq!(config.tenants.len(), 1);
    assert_eq!(config.tenants[0].base_url, "https://a.example");
}

#[test]
fn the_plain_variables_add_no_tenant_to_named_ones() {
    let toml = "[tenants.acme]\napp_id = \"cli_a\"\napp_secret = \"s\"";
    let loaded = load("plain-beside", toml, &[("FEISHU_APP_ID", "cli_b")]).unwrap();
    assert_eq!(loaded.config.tenants.len(), 1);
    assert_eq!(
        loaded.warnings,
        [
            "environment variable FEISHU_APP_ID: ignored, because tenants are configured by name \
          (acme); it would set tenants.default.app_id"
        ]
    );
}

#[test]
fn one_key_in_two_variables_is_an_error() {
    let variables = [
        ("FEISHU_APP_ID", "cli_a"),
        ("FEISHU_APP_SECRET", "s"),
        ("FEISHU_ID_TENANTS__DEFAULT__APP_ID", "cli_b"),
    ];
    let told = errors("two-variables", "", &variables);
    assert_eq!(
        told,
        "environment variable FEISHU_APP_ID: tenants.default.app_id: is set by the environment \
         variable FEISHU_ID_TENANTS__DEFAULT__APP_ID too: remove one"
    );
}
