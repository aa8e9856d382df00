//! What became of the configurations that the service has been given.

use std::{sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;

use crate::clock;

/// Longest reason that is kept, in bytes: some twenty mistakes. The log has them all.
const MAX_REASON: usize = 2000;

/// The one in force, and the one that was refused last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Since when it is in force.
    pub applied_at: SystemTime,
    /// The one read last, unless it is the one in force.
    pub refused: Option<Refused>,
}

/// A configuration that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When.
    pub at: SystemTime,
    /// Why; no secret, but perhaps the names of tenants and files.
    pub why: String,
}

/// Keeps account of them.
pub(super) struct Configurations(ArcSwap<Configuration>);

impl Configurations {
    /// One is in force from now on.
    pub(super) fn begin() -> Self {
        Self(ArcSwap::from_pointee(Configuration::from_now_on()))
    }

    pub(super) fn applied(&self) {
        self.0.store(Arc::new(Configuration::from_now_on()));
    }

    pub(super) fn refused(&self, why: &str) {
        let applied_at = self.0.load().applied_at;
        let refused = Refused {
            at: clock::wall_now(),
            why: shortened(why),
        };
        self.0.store(Arc::new(Configuration {
            applied_at,
            refused: Some(refused),
        }));
    }

    pub(super) fn now(&self) -> Configuration {
        Configuration::clone(&self.0.load())
    }
}

impl Configuration {
    fn from_now_on() -> Self {
        Self {
            applied_at: clock::wall_now(),
            refused: None,
        }
    }
}

fn shortened(why: &str) -> String {
    if why.len() <= MAX_REASON {
        return why.to_owned();
    }
    let start = why.get(..why.floor_char_boundary(MAX_REASON));
    format!("{} … (the log has the rest)", start.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let short = "x".repeat(MAX_REASON);
        assert_eq!(shortened(&short), short);
        let long = "é".repeat(MAX_REASON);
        let cut = shortened(&format!("x{long}"));
        assert!(cut.starts_with("xé") && cut.ends_with("é … (the log has the rest)"));
        assert!(cut.len() < MAX_REASON + 40, "{}", cut.len());
    }
}
