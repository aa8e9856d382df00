//! Who asked for how much, for those who must answer for it: every ten seconds a log line for each
//! caller, tenant, RPC and outcome that has moved, and one for whoever is refused at the door. Target
//! `audit`.
//!
//! Never an identifier, and never a text that a caller has made up: callers and tenants are named as the
//! configuration names them, so the lines are bounded by it. Knows neither the wire nor the
//! configuration; `callers` gives each caller an account here, `grpc` books into it.

mod account;
mod refusals;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

pub use account::{Account, Counts};
use refusals::{Refusals, Refused};

/// How often what was asked for is written down.
const EVERY: Duration = Duration::from_secs(10);

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rpc {
    /// One batch.
    ResolveUserIds,
    /// A batch of a stream.
    ResolveUserIdsStream,
    /// Answers are to be forgotten.
    FlushCache,
    /// The status is asked for.
    GetStatus,
}

/// What became of it. The first five count identifiers, the others requests or batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Somebody's IDs.
    Resolved,
    /// Nobody is known by it.
    NotFound,
    /// Several people are.
    Ambiguous,
    /// It is no identifier, or Feishu refuses it.
    Invalid,
    /// There is no answer.
    Failed,
    /// The request broke a rule.
    BadRequest,
    /// The caller may not ask for that.
    Denied,
    /// The caller asks for too much.
    RateLimited,
    /// It was done: a flush, a status.
    Done,
    /// It could not be done: a flush.
    NotDone,
}

/// Why somebody was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// Neither a key nor a certificate.
    NoCredential,
    /// What should be a key is none.
    MalformedCredential,
    /// Nobody's key, or no longer.
    UnknownKey,
    /// A certificate that names no caller.
    UnknownCertificate,
    /// A certificate that names several callers.
    SeveralCallers,
    /// A certificate that is none of ours, or too old, or none where one is asked for: no TLS.
    BadCertificate,
    /// A key of one caller with the certificate of another.
    NotTheSame,
    /// A caller who asks for what they may not.
    Denied,
    /// A caller with half of all requests that may be in flight.
    TooManyRequests,
}

/// The books. Cloning gives another handle of the same.
#[derive(Clone, Default)]
pub struct Audit(Arc<Books>);

#[derive(Default)]
struct Books {
    accounts: Mutex<Vec<Account>>,
    refusals: Mutex<Refusals>,
}

/// Writes the books down every ten seconds, until it is dropped or closed.
pub struct Auditing {
    audit: Audit,
    task: AbortOnDropHandle<()>,
}

impl Rpc {
    const ALL: [Self; 4] = [
        Self::ResolveUserIds,
        Self::ResolveUserIdsStream,
        Self::FlushCache,
        Self::GetStatus,
    ];

    fn text(self) -> &'static str {
        match self {
            Self::ResolveUserIds => "ResolveUserIds",
            Self::ResolveUserIdsStream => "ResolveUserIdsStream",
            Self::FlushCache => "FlushCache",
            Self::GetStatus => "GetStatus",
        }
    }
}

impl Outcome {
    const ALL: [Self; 10] = [
        Self::Resolved,
        Self::NotFound,
        Self::Ambiguous,
        Self::Invalid,
        Self::Failed,
        Self::BadRequest,
        Self::Denied,
        Self::RateLimited,
        Self::Done,
        Self::NotDone,
    ];

    fn text(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::NotFound => "not_found",
            Self::Ambiguous => "ambiguous",
            Self::Invalid => "invalid",
            Self::Failed => "failed",
            Self::BadRequest => "bad_request",
            Self::Denied => "denied",
            Self::RateLimited => "rate_limited",
            Self::Done => "done",
            Self::NotDone => "not_done",
        }
    }
}

impl Why {
    const ALL: [Self; 9] = [
        Self::NoCredential,
        Self::MalformedCredential,
        Self::UnknownKey,
        Self::UnknownCertificate,
        Self::SeveralCallers,
        Self::BadCertificate,
        Self::NotTheSame,
        Self::Denied,
        Self::TooManyRequests,
    ];

    fn text(self) -> &'static str {
        match self {
            Self::NoCredential => "no_credential",
            Self::MalformedCredential => "malformed_credential",
            Self::UnknownKey => "unknown_key",
            Self::UnknownCertificate => "unknown_certificate",
            Self::SeveralCallers => "several_callers",
            Self::BadCertificate => "bad_certificate",
            Self::NotTheSame => "key_and_certificate_differ",
            Self::Denied => "denied",
            Self::TooManyRequests => "too_many_requests",
        }
    }
}

impl Audit {
    /// A new account for this caller.
    pub fn open(&self, caller: &str) -> Account {
        let account = Account::new(caller);
        self.accounts().push(account.clone());
        account
    }

    /// Somebody was refused: a line, unless there was one of the same within ten seconds.
    pub fn refused(&self, peer: Option<IpAddr>, why: Why, caller: Option<&str>) {
        let refused = Refused {
            peer,
            why,
            caller: caller.map(str::to_owned),
        };
        if self.refusals().note(&refused) {
            let (peer, reason) = (shown(peer), why.text());
            tracing::warn!(target: "audit", peer, reason, caller, "refused");
        }
    }

    /// How often somebody was refused, and why.
    pub fn each_refusal(&self, mut show: impl FnMut(&'static str, u64)) {
        let refusals = self.refusals();
        for why in Why::ALL {
            show(why.text(), refusals.of(why));
        }
    }

    /// How many identifiers each caller has asked for, by outcome.
    pub fn each_caller(&self, mut show: impl FnMut(&str, &'static str, u64)) {
        for account in self.accounts().iter() {
            account.each_outcome(|outcome, count| show(account.caller(), outcome.text(), count));
        }
    }

    /// Writes down what has moved since the last time.
    fn write(&self) {
        let accounts = self.accounts().clone();
        accounts.iter().for_each(Account::write);
        let (again, others) = self.refusals().settle();
        for (Refused { peer, why, caller }, count) in again {
            let (peer, reason) = (shown(peer), why.text());
            tracing::warn!(target: "audit", peer, reason, caller, count, "refused again");
        }
        if others > 0 {
            tracing::warn!(target: "audit", count = others, "others refused");
        }
    }

    fn accounts(&self) -> MutexGuard<'_, Vec<Account>> {
        // Nothing that can panic happens under it.
        self.0
            .accounts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        // As above.
        self.0
            .refusals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Auditing {
    /// From now on.
    pub fn start(audit: Audit) -> Self {
        let writes = audit.clone();
        let task = tokio::spawn(async move {
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                writes.write();
            }
        });
        Self {
            audit,
            task: AbortOnDropHandle::new(task),
        }
    }

    /// Writes down the rest, once nobody asks any more.
    pub fn close(self) {
        drop(self.task);
        self.audit.write();
    }
}

fn shown(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "in-process".to_owned(), |ip| ip.to_string())
}

#[cfg(test)]
mod tests;
