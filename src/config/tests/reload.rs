//! What a reload needs to know: which files there are, whether any has changed, and what can change.

use tracing::Level;

use super::*;

fn read(scratch: &Scratch, toml: &str) -> Reading {
    Config::read(&Sources {
        file: Some(scratch.file("feishu-id.toml", toml)),
        ..Sources::default()
    })
}

#[test]
fn every_file_is_named_also_one_that_is_not_there() {
    let scratch = Scratch::new("files");
    scratch.file("a.secret", "s");
    let toml = "[tenants.a]\napp_id = \"x\"\napp_secret_file = \"a.secret\"\nca_file = \"ca.pem\"";
    let reading = read(&scratch, toml);
    assert!(reading.outcome.is_err());
    let named = ["feishu-id.toml", "a.secret", "ca.pem"].map(|name| scratch.0.join(name));
    assert_eq!(reading.files, named);
    scratch.file("ca.pem", "-----BEGIN CERTIFICATE-----");
    assert_eq!(read(&scratch, toml).outcome.unwrap().files, named);

    let missing = scratch.0.join("absent.toml");
    let reading = Config::read(&Sources {
        file: Some(missing.clone()),
        ..Sources::default()
    });
    assert_eq!(reading.files, [missing]);
}

#[test]
fn the_fingerprint_is_of_what_all_files_hold() {
    let scratch = Scratch::new("fingerprint");
    let toml = "[tenants.a]\napp_id = \"x\"\napp_secret_file = \"a.secret\"";
    let fingerprint = |toml: &str, secret: &str| {
        scratch.file("a.secret", secret);
        read(&scratch, toml).outcome.unwrap().fingerprint
    };
    let one = fingerprint(toml, "hunter2");
    assert_eq!(one, fingerprint(toml, "hunter2"));
    assert_ne!(one, fingerprint(toml, "hunter3"));
    assert_ne!(one, fingerprint(&format!("{toml}\n"), "hunter2"));
}

#[test]
fn the_log_level_comes_from_the_command_line_first() {
    let level = |toml, variables: &[_], flags: &[_]| {
        let scratch = Scratch::new("level");
        let loaded = Config::load(&Sources {
            file: Some(scratch.file("feishu-id.toml", toml)),
            env: env(variables),
            flags: flags.to_vec(),
        });
        loaded.unwrap().config.log.level
    };
    let file = "[log]\nlevel = \"error\"";
    let long = ("FEISHU_ID_LOG__LEVEL", "warn");
    let short = ("FEISHU_ID_LOG_LEVEL", "debug");
    assert_eq!(level("", &[], &[]), Level::INFO);
    assert_eq!(level(file, &[], &[]), Level::ERROR);
    assert_eq!(level(file, &[long], &[]), Level::WARN);
    assert_eq!(level(file, &[long, short], &[]), Level::DEBUG);
    let flag = flag("log.level", "trace");
    assert_eq!(level(file, &[long, short], &[flag]), Level::TRACE);
    let told = errors("level", "[log]\nlevel = \"loud\"", &[]);
    let expected = "log.level: expected \"error\", \"warn\", \"info\", \"debug\" or \"trace\"";
    assert!(told.ends_with(expected), "{told}");
}

#[test]
fn what_takes_effect_at_the_next_start_is_known_by_name() {
    let loaded = |toml| load("fixed", toml, &[]).unwrap();
    let before = loaded("[tenants.a]\napp_id = \"x\"\napp_secret = \"s\"");
    let after = loaded(
        "[grpc]\nlisten = \"127.0.0.1:1\"\n[cache]\nttl = \"5s\"\ncapacity = 5000\n\
         [quota]\nper_month = 5\n[log]\nlevel = \"warn\"",
    );
    let fixed: Vec<_> = after
        .effective()
        .fixed_that_differ(before.effective())
        .collect();
    assert_eq!(fixed, ["grpc.listen", "cache.capacity"]);
    let all: Vec<_> = before.effective().fixed().collect();
    assert!(all.contains(&"data.dir".to_owned()), "{all:?}");
    assert!(
        !all.iter()
            .any(|key| key.starts_with("tenants.") || key == "quota.per_second")
    );
}
