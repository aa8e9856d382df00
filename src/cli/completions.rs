//! `completions`: completion scripts for shells.

use clap::Args;
use clap_complete::Shell;

use super::{Ending, Failure, terminal};

const EXAMPLES: &str = "\
Examples:
  feishu-id completions bash > ~/.local/share/bash-completion/completions/feishu-id
  feishu-id completions zsh  > ~/.zfunc/_feishu-id
  feishu-id completions fish > ~/.config/fish/completions/feishu-id.fish";

/// Print a completion script for a shell.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs, command: &mut clap::Command) -> Result<Ending, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "feishu-id", &mut script);
    terminal::print(&String::from_utf8_lossy(&script))?;
    Ok(Ending::Well)
}
