//! The id of a request, for people who look for it in logs: the caller's own, else one of ours.

use std::fmt;

use http::HeaderValue;

/// The id of a request. One that the caller has not given is only numbers until somebody reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Given(HeaderValue),
    Made {
        process: u32,
        connection: u64,
        number: u64,
    },
}

impl RequestId {
    /// The caller's own, which must be visible ASCII.
    pub fn given(value: HeaderValue) -> Self {
        Self(Kind::Given(value))
    }

    /// Ours: the process' own number, the connection's in it, and the request's on that.
    pub fn made(process: u32, connection: u64, number: u64) -> Self {
        Self(Kind::Made {
            process,
            connection,
            number,
        })
    }

    /// Whether the caller gave it.
    pub fn is_given(&self) -> bool {
        matches!(self.0, Kind::Given(_))
    }

    /// As a header.
    pub fn value(&self) -> Option<HeaderValue> {
        match &self.0 {
            Kind::Given(value) => Some(value.clone()),
            Kind::Made { .. } => HeaderValue::try_from(self.to_string()).ok(),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Given(value) => f.write_str(value.to_str().unwrap_or_default()),
            Kind::Made {
                process,
                connection,
                number,
            } => write!(f, "{process:08x}-{connection}-{number}"),
        }
    }
}
