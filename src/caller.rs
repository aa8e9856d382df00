//! Who asks, for the queue's fairness. Knows nobody.

/// Whom fairness counts as one: a connection, until callers are configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerId(pub u64);
