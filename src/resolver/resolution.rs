//! What became of one identifier, in the resolver's words.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use crate::{
    identity::{Person, PersonStatus, UserIdType},
    metrics,
};

use super::{Failure, Found};

/// What became of one identifier.
#[derive(Clone, Debug)]
pub enum Resolution {
    /// One person.
    Resolved(Resolved),
    /// Nobody, or nobody whom the app may see.
    NotFound {
        /// When the call left.
        asked_at: SystemTime,
    },
    /// Several people.
    Ambiguous {
        /// Everybody, each with the kind of their ID.
        candidates: Vec<(UserIdType, Person)>,
        /// When the call left.
        asked_at: SystemTime,
    },
    /// Malformed, or refused by the directory.
    Invalid(Failure),
    /// No answer could be had.
    Failed(Failure),
}

/// One person's IDs.
#[derive(Clone)]
pub struct Resolved {
    /// The IDs.
    pub ids: Ids,
    /// What the directory says of the account.
    pub status: Option<PersonStatus>,
    /// When the call left; with several kinds, the oldest.
    pub asked_at: SystemTime,
    /// Whether it is older than its TTL, given because the directory could not be asked in time.
    pub stale: bool,
    /// Why a kind that was asked for is missing.
    pub missing: Option<Box<Failure>>,
}

/// At most one ID of each kind.
#[derive(Clone, Default)]
pub struct Ids {
    /// The person's ID inside the tenant.
    pub user_id: Option<String>,
    /// The person's ID for one app.
    pub open_id: Option<String>,
    /// The person's ID for all apps of one developer.
    pub union_id: Option<String>,
}

/// An answer, and where it comes from.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What became of the identifier.
    pub resolution: Resolution,
    /// Where that comes from.
    pub source: Source,
}

/// Where an answer comes from; with several kinds of ID, the last of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// From nowhere: there is none, or the identifier itself says it.
    #[default]
    Nowhere,
    /// The memory of answers.
    Cache,
    /// What an earlier run of the program has stored.
    Store,
    /// A call that somebody else had asked for.
    Coalesced,
    /// A call.
    Upstream,
    /// The memory of answers, past its time.
    Stale,
}

impl Default for Resolved {
    /// Nobody yet.
    fn default() -> Self {
        Self {
            ids: Ids::default(),
            status: None,
            asked_at: SystemTime::UNIX_EPOCH,
            stale: false,
            missing: None,
        }
    }
}

impl Found for Resolved {
    fn id(&mut self, kind: UserIdType, id: &str, status: Option<PersonStatus>, asked_at: Duration) {
        let asked_at = SystemTime::UNIX_EPOCH + asked_at;
        // With several kinds, the oldest.
        if self.ids.is_empty() || asked_at < self.asked_at {
            self.asked_at = asked_at;
        }
        self.ids.set(kind, id.to_owned());
        self.status = self.status.or(status);
    }

    fn stale(&mut self, stale: bool) {
        self.stale = stale;
    }
}

impl Source {
    /// The same for who counts it.
    pub fn counted(self) -> metrics::Source {
        match self {
            Self::Nowhere => metrics::Source::None,
            Self::Cache => metrics::Source::Cache,
            Self::Store => metrics::Source::Store,
            Self::Coalesced => metrics::Source::Coalesced,
            Self::Upstream => metrics::Source::Upstream,
            Self::Stale => metrics::Source::Stale,
        }
    }
}

impl Answered {
    /// For who counts it: what it is, and where it comes from.
    pub fn counted(&self) -> (metrics::Outcome, metrics::Source) {
        let outcome = match &self.resolution {
            Resolution::Resolved(_) => metrics::Outcome::Resolved,
            Resolution::NotFound { .. } => metrics::Outcome::NotFound,
            Resolution::Ambiguous { .. } => metrics::Outcome::Ambiguous,
            Resolution::Invalid(_) => metrics::Outcome::Invalid,
            Resolution::Failed(_) => metrics::Outcome::Failed,
        };
        (outcome, self.source.counted())
    }
}

impl From<Resolution> for Answered {
    /// Of what needs nobody to be asked.
    fn from(resolution: Resolution) -> Self {
        let source = Source::Nowhere;
        Self { resolution, source }
    }
}

impl Ids {
    /// All that there are.
    pub fn values(&self) -> impl Iterator<Item = &String> {
        [&self.user_id, &self.open_id, &self.union_id]
            .into_iter()
            .flatten()
    }

    /// Puts in one.
    pub fn set(&mut self, kind: UserIdType, id: String) {
        *match kind {
            UserIdType::UserId => &mut self.user_id,
            UserIdType::OpenId => &mut self.open_id,
            UserIdType::UnionId => &mut self.union_id,
        } = Some(id);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values().next().is_none()
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (redacted)", self.values().count())
    }
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved")
            .field("ids", &self.ids)
            .field("status", &self.status)
            .field("stale", &self.stale)
            .field("missing", &self.missing)
            .finish_non_exhaustive()
    }
}
