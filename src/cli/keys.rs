//! `keys`: keys for the callers of a server.

use clap::{Args, Subcommand};

use crate::callers::Key;

use super::{Ending, Failure, terminal};

const EXAMPLES: &str = "\
Examples:
  feishu-id keys new billing                  the key, and the lines for the configuration
  feishu-id keys new billing > billing.key    the key into a file, the lines on the terminal

The key goes to the caller, who sends it with each call as the metadata
`authorization: Bearer KEY`; its hash goes into the server's configuration. Nothing keeps the key:
who loses it makes another one.

To replace a key without a pause, put the new hash beside the old one (key_hashes holds several),
give the caller the new key, and take the old hash out.";

/// Make keys for callers.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Subcommand)]
enum KeysCommand {
    New(NewArgs),
}

const NEW_EXAMPLES: &str = "\
Example:
  feishu-id keys new billing > billing.key

Prints the key on standard output, alone and once, and on standard error the lines for the
configuration, which hold its SHA-256 and not the key itself. A key has 256 random bits.";

/// Make a key: print it once, and the lines for the configuration.
#[derive(Args)]
#[command(after_help = NEW_EXAMPLES)]
struct NewArgs {
    /// The caller's name in the configuration: 1 to 40 of a-z, 0-9, _ and -
    #[arg(value_name = "NAME", default_value = "my-service", value_parser = name)]
    name: String,
}

pub(super) fn run(args: KeysArgs) -> Result<Ending, Failure> {
    let KeysCommand::New(NewArgs { name }) = args.command;
    let key = Key::generate().map_err(|error| Failure::Usage(error.to_string()))?;
    let hash = key.hash();
    terminal::say(&format!(
        "# For the configuration; the key itself is for the caller alone.\n\
         [callers.{name}]\n\
         key_hashes = [\"{hash}\"]\n\
         # and tenants = [...], the names of those that this caller may ask about, or \"*\" for all"
    ));
    terminal::print_secret(&[key.expose(), "\n"])?;
    Ok(Ending::Well)
}

fn name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if (1..=40).contains(&text.len()) && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("a caller's name is 1 to 40 of a-z, 0-9, _ and -".to_owned())
    }
}
