//! The command line, by running the built binary.

mod access;
mod cache;
mod commands;
mod fake;
mod keys;
mod resolving;

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

/// The binary with nothing of this process's environment that could matter to it.
fn feishu_id(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_feishu-id"));
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FEISHU_") {
            command.env_remove(name);
        }
    }
    // Nothing here may be kept where the user's own is.
    command.env("FEISHU_ID_CACHE__STORE", "none");
    command
}

/// What a run printed and how it ended.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run(args: &[&str]) -> Ended {
    ended(feishu_id(args).output().unwrap())
}

/// Runs with that standard input. It must be shorter than what a pipe holds, or be read.
fn run_with_input(args: &[&str], input: &[u8]) -> Ended {
    let mut child = feishu_id(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // On a thread of its own: the binary writes while it reads.
    let writer = std::thread::spawn(move || {
        // It may have ended early, and rightly so.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    ended(output)
}

/// A file of a test's own; gone with it.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let name = format!("feishu-id-it-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
