//! What every answer must keep: it is what Feishu gave to this very question, in a call that left
//! late enough; a failure has a cause.

use std::time::{Duration, SystemTime};

use feishu_id::{
    batch::WhenFull,
    directory::DirectoryErrorKind as Kind,
    identity::UserIdType,
    resolver::{Failure, Reason, Resolution, Resolved},
};
use tokio::time::Instant;

use super::{
    ledger::{FailedCall, Given, Ledger, Meaning, Question, Record, sorted},
    scenario::{Ask, Setting, Who},
};

/// The longest life of a negative answer.
const LONGEST_NEGATIVE: Duration = Duration::from_hours(1);
/// The longest that a failure is remembered without asking: a spent month, and any other.
const MONTH_MEMORY: Duration = Duration::from_mins(61);
const MEMORY: Duration = Duration::from_mins(16);

/// One answered request, and what it is judged by.
pub(super) struct Asked<'a> {
    pub(super) setting: &'a Setting,
    pub(super) ledger: &'a Ledger,
    pub(super) ask: &'a Ask,
    pub(super) start: Instant,
    pub(super) end: Instant,
}

type Verdict = Result<(), String>;

impl Asked<'_> {
    /// What is wrong with one resolution, if anything.
    pub(super) fn check(&self, who: Who, resolution: &Resolution) -> Verdict {
        if who == Who::Nonsense {
            let is_invalid =
                matches!(resolution, Resolution::Invalid(f) if f.reason == Reason::InvalidEmail);
            return if is_invalid {
                Ok(())
            } else {
                Err("what is no identifier is not invalid".to_owned())
            };
        }
        match resolution {
            Resolution::Resolved(resolved) => self.resolved(who, resolved),
            Resolution::NotFound { asked_at } => {
                for kind in self.kinds() {
                    self.not_found(who, kind, *asked_at)?;
                }
                Ok(())
            }
            Resolution::Ambiguous {
                candidates,
                asked_at,
            } => {
                let mut several = false;
                for kind in self.kinds() {
                    let ids = sorted(
                        candidates
                            .iter()
                            .filter(|(k, _)| *k == kind)
                            .map(|(_, p)| p.id.clone()),
                    );
                    several |= ids.len() > 1;
                    match ids.as_slice() {
                        [] => {}
                        [only] => {
                            self.given(who, kind, &Meaning::One(only.clone()), *asked_at, false)?;
                        }
                        _ => self.given(who, kind, &Meaning::Several(ids), *asked_at, false)?,
                    }
                }
                if several {
                    Ok(())
                } else {
                    Err("ambiguous, but not several".to_owned())
                }
            }
            Resolution::Invalid(failure) => self.refused(who, failure),
            Resolution::Failed(failure) => self.failed(who, failure),
        }
    }

    fn kinds(&self) -> Vec<UserIdType> {
        let mut kinds = self.ask.kinds.clone();
        if kinds.is_empty() {
            kinds.push(UserIdType::UserId);
        }
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    fn question(&self, who: Who, kind: UserIdType, resigned: bool) -> Question {
        Question {
            tenant: self.ask.tenant,
            kind,
            resigned,
            who,
        }
    }

    /// The earliest departure of an answer that lives for so long.
    fn oldest(&self, ttl: Duration) -> Instant {
        self.start - self.ask.max_age.map_or(ttl, |age| age.min(ttl))
    }

    fn resolved(&self, who: Who, resolved: &Resolved) -> Verdict {
        let kinds = self.kinds();
        let ids = [
            (UserIdType::UserId, &resolved.ids.user_id),
            (UserIdType::OpenId, &resolved.ids.open_id),
            (UserIdType::UnionId, &resolved.ids.union_id),
        ];
        for (kind, id) in ids {
            let Some(id) = id else { continue };
            if !kinds.contains(&kind) {
                return Err(format!("{kind:?} was not asked for"));
            }
            let stale = resolved.stale;
            self.given(
                who,
                kind,
                &Meaning::One(id.clone()),
                resolved.asked_at,
                stale,
            )?;
        }
        if resolved.stale {
            self.stale()?;
        }
        if resolved.missing.is_none() != (resolved.ids.values().count() == kinds.len()) {
            return Err("a kind is missing without a reason, or the other way round".to_owned());
        }
        Ok(())
    }

    /// A stale answer has a cause: Feishu could not be asked, or not in time.
    fn stale(&self) -> Verdict {
        let patience = Duration::from_millis(1800).min(self.ask.within.mul_f64(0.9));
        let waited = self.end - self.start;
        let is_in_vain = waited + Duration::from_millis(25) >= patience;
        let failed_lately = self.caused(MONTH_MEMORY, |kind| {
            !matches!(
                kind,
                Kind::ScopeMissing { .. } | Kind::AppUnavailable | Kind::IdKindRefused
            )
        });
        // Who is not to wait for room is told so; whether there was any, nobody here knows.
        let is_crowded = self.ask.when_full == WhenFull::Shed && self.setting.max_queue <= 400;
        if is_in_vain || failed_lately || is_crowded || self.is_nearly_spent() {
            Ok(())
        } else {
            Err(format!("stale after {waited:?}, and nothing has failed"))
        }
    }

    /// Whether so much of the quota is spent that a call may have to wait for longer than anybody does.
    fn is_nearly_spent(&self) -> bool {
        let ended = self
            .ledger
            .answered
            .iter()
            .map(|(tenant, at)| (*tenant, *at));
        let failed = self.ledger.failures.iter().map(|f| (f.tenant, f.ended));
        let all: Vec<_> = ended
            .chain(failed)
            .filter(|(tenant, at)| *tenant == self.ask.tenant && *at <= self.end)
            .collect();
        let lately = |length| {
            all.iter()
                .filter(|(_, at)| *at + length >= self.start)
                .count()
        };
        let second = lately(Duration::from_secs(1));
        let minute = lately(Duration::from_mins(1));
        2 * second >= self.setting.per_second || 2 * minute >= self.setting.per_minute
    }

    /// Several people live as long as nobody.
    fn given(
        &self,
        who: Who,
        kind: UserIdType,
        meaning: &Meaning,
        asked_at: SystemTime,
        stale: bool,
    ) -> Verdict {
        let resigned = self.ask.include_resigned;
        let all = self.ledger.of(self.question(who, kind, resigned));
        let is_fresh = |earlier: usize, record: &Record| {
            let ttl = match meaning {
                Meaning::One(_) if stale => self.setting.ttl + self.setting.serve_stale,
                Meaning::One(_) => self.setting.ttl,
                Meaning::Several(_) => self.negative_ttl(earlier),
            };
            record.departed >= self.oldest(ttl)
        };
        let fits = |(n, record): &(usize, &Record)| {
            record.given.meaning().as_ref() == Some(meaning)
                && is_fresh(*n, record)
                && self.has_time(record, asked_at)
        };
        if all.iter().enumerate().any(|item| fits(&item)) {
            return Ok(());
        }
        // Rows that did not say who has left, and then the one who has not.
        let first = all.iter().find(|record| record.given.is_undecided());
        let active = self.ledger.of(self.question(who, kind, false));
        let mut active = active.iter().enumerate();
        if resigned
            && first.is_some_and(|first| {
                active.any(|item| fits(&item) && item.1.departed >= first.departed)
            })
        {
            return Ok(());
        }
        Err(format!(
            "{meaning:?} of {kind:?} was not given to this question since it may be told; given: {all:?}"
        ))
    }

    fn not_found(&self, who: Who, kind: UserIdType, asked_at: SystemTime) -> Verdict {
        let resigned = self.ask.include_resigned;
        let asked = self.ledger.of(self.question(who, kind, resigned)).len();
        // Feishu does not say of which kind it would give no ID; the open ID is always given.
        for kind in [kind, UserIdType::OpenId] {
            let all = self.ledger.of(self.question(who, kind, resigned));
            let fits = |(n, record): (usize, &Record)| {
                let oldest = self.oldest(self.negative_ttl(n.max(asked)));
                matches!(record.given, Given::Absent)
                    && record.departed >= oldest
                    && self.has_time(record, asked_at)
            };
            if all.iter().enumerate().any(fits) {
                return Ok(());
            }
        }
        let given = self.ledger.of(self.question(who, kind, resigned));
        Err(format!(
            "not found, but not missing since it may be told; {kind:?} given: {given:?}"
        ))
    }

    fn refused(&self, who: Who, failure: &Failure) -> Verdict {
        let is_refusal = failure.reason == Reason::RefusedByFeishu;
        let kinds = [UserIdType::UserId, UserIdType::OpenId, UserIdType::UnionId];
        let mut records = kinds.iter().flat_map(|kind| {
            let both =
                [true, false].map(|resigned| self.ledger.of(self.question(who, *kind, resigned)));
            both.into_iter().flatten()
        });
        // A refusal may cost more calls until it is clear whose it is, so it is told later.
        let oldest = self.oldest(LONGEST_NEGATIVE) - Duration::from_millis(1);
        let is_refused =
            |record: &Record| matches!(record.given, Given::Refused) && record.departed >= oldest;
        if is_refusal && records.any(is_refused) {
            Ok(())
        } else {
            Err(format!("invalid without having been refused: {failure:?}"))
        }
    }

    /// A failure has a cause that is not long past, and nobody is told too early that it is too late.
    fn failed(&self, who: Who, failure: &Failure) -> Verdict {
        // Who appears between the question and the check of its kind looks like one whose ID is not
        // given; the next to ask is told better.
        let may_be_new = failure.reason == Reason::IdKindNotGranted
            && self.kinds().iter().any(|kind| {
                let records = self
                    .ledger
                    .of(self.question(who, *kind, self.ask.include_resigned));
                records
                    .iter()
                    .any(|r| matches!(r.given, Given::Absent) && r.departed >= self.start)
            });
        if self.setting.calm && !may_be_new {
            return Err(format!(
                "a failure although nothing went wrong: {failure:?}"
            ));
        }
        let caused = |memory, by| self.caused(memory, by);
        let has_cause = match failure.reason {
            Reason::DeadlineExceeded => {
                let waited = self.end - self.start;
                waited + Duration::from_millis(21) >= self.ask.within
                    || waited >= self.ask.within.mul_f64(0.89)
            }
            Reason::Overloaded => self.ask.when_full == WhenFull::Shed,
            Reason::QuotaExhausted => {
                self.ask.when_full == WhenFull::Shed
                    || caused(MEMORY, |k| matches!(k, Kind::Throttled { .. }))
            }
            Reason::IdKindNotGranted => self.kinds().iter().any(|kind| {
                // Without the resigned it is asked to tell several rows apart.
                let both = [self.ask.include_resigned, false]
                    .map(|r| self.ledger.of(self.question(who, *kind, r)));
                let mut records = both.into_iter().flatten();
                records.any(|r| matches!(r.given, Given::Withheld | Given::Absent))
            }),
            Reason::UpstreamUnavailable => caused(MEMORY, |k| {
                matches!(k, Kind::Unavailable | Kind::TimedOut | Kind::TokenRejected)
            }),
            Reason::UpstreamInvalidResponse => caused(MEMORY, |k| {
                matches!(k, Kind::InvalidResponse | Kind::ContentRefused { .. })
            }),
            Reason::MonthlyQuotaExhausted => {
                caused(MONTH_MEMORY, |k| *k == Kind::MonthlyQuotaSpent)
            }
            Reason::BadCredentials => caused(MEMORY, |k| *k == Kind::BadCredentials),
            Reason::ScopeMissing => caused(MEMORY, |k| matches!(k, Kind::ScopeMissing { .. })),
            Reason::AppUnavailable => caused(MEMORY, |k| *k == Kind::AppUnavailable),
            _ => false,
        };
        if has_cause {
            Ok(())
        } else {
            Err(format!("a failure without a cause: {failure:?}"))
        }
    }

    /// Whether a call of the tenant's has failed so lately enough to be remembered.
    fn caused(&self, memory: Duration, by: fn(&Kind) -> bool) -> bool {
        let mut failures = self
            .ledger
            .failures
            .iter()
            .filter(|f| f.tenant == self.ask.tenant);
        let since = |ended: Instant| {
            let mut answered = self.ledger.answered.iter();
            answered
                .any(|(tenant, at)| *tenant == self.ask.tenant && *at > ended && *at < self.start)
        };
        // Who comes while a probe is out is told why it is one, however long ago that was.
        failures.any(|FailedCall { ended, kind, .. }| {
            by(kind) && (*ended + memory >= self.start || !since(*ended))
        })
    }

    /// It doubles with each time that the question was asked before.
    fn negative_ttl(&self, earlier: usize) -> Duration {
        let doublings = u32::try_from(earlier.min(10)).unwrap();
        (self.setting.negative * (1 << doublings)).min(LONGEST_NEGATIVE.max(self.setting.negative))
    }

    /// Of several kinds, the oldest is told.
    fn has_time(&self, record: &Record, asked_at: SystemTime) -> bool {
        self.kinds().len() > 1 || record.wall == asked_at
    }

    /// Whether it is of a call that had left before it was asked for.
    pub(super) fn is_hit(&self, who: Who, resolution: &Resolution) -> bool {
        let (Resolution::Resolved(Resolved { asked_at, .. })
        | Resolution::NotFound { asked_at }
        | Resolution::Ambiguous { asked_at, .. }) = resolution
        else {
            return false;
        };
        self.kinds()
            .into_iter()
            .chain([UserIdType::OpenId])
            .any(|kind| {
                let records = self
                    .ledger
                    .of(self.question(who, kind, self.ask.include_resigned));
                records
                    .iter()
                    .any(|record| record.wall == *asked_at && record.departed < self.start)
            })
    }
}
