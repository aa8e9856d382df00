//! Help, usage errors, `check-config`, `completions`, and what `serve` refuses.

use std::process::Stdio;

use super::{TempFile, ended, feishu_id, run};

const COMMANDS: [&str; 7] = [
    "serve",
    "resolve",
    "sandbox",
    "cache",
    "check-config",
    "keys",
    "completions",
];

#[test]
fn every_command_has_help_with_an_example() {
    for command in COMMANDS {
        let help = run(&[command, "--help"]);
        assert_eq!(help.code, Some(0), "{command}");
        assert!(help.stdout.contains("Example"), "{command}");
        assert!(
            help.stdout.contains(&format!("feishu-id {command}")),
            "{command}"
        );
        assert!(help.stdout.contains("--log-format"), "{command}");
        assert!(help.stderr.is_empty(), "{command}");
    }
    let help = run(&["keys", "new", "--help"]);
    assert!(help.stdout.contains("feishu-id keys new"));
    for command in ["flush", "stats"] {
        let help = run(&["cache", command, "--help"]);
        let example = format!("feishu-id cache {command}");
        assert!(help.stdout.contains(&example), "{command}");
    }
    let help = run(&["--help"]);
    for command in COMMANDS {
        assert!(help.stdout.contains(command));
    }
}

#[test]
fn the_version_is_printed() {
    let version = run(&["--version"]);
    assert_eq!(version.code, Some(0));
    let expected = format!("feishu-id {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(version.stdout, expected);
}

#[test]
fn usage_errors_exit_with_2_and_leave_standard_output_empty() {
    for args in [
        &["no-such-command"][..],
        &[],
        &["serve", "--no-such-flag"],
        &["resolve"],
        &["resolve", "--file", "x", "a@b.c"],
        &["resolve", "--column", "x", "a@b.c"],
        &["resolve", "--sandbox", "--server", "x", "a@b.c"],
        &["resolve", "--type", "email", "a@b.c"],
        &["resolve", "--server", "ftp://x", "a@b.c"],
        &["resolve", "--server", "x", "--ca-file", "x", "a@b.c"],
        &["resolve", "--server", "https://x", "--key", "x", "a@b.c"],
        &["resolve", "--sandbox", "--ca-file", "x", "a@b.c"],
        &["resolve", "--server", "http://x/y", "a@b.c"],
        &["resolve", "--server", "x", "--file", "/nonexistent"],
        &["sandbox", "--listen", "nowhere"],
        &["completions", "cmd.com"],
        &["check-config", "--log-level", "loud"],
        &["cache"],
        &["cache", "flush"],
        &["cache", "flush", "--server", "ftp://x", "a@b.c"],
        &[
            "cache",
            "stats",
            "--server",
            "https://x",
            "--ca-file",
            "/nonexistent",
        ],
        &["cache", "stats", "--format", "csv"],
    ] {
        let told = run(args);
        assert_eq!(told.code, Some(2), "{args:?}: {}", told.stderr);
        assert!(told.stdout.is_empty(), "{args:?}");
        assert!(!told.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn without_credentials_both_ways_out_are_told() {
    for args in [&["serve"][..], &["resolve", "a@b.c"]] {
        let told = run(args);
        assert_eq!(told.code, Some(2));
        assert!(told.stderr.contains("FEISHU_APP_ID"), "{}", told.stderr);
        assert!(told.stderr.contains("--sandbox"), "{}", told.stderr);
    }
}

#[test]
fn a_sandbox_beside_configured_tenants_is_refused_by_name() {
    let output = feishu_id(&["serve", "--sandbox"])
        .env("FEISHU_APP_ID", "cli_a")
        .env("FEISHU_APP_SECRET", "hunter2")
        .output();
    let told = ended(output.unwrap());
    assert_eq!(told.code, Some(2));
    assert!(
        told.stderr
            .contains("default (environment variable FEISHU_APP_ID)"),
        "{}",
        told.stderr
    );
    assert!(!told.stderr.contains("hunter2"));
}

#[test]
fn an_open_listener_is_refused_by_the_name_of_its_flag() {
    let told = run(&["serve", "--sandbox", "--listen", "0.0.0.0:0"]);
    assert_eq!(told.code, Some(2));
    assert!(
        told.stderr
            .contains("flag --listen: grpc.listen: 0.0.0.0:0")
    );
    assert!(told.stderr.contains("grpc.insecure = true"));
}

#[test]
fn an_address_that_is_taken_is_told_with_its_cause() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = feishu_id(&["serve", "--listen", &address])
        .env("FEISHU_APP_ID", "cli_a")
        .env("FEISHU_APP_SECRET", "s")
        .output();
    let told = ended(output.unwrap());
    assert_eq!(told.code, Some(2));
    assert!(told.stderr.contains(&address), "{}", told.stderr);
    assert!(told.stderr.contains("in use"), "{}", told.stderr);
}

#[test]
fn check_config_prints_what_is_in_force_and_hides_secrets() {
    let file = TempFile::new(
        "good.toml",
        "[grpc]\nmax_identifiers = 7\n[tenants.acme]\napp_id = \"cli_a\"\napp_secret = \"hunter2\"\n\
         base_url = \"http://feishu.internal\"",
    );
    let output = feishu_id(&["check-config", file.path()])
        .env("FEISHU_ID_DRAIN__TIMEOUT", "3s")
        .env("FEISHU_ID_TYPO", "1")
        .output();
    let told = ended(output.unwrap());
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stdout.contains("max_identifiers = 7"));
    assert!(told.stdout.contains(&format!("# {}:2", file.path())));
    assert!(
        told.stdout
            .contains("# environment variable FEISHU_ID_DRAIN__TIMEOUT")
    );
    assert!(
        told.stderr
            .contains("warning: environment variable FEISHU_ID_TYPO")
    );
    assert!(
        told.stderr
            .contains("http://feishu.internal is not encrypted")
    );
    assert!(!told.stdout.contains("hunter2") && !told.stderr.contains("hunter2"));
    // What a reload does with it.
    let (_, of_reloads) = told
        .stdout
        .split_once("# A change of these takes effect at the next start")
        .unwrap();
    assert!(of_reloads.contains("#   grpc.listen\n"), "{of_reloads}");
    assert!(!of_reloads.contains("cache.ttl"), "{of_reloads}");
    assert!(of_reloads.ends_with(&format!(
        "# Files that a running server watches:\n#   {}\n",
        file.path()
    )));
}

#[test]
fn check_config_tells_all_mistakes_and_exits_with_2() {
    let file = TempFile::new(
        "bad.toml",
        "[grpc]\nlisen = \"x\"\n[drain]\ntimeout = 10\n[tenants.acme]\napp_id = \"cli_a\"\n\
         app_secret = \"hunter2\"\napp_secret_file = \"x\"\n",
    );
    let told = run(&["check-config", file.path()]);
    assert_eq!(told.code, Some(2));
    assert!(told.stdout.is_empty());
    for (line, part) in [
        (2, "grpc.lisen: no such setting; did you mean grpc.listen?"),
        (4, "drain.timeout: a duration needs a unit"),
        (7, "tenants.acme.app_secret: two sources for one secret"),
    ] {
        let expected = format!("{}:{line}: {part}", file.path());
        assert!(told.stderr.contains(&expected), "{}", told.stderr);
    }
    assert!(!told.stderr.contains("hunter2"));
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert_eq!(script.code, Some(0));
        assert!(script.stdout.contains("check-config"), "{shell}");
        assert!(script.stdout.contains("negative"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let mut child = feishu_id(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let told = ended(child.wait_with_output().unwrap());
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stderr.is_empty(), "{}", told.stderr);
}
