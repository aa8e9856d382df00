//! A key from its making to the audit log.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
    thread::JoinHandle,
};

use serde_json::Value;

use super::{TempFile, ended, feishu_id, run};

const WEI: &str = "wei.wang@acme.example";

/// A key and the lines for the configuration.
fn new_key(name: &str) -> (String, String) {
    let made = run(&["keys", "new", name]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let key = made.stdout.strip_suffix('\n').unwrap().to_owned();
    assert!(
        !made.stderr.contains(&key),
        "the key goes to standard output alone"
    );
    (key, made.stderr)
}

/// A server on the simulated Feishu; ends when dropped.
struct Server {
    child: Child,
    address: String,
    logs: Option<JoinHandle<String>>,
}

impl Server {
    fn start(config: &TempFile) -> Self {
        let mut child = feishu_id(&["serve", "--sandbox", "--listen", "127.0.0.1:0"])
            .args(["--http-listen", "off", "--log-level", "error"])
            .args(["--config", config.path()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let logs = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "it ended");
            if let Some(address) = line.trim().strip_prefix("feishu-id listens on ") {
                break address.to_owned();
            }
        };
        std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
        Self {
            child,
            address,
            logs: Some(logs),
        }
    }

    fn resolve(&self, tenant: &str) -> Command {
        let mut command = feishu_id(&["resolve", "--format", "json", "--tenant", tenant, WEI]);
        command.args(["--server", &self.address]);
        command
    }

    /// What it has logged, once it has ended as it should.
    fn stop(mut self) -> String {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(told.unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        self.logs.take().unwrap().join().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn each_key_is_another_and_its_lines_are_good_configuration() {
    let (key, lines) = new_key("billing");
    assert!(key.starts_with("fid_") && key.len() == 47, "{}", key.len());
    assert_ne!(new_key("billing").0, key);
    let file = TempFile::new(
        "keys.toml",
        format!(
            "{lines}tenants = [\"acme\"]\n[tenants.acme]\napp_id = \"cli_a\"\napp_secret = \"s\""
        ),
    );
    let checked = run(&["check-config", file.path()]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(checked.stderr.is_empty(), "{}", checked.stderr);
    assert!(
        checked.stdout.contains("[callers.billing]"),
        "{}",
        checked.stdout
    );
}

#[test]
fn a_name_that_no_caller_can_have_is_a_usage_error() {
    for name in ["", "Billing", "a b", &"x".repeat(41)] {
        let told = run(&["keys", "new", name]);
        assert_eq!(told.code, Some(2), "{name}");
        assert!(told.stdout.is_empty(), "no key is made");
    }
}

#[test]
fn with_its_key_a_command_may_what_its_caller_may_and_the_log_says_so() {
    let (key, billing) = new_key("billing");
    let (root_key, root) = new_key("root");
    let config = TempFile::new(
        "callers.toml",
        format!(
            "{billing}tenants = [\"acme\"]\n{root}tenants = [\"*\"]\npermissions = [\"admin\"]\n"
        ),
    );
    let server = Server::start(&config);

    let stranger = ended(server.resolve("acme").output().unwrap());
    assert_eq!(stranger.code, Some(2));
    assert!(
        stranger.stderr.contains("authorization: Bearer"),
        "{}",
        stranger.stderr
    );
    let known = ended(
        server
            .resolve("acme")
            .env("FEISHU_ID_API_KEY", &key)
            .output()
            .unwrap(),
    );
    assert_eq!(known.code, Some(0), "{}", known.stderr);
    let resolution: Value = serde_json::from_str(&known.stdout).unwrap();
    assert_eq!(resolution["outcome"], "OUTCOME_RESOLVED");
    let elsewhere = ended(
        server
            .resolve("globex")
            .env("FEISHU_ID_API_KEY", &key)
            .output()
            .unwrap(),
    );
    assert_eq!(elsewhere.code, Some(2), "{}", elsewhere.stderr);
    assert!(
        elsewhere.stderr.contains("no tenant of this name"),
        "{}",
        elsewhere.stderr
    );

    let file = TempFile::new("billing.key", format!("{key}\n"));
    let root_file = TempFile::new("root.key", format!("{root_key}\n"));
    let stats = |file: &TempFile| {
        let place = ["--server", &server.address, "--api-key-file", file.path()];
        run(&[&["cache", "stats"][..], &place].concat())
    };
    let refused = stats(&file);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("permission admin"),
        "{}",
        refused.stderr
    );
    assert_eq!(stats(&root_file).code, Some(0));

    let logs = server.stop();
    for expected in [
        // Refused at the door, with the address.
        &["refused", "peer=\"127.0.0.1\"", "no_credential"][..],
        &["refused", "caller=\"billing\"", "denied"],
        &[
            "billing",
            "acme",
            "ResolveUserIdsStream",
            "resolved",
            "count=1",
        ],
        &[
            "billing",
            "tenant=\"-\"",
            "ResolveUserIdsStream",
            "denied",
            "count=1",
        ],
        &["billing", "tenant=\"-\"", "GetStatus", "denied", "count=1"],
        &["root", "tenant=\"*\"", "GetStatus", "done", "count=1"],
    ] {
        let is_there = |line: &str| expected.iter().all(|part| line.contains(part));
        assert!(logs.lines().any(is_there), "{expected:?}\n{logs}");
    }
    for secret in [WEI, &key, &root_key, "fid_", "globex"] {
        assert!(!logs.contains(secret), "{secret}\n{logs}");
    }
}
