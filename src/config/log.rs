//! `[log]`: what is logged. The form of a line is the command line's alone: it cannot change while the
//! service runs.

use tracing::Level;

use super::{
    reader::Reader,
    value::{Raw, Value, quote},
};

/// What is logged.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// How much.
    pub level: Level,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: Level::INFO }
    }
}

impl LogConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            level: reader.setting("log.level", Self::default().level),
        }
    }
}

impl Value for Level {
    fn parse(raw: &Raw) -> Result<Self, String> {
        const EXPECTED: &str = "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"";
        let text = String::parse(raw).map_err(|_| format!("expected {EXPECTED}"))?;
        match text.as_str() {
            "error" => Ok(Self::ERROR),
            "warn" => Ok(Self::WARN),
            "info" => Ok(Self::INFO),
            "debug" => Ok(Self::DEBUG),
            "trace" => Ok(Self::TRACE),
            _ => Err(format!("expected {EXPECTED}")),
        }
    }

    fn show(&self) -> String {
        quote(&self.as_str().to_ascii_lowercase())
    }
}
