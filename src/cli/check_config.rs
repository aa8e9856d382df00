//! `check-config`: says what a configuration means, or all that is wrong with it.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Config, Loaded, Sources};

use super::{Ending, Failure, terminal};

const EXAMPLES: &str = "\
The configuration is TOML. Every key can also be set by a variable: FEISHU_ID_ and its
path in capitals, joined by two underscores. A flag wins over a variable, a variable over
the file. An empty variable counts as unset. A relative path in the file counts from the
file's own directory.

Example:
  cat > feishu-id.toml <<'END'
  [grpc]
  listen = \"127.0.0.1:50051\"

  [tenants.acme]                       # FEISHU_ID_TENANTS__ACME__APP_ID and so on
  app_id = \"cli_a1b2c3\"
  app_secret_file = \"acme.secret\"      # or app_secret = \"...\"
  # base_url = \"https://open.larksuite.com\"

  [callers.billing]                    # who may call; without any, everybody who can connect
  key_hashes = [\"sha256:...\"]         # as `feishu-id keys new billing` prints it
  tenants = [\"acme\"]                  # or [\"*\"]; in a variable, separated by commas
  # user_id_types = [\"user_id\"]       # all
  # permissions = [\"fresh\", \"admin\"] # none: a max_age under a minute; flush and status
  # identifiers_per_second = 100       # or \"off\"
  # certificate_identity = [\"billing.example\"]

  # [tls]                              # for any other address than a loopback one
  # certificate = \"server.pem\"
  # key = \"server.key\"
  # client_ca = \"clients.pem\"        # then clients must show a certificate of theirs

  # [telemetry]                        # traces, by OTLP over gRPC
  # otlp_endpoint = \"http://127.0.0.1:4317\"
  END
  feishu-id check-config feishu-id.toml

Without a file, one tenant comes from FEISHU_APP_ID, FEISHU_APP_SECRET or
FEISHU_APP_SECRET_FILE, and FEISHU_BASE_URL. OTEL_EXPORTER_OTLP_ENDPOINT and
OTEL_SERVICE_NAME fill [telemetry] where nothing else does.

A running server reads all of this again on SIGHUP, and when a file has changed. The
environment is that of its start. What it cannot change while it runs is listed at the end;
so are the files that it watches.

Exit codes: 0 good; 2 wrong, with every mistake on standard error.";

/// Check a configuration and print all settings with their origin.
///
/// Reads the file, the environment and the files they name; contacts nobody. Secrets are masked. Says
/// which settings need a restart, and which files a running server watches.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckConfigArgs {
    /// The configuration (TOML).
    #[arg(value_name = "FILE", env = "FEISHU_ID_CONFIG", hide_env_values = true)]
    file: Option<PathBuf>,
}

pub(super) fn run(args: CheckConfigArgs) -> Result<Ending, Failure> {
    let sources = Sources::of_process(args.file);
    let loaded = Config::load(&sources).map_err(|errors| Failure::Usage(errors.to_string()))?;
    for warning in &loaded.warnings {
        terminal::say(&format!("warning: {warning}"));
    }
    if loaded.config.tenants.is_empty() {
        terminal::say("warning: no tenant is configured: serve will need --sandbox");
    }
    terminal::print(&format!("{}\n{}", loaded.effective(), of_reloads(&loaded)))?;
    Ok(Ending::Well)
}

/// What a reload does with these settings, as comments.
fn of_reloads(loaded: &Loaded) -> String {
    let list = |title: &str, entries: Vec<String>| {
        let lines = entries.iter().map(|entry| format!("#   {entry}\n"));
        format!("# {title}\n{}", lines.collect::<String>())
    };
    let fixed = loaded.effective().fixed().collect();
    let files = loaded.files.iter().map(|file| file.display().to_string());
    let files: Vec<_> = files.collect();
    let watched = if files.is_empty() {
        "# A running server watches no file.\n".to_owned()
    } else {
        list("Files that a running server watches:", files)
    };
    let title =
        "A change of these takes effect at the next start, of all others at a reload (SIGHUP):";
    format!("{}{watched}", list(title, fixed))
}
