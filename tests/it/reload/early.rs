//! A SIGHUP in a process's first moments: a server lives on, a command ends.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use tokio::time::Instant;

/// SIGHUP, as a number and in the masks of `/proc`.
const HANGUP: i32 = 1;
const HANGUP_BIT: u64 = 1;

/// A process that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        // Whoever runs the tests may have told them to ignore hang-ups.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_feishu-id")]);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FEISHU_") {
                command.env_remove(name);
            }
        }
        let process = command
            .args(["--log-level", "error"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self(process)
    }

    /// How many threads it has, and whether it minds hang-ups: both at one moment.
    fn look(&self) -> (u32, bool) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().to_owned()
        };
        let caught = u64::from_str_radix(&field("SigCgt:"), 16).unwrap();
        (field("Threads:").parse().unwrap(), caught & HANGUP_BIT != 0)
    }

    fn hang_up(&self) {
        let pid = self.0.id().to_string();
        let told = Command::new("kill").args(["-HUP", &pid]).status();
        assert!(told.unwrap().success());
    }

    /// Waits until it has printed that.
    fn until_printed(&mut self, what: &str) -> BufReader<ChildStdout> {
        let mut stdout = BufReader::new(self.0.stdout.take().unwrap());
        let mut printed = String::new();
        while !printed.contains(what) {
            assert!(stdout.read_line(&mut printed).unwrap() > 0, "{printed}");
        }
        stdout
    }
}

#[test]
fn a_server_minds_hangups_before_it_does_anything_else() {
    for _ in 0..20 {
        let mut server = Running::start(&[
            "serve",
            "--sandbox",
            "--listen",
            "127.0.0.1:0",
            "--http-listen",
            "off",
        ]);
        let began = Instant::now();
        loop {
            match server.look() {
                (_, true) => break,
                (threads, false) => assert_eq!(threads, 1, "it has begun, and is deaf yet"),
            }
            assert!(began.elapsed() < Duration::from_secs(30));
        }
        server.hang_up();
        server.hang_up();
        let _open = server.until_printed("feishu-id listens on ");
        server.hang_up();
        assert!(server.0.try_wait().unwrap().is_none(), "it lives");
    }
}

#[test]
fn other_commands_end_with_their_terminal() {
    let anywhere = "127.0.0.1:0";
    let mut sandbox = Running::start(&[
        "sandbox",
        "--listen",
        anywhere,
        "--control-listen",
        anywhere,
    ]);
    let _open = sandbox.until_printed("FEISHU_BASE_URL=");
    sandbox.hang_up();
    assert_eq!(sandbox.0.wait().unwrap().signal(), Some(HANGUP));
    // It waits for the list of people.
    let mut resolve = Running::start(&["resolve", "--sandbox", "--file", "-"]);
    let began = Instant::now();
    while resolve.look().0 < 3 {
        assert!(began.elapsed() < Duration::from_secs(30));
    }
    resolve.hang_up();
    assert_eq!(resolve.0.wait().unwrap().signal(), Some(HANGUP));
}
