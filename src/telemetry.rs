//! Logs: one subscriber on standard error. Knows no setting of the service; `cli` calls it first.

use std::io;

use clap::ValueEnum;
use tracing::Level;
use tracing_subscriber::{
    Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

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

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Libraries that tell of every frame and connection: heard only when something is odd.
const TALKATIVE: [&str; 6] = ["h2", "hyper", "hyper_util", "reqwest", "tonic", "rustls"];

/// Starts logging; a second call changes nothing.
pub fn init(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    // `Level` counts a quieter level as the smaller one.
    let talkative = level.min(Level::WARN);
    let targets = Targets::new()
        .with_default(level)
        .with_targets(TALKATIVE.map(|target| (target, talkative)));
    // A closed standard error is no reason to complain about, least of all there.
    let layer = fmt::layer()
        .with_writer(io::stderr)
        .log_internal_errors(false);
    let layer = match format {
        LogFormat::Text => layer
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(targets))
        .try_init();
}
