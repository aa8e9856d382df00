//! The other commands. What is somebody's answer may hold their data; what stands beside it may not.

use std::process::Command;

use super::{
    gathered::Gathered,
    marks,
    program::{Server, feishu_id, run},
    world::World,
};

/// Those that ask a running server.
pub fn against(server: &Server, told: &mut Gathered) {
    let address = server.grpc.to_string();
    for format in ["table", "json"] {
        let output =
            run(feishu_id().args(["cache", "stats", "--server", &address, "--format", format]));
        told.add("cache stats", output.stdout);
        told.add("cache stats", output.stderr);
    }
    let trace = ["--log-level", "trace"];
    for arguments in [
        &["cache", "flush", marks::EMAIL, marks::NUMBER][..],
        &["cache", "flush", "zq7 mail@@zq7dom.example"],
        &["cache", "flush", "--tenant", marks::TENANT, "--negative"],
    ] {
        let output = run(feishu_id()
            .args(arguments)
            .args(["--server", &address])
            .args(trace));
        told.add("cache flush", output.stdout);
        told.add("cache flush", output.stderr);
    }
    let mut resolve = feishu_id();
    resolve.arg("resolve").args(marks::identifiers());
    let output = run(resolve.args(["--server", &address]).args(trace));
    told.add("resolve", output.stderr);
}

/// `resolve`, whose answer on standard output is for whoever asked.
pub fn that_resolve(world: &World, told: &mut Gathered) {
    let tenant = &world.sandbox.tenants()[0];
    let resolve = |command: &mut Command| {
        command
            .env("FEISHU_BASE_URL", world.sandbox.base_url())
            .env("FEISHU_APP_ID", &tenant.app_id)
            .env("FEISHU_ID_CACHE__STORE", "none");
        let output = run(command);
        (output.status.code(), output)
    };
    let command = |secret: &str| {
        let mut command = feishu_id();
        command
            .env("FEISHU_APP_SECRET", secret)
            .args(["--log-level", "trace", "resolve"]);
        command
    };
    let (code, output) = resolve(command(marks::SECRET).args(marks::identifiers()));
    assert_eq!(code, Some(1), "some of them are not to be found");
    assert!(String::from_utf8_lossy(&output.stdout).contains("zq7uid1"));
    told.add("resolve", output.stderr);
    // A wrong secret.
    let (code, output) = resolve(command(marks::OTHER_SECRET).arg(marks::EMAIL));
    assert_ne!(code, Some(0));
    told.add("resolve", output.stderr);
    for (name, content) in [
        (
            "lines.txt",
            format!("{}\n{}\n", marks::EMAIL, marks::NUMBER),
        ),
        ("short.csv", format!("email,mobile\n{}\n", marks::EMAIL)),
        (
            "quote.csv",
            format!("email\n\"{}\n{}\n", marks::EMAIL, marks::NOBODY),
        ),
        (
            "no-header.csv",
            format!("{},{}\n", marks::EMAIL, marks::NUMBER),
        ),
        ("utf-16.txt", utf_16(marks::EMAIL)),
    ] {
        let path = world.file(name, &content);
        for column in [&[][..], &["--column", "mail"]] {
            let (_, output) = resolve(command(marks::SECRET).args(["--file", &path]).args(column));
            told.add("resolve", output.stderr);
        }
    }
    // Nobody is there.
    let (code, output) =
        resolve(command(marks::SECRET).args(["--server", "127.0.0.1:9", marks::EMAIL]));
    assert_eq!(code, Some(3));
    told.add("resolve", output.stderr);
}

/// As a careless spreadsheet writes it; seen as the characters that have its bytes.
fn utf_16(text: &str) -> String {
    let text = format!("\u{feff}{text}\n");
    text.encode_utf16()
        .flat_map(u16::to_le_bytes)
        .map(char::from)
        .collect()
}

/// `check-config` and a server that does not start, on configurations good and bad.
pub fn that_check_configurations(world: &World, told: &mut Gathered) {
    let good = world.configuration();
    let check = |path: &str, told: &mut Gathered| {
        for command in [&["check-config", path][..], &["serve", "--config", path]] {
            let mut command_line = feishu_id();
            command_line.args(command).args(["--log-level", "trace"]);
            // The servers among them do not get as far as listening.
            let output = run(&mut command_line);
            told.add("check-config", output.stdout);
            told.add("check-config", output.stderr);
            assert_eq!(output.status.code(), Some(2), "{path}");
        }
    };
    let output = run(feishu_id().arg("check-config").arg(&good));
    assert!(output.status.success());
    told.add("check-config", output.stdout);
    told.add("check-config", output.stderr);
    let secret = marks::SECRET;
    world.file("zq7.secret", "\n");
    for (number, lines) in [
        format!("app_secret = \"{secret}"),
        format!("app_secret = {secret}"),
        format!("app_secret = [\"{secret}\"]"),
        format!("app_secret = \"{secret}\"\napp_secret = \"{secret}\""),
        format!("app_secret = \"{secret}\"\nsecret app = \"{secret}\""),
        format!("app_secret_file = \"{secret}\""),
        format!("app_secert = \"{secret}\""),
        format!("app_secret = \"{secret}\"\nbase_url = \"https://u:{secret}@open.feishu.cn\""),
        format!("app_secret = \"{secret}\"\nbase_url = \"{secret}\""),
        format!("app_secret = \"{secret}\"\nproxy = \"ftp://u:{secret}@proxy\""),
        format!("app_secret = \"{secret}\"\nproxy = \"{secret}\""),
        format!("app_secret = \"{secret}\"\ndefault = \"{secret}\""),
        format!("app_secret = \"{secret}\"\n[quota]\nper_second = \"{secret}\""),
        format!("app_secret = \"{secret}\"\n[cache]\nttl = \"{secret}\"\nstore = \"{secret}\""),
        format!("app_secret = \"{secret}\"\n[grpc]\nlisten = \"{secret}\""),
    ]
    .iter()
    .enumerate()
    {
        let text = format!("[tenants.{}]\napp_id = \"cli_a\"\n{lines}\n", marks::TENANT);
        let path = world.file(&format!("bad-{number}.toml"), &text);
        check(&path, told);
    }
    let mut command = feishu_id();
    command
        .arg("check-config")
        .env("FEISHU_APP_ID", "cli_a")
        .env("FEISHU_APP_SECRET", secret);
    command
        .env("FEISHU_ID_SECRET", secret)
        .env("FEISHU_ID_QUOTA__PER_SECOND", secret);
    let output = run(&mut command);
    assert_eq!(output.status.code(), Some(2));
    told.add("check-config", output.stderr);
}
