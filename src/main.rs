//! The program: arguments in, exit code out.

use std::process::ExitCode;

/// Gives memory back sooner and allocates faster than the system's own under many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    feishu_id::cli::run(std::env::args_os())
}
