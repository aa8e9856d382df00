//! The command line: one file a command. Knows arguments and exit codes; the work is done by `app`,
//! by the public API's client and by `sandbox`. Called by `main` alone.

mod cache;
mod check_config;
mod client;
mod completions;
mod json;
mod keys;
mod resolve;
mod sandbox;
mod serve;
mod setup;
mod terminal;

use std::{ffi::OsString, future::Future, process::ExitCode};

use clap::{Args, CommandFactory as _, Parser, Subcommand};

#[cfg(fuzz_hooks)]
pub use resolve::fuzzing;

use crate::{
    hardening,
    telemetry::{self, LogFormat, LogLevel},
};

const EXAMPLES: &str = "\
Examples:
  feishu-id serve --sandbox                     try it: a server on a simulated Feishu
  feishu-id resolve --sandbox wei.wang@acme.example   one lookup, no server, no credentials

  export FEISHU_APP_ID=cli_... FEISHU_APP_SECRET=...
  feishu-id serve                               the same with your own Feishu app

Exit codes: 0 all well; 1 some identifiers not resolved, or not flushed now; 2 usage or
configuration; 3 Feishu or the server could not be reached.";

/// Resolves people's e-mail addresses and mobile numbers to their Feishu (Lark) user IDs.
#[derive(Parser)]
#[command(name = "feishu-id", version, after_help = EXAMPLES, propagate_version = true)]
struct CommandLine {
    #[command(flatten)]
    log: LogArgs,
    /// let the system write core dumps and debuggers attach: they show every secret
    #[arg(
        long,
        global = true,
        hide_env_values = true,
        help_heading = "Debugging",
        env = "FEISHU_ID_ALLOW_CORE_DUMPS"
    )]
    allow_core_dumps: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct LogArgs {
    /// error, warn, info (of serve and sandbox), debug or trace; logs go to standard error
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "LEVEL",
        hide_possible_values = true,
        hide_env_values = true,
        help_heading = "Logging",
        env = "FEISHU_ID_LOG_LEVEL"
    )]
    log_level: Option<LogLevel>,
    /// text, or json: one object a line
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        hide_possible_values = true,
        hide_env_values = true,
        help_heading = "Logging",
        default_value = "text",
        env = "FEISHU_ID_LOG_FORMAT"
    )]
    log_format: LogFormat,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Resolve(Box<resolve::ResolveArgs>),
    Sandbox(sandbox::SandboxArgs),
    Cache(cache::CacheArgs),
    CheckConfig(check_config::CheckConfigArgs),
    Keys(keys::KeysArgs),
    Completions(completions::CompletionsArgs),
}

/// How a command that did its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// All well.
    Well,
    /// The work is done, and some identifiers have no answer.
    SomeUnresolved,
    /// The work is done as far as Feishu could be reached.
    SomeUnreachable,
}

/// Why a command did not do its work. The message goes to standard error.
#[derive(Debug)]
enum Failure {
    /// The arguments, the configuration or the input must be mended first.
    Usage(String),
    /// The server was asked and could not do it now.
    NotNow(String),
    /// Feishu or the server could not be reached.
    Unreachable(String),
    /// Whoever reads the output has gone: nothing to say, and nobody to say it to.
    ReaderGone,
}

impl Failure {
    /// The same, with a further line.
    fn adding(mut self, line: &str) -> Self {
        if let Self::Usage(message) | Self::NotNow(message) | Self::Unreachable(message) = &mut self
        {
            message.push('\n');
            message.push_str(line);
        }
        self
    }
}

/// Runs the command that the arguments (the program's name first) ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    // Before the line is read, which takes a while. Other commands end with their terminal.
    if asks_for_server(&arguments) {
        // If it fails, so it does where it can be told.
        let _ = serve::outlive_hangups();
    }
    let line = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) => {
            // Help and version come this way too, and go to standard output.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // A one-off command's own output must not drown in a service's log.
    let default_level = match line.command {
        Command::Serve(_) | Command::Sandbox(_) => LogLevel::Info,
        _ => LogLevel::Warn,
    };
    let level = line.log.log_level.unwrap_or(default_level);
    let volume = telemetry::init(level, line.log.log_format);
    if line.log.log_format == LogFormat::Json {
        hardening::tell_panics_as_json();
    }
    // Before there is a secret in memory.
    if !line.allow_core_dumps
        && let Err(error) = hardening::refuse_core_dumps()
    {
        tracing::warn!("core dumps, which hold every secret, could not be switched off: {error}");
    }
    let ended = match line.command {
        Command::Serve(args) => block_on(serve::run(args, line.log, volume)),
        Command::Resolve(args) => block_on(resolve::run(*args)),
        Command::Sandbox(args) => block_on(sandbox::run(args)),
        Command::Cache(args) => block_on(cache::run(args)),
        Command::CheckConfig(args) => check_config::run(args),
        Command::Keys(args) => keys::run(args),
        Command::Completions(args) => completions::run(&args, &mut CommandLine::command()),
    };
    exit_code(ended)
}

/// Whether the command is `serve`, as far as can be seen at a glance: the first argument that is neither
/// a flag nor the value of one.
fn asks_for_server(arguments: &[OsString]) -> bool {
    let mut arguments = arguments.iter().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--log-level" | "--log-format") => drop(arguments.next()),
            Some(flag) if flag.starts_with('-') => {}
            command => return command == Some("serve"),
        }
    }
    false
}

fn exit_code(ended: Result<Ending, Failure>) -> ExitCode {
    let (code, message) = match ended {
        Ok(Ending::Well) | Err(Failure::ReaderGone) => (0, None),
        Ok(Ending::SomeUnresolved) => (1, None),
        Ok(Ending::SomeUnreachable) => (3, None),
        Err(Failure::Usage(message)) => (2, Some(message)),
        Err(Failure::NotNow(message)) => (1, Some(message)),
        Err(Failure::Unreachable(message)) => (3, Some(message)),
    };
    if let Some(message) = message {
        // Several mistakes read as a list.
        terminal::say(&format!("error: {}", message.replace('\n', "\n       ")));
    }
    ExitCode::from(code)
}

fn block_on(command: impl Future<Output = Result<Ending, Failure>>) -> Result<Ending, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Usage(format!("cannot start threads: {error}")))?;
    let ended = runtime.block_on(command);
    // A thread that waits for standard input cannot be woken; nobody should wait for it.
    runtime.shutdown_background();
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_seen_at_a_glance_wherever_flags_stand() {
        let sees = |line: &str| {
            let arguments: Vec<_> = line.split(' ').map(OsString::from).collect();
            asks_for_server(&arguments)
        };
        for line in [
            "feishu-id serve",
            "feishu-id serve --sandbox",
            "feishu-id --allow-core-dumps --log-level debug --log-format=json serve",
        ] {
            assert!(sees(line), "{line}");
        }
        for line in [
            "feishu-id",
            "serve",
            "feishu-id --log-level serve",
            "feishu-id --log-level",
            "feishu-id resolve --tenant serve",
            "feishu-id sandbox",
        ] {
            assert!(!sees(line), "{line}");
        }
    }
}
