//! Who asks, for the queue's fairness. `server` says it of every request, in its extensions. Knows
//! nobody.

/// Whom fairness counts as one: a connection, by its number, until callers are configured. The
/// default is for requests that came by none, as in tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerId(pub u64);
