//! What happens in one run, as plain data: printed when a run fails, written by hand for a bug that
//! was found. All people in it are made up.

use std::time::Duration;

use feishu_id::{batch::WhenFull, identity::UserIdType};

/// People that there can be, each with an e-mail address and a mobile number: more of a kind than
/// fit into one call.
pub(super) const PEOPLE: usize = 56;

/// One run.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    /// Of every random number in the run, and of the scenario itself unless it was written by hand.
    pub(super) seed: u64,
    pub(super) setting: Setting,
    pub(super) ops: Vec<Op>,
}

/// What does not change during a run.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) tenants: usize,
    pub(super) per_second: usize,
    pub(super) per_minute: usize,
    pub(super) max_in_flight: usize,
    pub(super) max_queue: usize,
    pub(super) ttl: Duration,
    pub(super) negative: Duration,
    pub(super) serve_stale: Duration,
    /// Longest way there, and longest way back, in milliseconds.
    pub(super) delay_ms: u64,
    pub(super) form: Form,
    /// Whether a 429 says when to come back.
    pub(super) tells_reset: bool,
    /// Whether rows have a status.
    pub(super) shows_status: bool,
    /// How often a call meets which fault.
    pub(super) rates: Vec<(Fault, f64)>,
    /// Nothing goes wrong and everybody has time: then nobody may fail.
    pub(super) calm: bool,
}

/// How Feishu counts calls; nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Windows that begin at whole seconds and minutes of Feishu's clock.
    Fixed,
    Sliding,
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Resolve(Ask),
    /// Time passes.
    Pause(Duration),
    /// The whole process stands still, as when its machine sleeps.
    Suspend(Duration),
    Change(Change),
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) tenant: usize,
    pub(super) kinds: Vec<UserIdType>,
    pub(super) who: Vec<Who>,
    pub(super) include_resigned: bool,
    pub(super) max_age: Option<Duration>,
    pub(super) within: Duration,
    pub(super) caller: u64,
    pub(super) when_full: WhenFull,
    /// The caller hangs up then.
    pub(super) leaves_after: Option<Duration>,
}

/// Whom a request asks for, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Who {
    Email(usize),
    Mobile(usize),
    /// What is no identifier.
    Nonsense,
}

/// What becomes of Feishu.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Somebody gets another ID.
    NewId {
        tenant: usize,
        person: usize,
    },
    /// Somebody leaves the company.
    Leaves {
        tenant: usize,
        person: usize,
    },
    /// One more row for somebody.
    Appears {
        tenant: usize,
        person: usize,
    },
    /// All rows of somebody go.
    Vanishes {
        tenant: usize,
        person: usize,
    },
    /// The field scope of a kind is granted, or taken away.
    Scope {
        tenant: usize,
        kind: UserIdType,
        granted: bool,
    },
    Revoke {
        tenant: usize,
    },
    /// Another program uses this share of the limit from now on.
    Other {
        tenant: usize,
        share: Option<f64>,
    },
    /// Every call fails so, until it does no more.
    Trouble {
        tenant: usize,
        fault: Option<Fault>,
    },
    /// The next calls fail so, one after the other.
    Next {
        tenant: usize,
        faults: Vec<Fault>,
    },
    /// Feishu refuses calls with this identifier in them.
    Poison {
        tenant: usize,
        who: Who,
        bad: bool,
        is_named: bool,
    },
    /// The wall clock jumps.
    WallJump {
        seconds: i64,
    },
}

/// What can go wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Fault {
    Throttled,
    ThrottledUntil,
    MonthSpent,
    TokenRejected,
    TokenUnavailable,
    BadCredentials,
    ScopeMissing,
    IdKindRefused,
    AppUnavailable,
    ContentRefused,
    CulpritRefused,
    Unavailable,
    TimedOut,
    /// Cut off, or nonsense.
    InvalidResponse,
    RowsMissing,
    RowsDoubled,
    RowsReordered,
    Slow,
    /// The call's own code panics.
    Crash,
}

impl Fault {
    pub(super) const ALL: [Self; 19] = [
        Self::Throttled,
        Self::ThrottledUntil,
        Self::MonthSpent,
        Self::TokenRejected,
        Self::TokenUnavailable,
        Self::BadCredentials,
        Self::ScopeMissing,
        Self::IdKindRefused,
        Self::AppUnavailable,
        Self::ContentRefused,
        Self::CulpritRefused,
        Self::Unavailable,
        Self::TimedOut,
        Self::InvalidResponse,
        Self::RowsMissing,
        Self::RowsDoubled,
        Self::RowsReordered,
        Self::Slow,
        Self::Crash,
    ];
}

impl Default for Setting {
    /// Feishu as it is documented, on a good day.
    fn default() -> Self {
        Self {
            tenants: 2,
            per_second: 50,
            per_minute: 1000,
            max_in_flight: 16,
            max_queue: 2000,
            ttl: Duration::from_hours(12),
            negative: Duration::from_mins(1),
            serve_stale: Duration::from_hours(24),
            delay_ms: 20,
            form: Form::Sliding,
            tells_reset: true,
            shows_status: true,
            rates: Vec::new(),
            calm: false,
        }
    }
}

impl Default for Ask {
    /// An interactive lookup of one person.
    fn default() -> Self {
        Self {
            tenant: 0,
            kinds: vec![UserIdType::UserId],
            who: vec![Who::Email(0)],
            include_resigned: false,
            max_age: None,
            within: Duration::from_secs(10),
            caller: 1,
            when_full: WhenFull::Shed,
            leaves_after: None,
        }
    }
}
