//! The program: arguments in, exit code out.

use std::process::ExitCode;

/// Gives memory back sooner and allocates faster than the system's own under many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before there is anything that a panic could tell.
    feishu_id::hardening::hide_what_panics_say();
    feishu_id::cli::run(std::env::args_os())
}
