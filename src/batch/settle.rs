//! What follows from a call: answers for its keys, another attempt, a split, or the end. The one
//! place that decides it.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::time::Instant;

use crate::{
    backoff::Backoff,
    directory::{Advice, DirectoryError, LookupAnswer, SharedFailure},
};

use super::{
    CallResult, Class, Looked, LookupError, Shared,
    key::{Cargo, Key, Part},
};

/// Failed calls that a key may be in. With one failed call in five at random, one key in 600 fails.
const MAX_ATTEMPTS: u32 = 4;
/// Rejected tokens that a key may meet before they count as failed calls: the call after a rejection
/// has a new token.
const MAX_REJECTIONS: u32 = 1;
/// Between attempts.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(2),
};

impl Shared {
    /// What a call says of the directory, whomever it was for.
    pub(super) fn note(&self, cargo: &Cargo, result: &CallResult) {
        let now = Instant::now();
        let error = match result {
            Ok(answer) => {
                let found = |key: &&_| answer.people.get(*key).is_some_and(|p| !p.is_empty());
                let witness = cargo.batch.keys().find(found).cloned();
                let mut waiting = self.lock();
                waiting.succeeded(now);
                waiting.note_witness(&cargo.batch, witness);
                return;
            }
            Err(LookupError::Directory(error)) => error,
            // It never left.
            Err(_) => return,
        };
        self.notes.failed(error);
        if matches!(error.kind.advice(), Advice::Retry | Advice::Split) {
            // It may be the witness who spoils every call that it rides in.
            self.lock().note_witness(&cargo.batch, None);
        }
        let failed = match error.kind.advice() {
            _ if error.shared.is_some() => true,
            Advice::Retry | Advice::Mend | Advice::NextMonth => true,
            // The next call has a new token; if that is rejected too, it is a failure.
            Advice::RetryAtOnce => cargo.keys.iter().all(|k| k.rejections >= MAX_REJECTIONS),
            Advice::Wait => false,
            Advice::Split | Advice::Accept => return self.lock().succeeded(now),
        };
        if !failed {
            return self.lock().told_nothing(now);
        }
        let refused = self.lock().failed(now, error);
        if let Some((keys, parts, why)) = refused {
            self.refuse(keys, parts, &why);
        }
    }

    /// What a call means for its keys.
    pub(super) fn settle(&self, cargo: Cargo, result: CallResult) -> BoxFuture<'_, ()> {
        async move {
            let error = match result {
                Ok(answer) => return deliver(cargo, &answer),
                Err(LookupError::Directory(error)) => error,
                Err(other) => return fail(cargo, &other),
            };
            match (error.kind.advice(), error.shared.as_deref().copied()) {
                (Advice::Retry | Advice::RetryAtOnce, Some(shared)) => {
                    self.until_it_is_over(cargo, &error, shared);
                }
                (advice, _) => self.by_advice(advice, cargo, error).await,
            }
        }
        .boxed()
    }

    fn by_advice(
        &self,
        advice: Advice,
        cargo: Cargo,
        error: Arc<DirectoryError>,
    ) -> BoxFuture<'_, ()> {
        async move {
            match advice {
                Advice::Split => self.isolate(cargo, error).await,
                Advice::Wait => self.after_the_pause(cargo, &error),
                Advice::RetryAtOnce => self.at_once(cargo, error).await,
                Advice::Retry => self.again(cargo, error).await,
                Advice::Mend | Advice::NextMonth | Advice::Accept => {
                    fail(cargo, &LookupError::Directory(error));
                }
            }
        }
        .boxed()
    }

    /// Sends a part of a failed call on its way; it comes back with what became of it.
    pub(super) async fn send(&self, cargo: Cargo) -> Option<(Cargo, CallResult)> {
        let (reply, back) = tokio::sync::oneshot::channel();
        {
            let now = Instant::now();
            let mut waiting = self.lock();
            if let Err(why) = waiting.admit(now) {
                return Some((cargo, Err(why)));
            }
            waiting.push_part(Part { cargo, reply }, now);
        }
        back.await.ok()
    }

    /// Another attempt after a pause, if there is time for one.
    pub(super) fn later(&self, keys: Vec<Key>, error: &Arc<DirectoryError>) {
        let now = Instant::now();
        // One draw for all of them, so that they travel together.
        let random = (self.random)();
        for key in keys {
            let at = now + BACKOFF.pause(key.attempts, random);
            let hopeless = key.attempts >= MAX_ATTEMPTS
                || key.interest.wish().deadline <= at
                || matches!(key.interest.wish().class, Class::Refresh { .. });
            if hopeless {
                key.answer(Err(LookupError::Directory(error.clone())));
            } else {
                self.give_back(key, Some(at), now);
            }
        }
    }

    /// The rate limit is no fault of the keys', and the permits keep everybody waiting. Who cannot
    /// wait so long is told at once.
    fn after_the_pause(&self, cargo: Cargo, error: &Arc<DirectoryError>) {
        let now = Instant::now();
        for key in cargo.keys {
            self.give_back(key, None, now);
        }
        let retry_after = self.permits.outlook(1);
        let gone = self.lock().drain_those_gone_by(now + retry_after, now);
        tracing::debug!(keys = gone.len(), "cannot wait for the rate limit: {error}");
        for key in gone {
            key.answer(Err(LookupError::QuotaExhausted { retry_after }));
        }
    }

    /// No call can leave: no fault of these keys'. They wait for the moment at which the first one
    /// tries again.
    fn until_it_is_over(&self, cargo: Cargo, error: &Arc<DirectoryError>, shared: SharedFailure) {
        let now = Instant::now();
        for mut key in cargo.keys {
            key.waits += 1;
            let wish = key.interest.wish();
            let hopeless = key.waits >= MAX_ATTEMPTS
                || wish.deadline <= shared.until
                || matches!(wish.class, Class::Refresh { .. });
            if hopeless {
                key.answer(Err(LookupError::Directory(error.clone())));
            } else {
                self.give_back(key, Some(shared.until), now);
            }
        }
    }

    async fn at_once(&self, cargo: Cargo, error: Arc<DirectoryError>) {
        let now = Instant::now();
        let scope = cargo.batch.scope();
        let (patient, others): (Vec<_>, Vec<_>) = cargo
            .keys
            .into_iter()
            .partition(|key| key.rejections < MAX_REJECTIONS);
        for mut key in patient {
            key.rejections += 1;
            self.give_back(key, None, now);
        }
        if !others.is_empty() {
            self.again(Cargo::of(scope, others, now), error).await;
        }
    }

    /// A failed attempt. The second time the call is halved: it may be one key's fault.
    async fn again(&self, mut cargo: Cargo, error: Arc<DirectoryError>) {
        for key in &mut cargo.keys {
            key.attempts += 1;
        }
        let attempts = cargo.keys.iter().map(|key| key.attempts).max();
        if attempts >= Some(2) && cargo.keys.len() > 1 {
            self.halve(cargo, error).await;
        } else {
            self.later(cargo.keys, &error);
        }
    }

    fn give_back(&self, key: Key, not_before: Option<Instant>, now: Instant) {
        let mut waiting = self.lock();
        // Under the queue's lock, so that nobody joins a key that does not come back.
        if key.interest.give_up_if_lost(now) {
            key.answer(Err(LookupError::DeadlineExceeded));
        } else if let Err(why) = waiting.admit(now) {
            key.answer(Err(why));
        } else {
            // Whoever comes to ask may join: another call will leave.
            key.interest.set_departed(None);
            waiting.push(key, not_before, now);
        }
    }

    /// The breaker has opened: nobody waits for what will not be asked.
    fn refuse(&self, keys: Vec<Key>, parts: Vec<Part>, why: &LookupError) {
        let is_month_spent = match why {
            LookupError::NotAsked { error, .. } => error.kind.advice() == Advice::NextMonth,
            _ => false,
        };
        let what = if is_month_spent {
            "no more calls this month, but for a probe now and then"
        } else {
            "too many failed calls in a row, no more until a probe succeeds"
        };
        tracing::warn!(tenant = self.tenant, waiting = keys.len(), "{what}: {why}");
        for key in keys {
            key.answer(Err(why.clone()));
        }
        for part in parts {
            let _gone = part.reply.send((part.cargo, Err(why.clone())));
        }
    }
}

/// One result for every key of the call.
fn deliver(cargo: Cargo, answer: &LookupAnswer) {
    let kind_was_given = answer.people.values().any(|people| !people.is_empty());
    for key in cargo.keys {
        let people = answer.people.get(&key.who).cloned().unwrap_or_default();
        let looked = Looked {
            asked_at: answer.asked_at,
            departed: cargo.departed,
            people,
            kind_was_given,
        };
        key.answer(Ok(looked));
    }
}

pub(super) fn fail(cargo: Cargo, error: &LookupError) {
    for key in cargo.keys {
        key.answer(Err(error.clone()));
    }
}
