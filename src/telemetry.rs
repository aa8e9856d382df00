//! What is told while the program runs: log lines on standard error, and spans to a collector. Knows no
//! setting of the service; `cli` calls it first.

mod libraries;
mod lines;
pub mod otlp;

use std::io;

use clap::ValueEnum;
use tracing::Level;
use tracing_subscriber::{
    Layer as _, Registry, filter::Targets, fmt, layer::SubscriberExt as _, reload,
    util::SubscriberInitExt as _,
};

use libraries::NowAndThen;

pub use lines::LogFormat;

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Only what has failed.
    Error,
    /// Also what is odd.
    Warn,
    /// Also the course of things.
    Info,
    /// Also each request.
    Debug,
    /// Everything.
    Trace,
}

/// What tells of itself at the level that was asked for. Libraries, some of which tell of every frame
/// and header, are heard only when something is odd, whichever they are, and then seldom.
const OURS: &str = "feishu_id";
/// Who asked for what is told however little else is.
const AUDIT: &str = "audit";

/// Changes how much is logged while the program runs. Cloning gives another handle of the same.
#[derive(Clone, Debug)]
pub struct Volume(reload::Handle<Targets, Registry>);

impl Volume {
    /// Logs so much from now on.
    pub fn set(&self, level: Level) {
        // Without a subscriber, as after a second `init`, there is nothing to change.
        let _ = self.0.reload(targets(level));
    }
}

/// Starts logging; a second call changes nothing.
pub fn init(level: LogLevel, format: LogFormat) -> Volume {
    // A filter that is asked once for each place in the code, and again after a change: what is not
    // logged costs nothing.
    let (filter, volume) = reload::Layer::new(targets(level.into()));
    // A closed standard error is no reason to complain about, least of all there.
    let layer = fmt::layer()
        .with_writer(io::stderr)
        .log_internal_errors(false)
        .with_ansi(format == LogFormat::Text && io::IsTerminal::is_terminal(&io::stderr()))
        .event_format(format)
        .and_then(NowAndThen::but_for(&[OURS, AUDIT]));
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init();
    Volume(volume)
}

fn targets(level: Level) -> Targets {
    // `Level` counts a quieter level as the smaller one.
    Targets::new()
        .with_default(level.min(Level::WARN))
        .with_target(OURS, level)
        .with_target(AUDIT, level.max(Level::INFO))
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}
