//! What keeps the process's memory to itself: a panic says where and not what, and the system writes no
//! core dumps. Called first of all, by `main` and `cli`. Knows nothing of what it keeps.

use std::{
    io::{self, Write as _},
    panic::{self, PanicHookInfo},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::json;

use crate::clock;

/// Whether what is said of a panic is a JSON object, as the log's lines are.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// From now on a panic tells its place and its thread on standard error and nothing else: a panic's
/// message is made of whatever was being worked on.
///
/// Not by way of the log: what panicked may hold one of the log's own locks.
pub fn hide_what_panics_say() {
    panic::set_hook(Box::new(tell));
}

/// From now on that is one JSON object a line.
pub fn tell_panics_as_json() {
    AS_JSON.store(true, Relaxed);
}

fn tell(panicked: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    // Of the sources, as they lay where this was built.
    let place = panicked
        .location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let time = humantime::format_rfc3339_micros(clock::wall_now());
    let mut line = if AS_JSON.load(Relaxed) {
        json!({
            "timestamp": time.to_string(),
            "level": "ERROR",
            "message": "panicked",
            "place": place,
            "thread": thread,
            "target": module_path!(),
        })
        .to_string()
    } else {
        format!("{time} ERROR panicked at {place} in the thread {thread}")
    };
    line.push('\n');
    // A closed standard error is no reason to panic in a panic.
    let _nobody_hears = io::stderr().write_all(line.as_bytes());
}

/// From now on the system writes no core dump of this process, nor hands one to a collector of them: it
/// would hold every secret and everybody who is remembered.
///
/// On Linux this also closes `/proc/PID/mem`, `environ` and the like to other processes of the same user,
/// and keeps their debuggers out.
///
/// # Errors
/// The system's.
pub fn refuse_core_dumps() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    // A collector (`core_pattern` with a pipe) is not bound by the limit.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
