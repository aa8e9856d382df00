//! Finding the key that makes a call fail, so that one bad key cannot hurt the rest.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture, future::join_all};
use tokio::time::Instant;

use crate::{
    caller::CallerId,
    directory::{Advice, DirectoryError, DirectoryErrorKind as Kind, LookupScope},
    identity::Identifier,
};

use super::{
    CallResult, Class, Interest, LookupError, Shared, Wish,
    key::{Cargo, Key},
    lanes,
    settle::fail,
};

/// How long a call that only tells whether calls are taken may wait for its turn.
const WITNESS_TIME: Duration = Duration::from_secs(10);

impl Shared {
    /// Answers a call whose content was refused: the culprits with the refusal, the others with
    /// what the directory says of them.
    pub(super) async fn isolate(&self, cargo: Cargo, refusal: Arc<DirectoryError>) {
        let scope = cargo.batch.scope();
        let rides_along = |who: &&Identifier| cargo.keys.iter().all(|key| key.who != **who);
        let witness = cargo.batch.keys().find(rides_along).cloned();
        let witness = witness.or_else(|| self.lock().witness(scope));
        // The witness of a call for one key may be the culprit.
        if cargo.keys.len() <= 1 && cargo.batch.len() <= 1 {
            return fail(cargo, &LookupError::Refused(refusal));
        }
        if let Kind::ContentRefused { culprits } = &refusal.kind
            && !culprits.is_empty()
            && culprits.len() < cargo.batch.len()
        {
            let is_bad = |key: &Key| culprits.contains(&key.who);
            let (bad, good): (Vec<_>, Vec<_>) = cargo.keys.into_iter().partition(is_bad);
            for key in bad {
                key.answer(Err(LookupError::Refused(refusal.clone())));
            }
            return self.resend(vec![good], scope).await;
        }
        let quarters = quarter(cargo.keys);
        if quarters.len() < 4 {
            return self.resend(quarters, scope).await;
        }
        let results = self.send_all(quarters, scope).await;
        // Four keys that are refused one by one are four bad keys.
        let is_telling = results.iter().any(|(part, _)| part.keys.len() > 1);
        let all_refused = || {
            let mut refused = results.iter().map(|(_, result)| advice(result));
            refused.all(|advice| advice == Some(Advice::Split))
        };
        if is_telling && all_refused() && !self.takes(witness, scope).await {
            // All alike: it is not the content. No more calls.
            let error = LookupError::Directory(not_the_content(&refusal));
            return results.into_iter().for_each(|(part, _)| fail(part, &error));
        }
        self.settle_all(results).await;
    }

    /// Whether the directory takes a call for somebody whom it knows: then it is the content of the
    /// others that it refuses.
    async fn takes(&self, witness: Option<Identifier>, scope: LookupScope) -> bool {
        let Some(witness) = witness else { return false };
        let now = Instant::now();
        let (interest, _stake) = Interest::new(Wish {
            deadline: now + WITNESS_TIME,
            class: Class::Interactive,
            caller: CallerId::default(),
            alone: true,
        });
        let (key, _answer) = Key::new(scope, witness, interest, now);
        let sent = self.send(Cargo::of(scope, vec![key], now)).await;
        matches!(sent, Some((_, Ok(_))))
    }

    /// Halves a call that has failed twice without a word about why.
    pub(super) fn halve(&self, cargo: Cargo, error: Arc<DirectoryError>) -> BoxFuture<'_, ()> {
        async move {
            let scope = cargo.batch.scope();
            let mut keys = cargo.keys;
            let second = keys.split_off(keys.len() / 2);
            let results = self.send_all(vec![keys, second], scope).await;
            let failed_alike = results
                .iter()
                .all(|(_, result)| advice(result) == Some(Advice::Retry));
            for (mut part, result) in results {
                let Err(LookupError::Directory(error)) = &result else {
                    self.settle(part, result).await;
                    continue;
                };
                if error.kind.advice() != Advice::Retry {
                    self.settle(part, result).await;
                } else if failed_alike || part.keys.len() <= 1 {
                    for key in &mut part.keys {
                        key.attempts += 1;
                    }
                    self.later(part.keys, error);
                } else {
                    // The other half fared better: the culprit is in this one.
                    self.halve(part, error.clone()).await;
                }
            }
            drop(error);
        }
        .boxed()
    }

    async fn resend(&self, parts: Vec<Vec<Key>>, scope: LookupScope) {
        let results = self.send_all(parts, scope).await;
        self.settle_all(results).await;
    }

    async fn send_all(&self, parts: Vec<Vec<Key>>, scope: LookupScope) -> Vec<(Cargo, CallResult)> {
        let now = Instant::now();
        let parts = parts.into_iter().filter(|keys| !keys.is_empty());
        let sent = parts.map(|keys| self.send(Cargo::of(scope, keys, now)));
        join_all(sent).await.into_iter().flatten().collect()
    }

    async fn settle_all(&self, results: Vec<(Cargo, CallResult)>) {
        let settled = results
            .into_iter()
            .map(|(part, result)| self.settle(part, result));
        join_all(settled).await;
    }
}

/// Each kind in two halves; a single kind in four quarters; fewer parts where there are fewer keys.
fn quarter(keys: Vec<Key>) -> Vec<Vec<Key>> {
    let (emails, mobiles): (Vec<_>, Vec<_>) = keys
        .into_iter()
        .partition(|key| lanes::Kind::of(&key.who) == lanes::Kind::Email);
    let parts = if emails.is_empty() || mobiles.is_empty() {
        4
    } else {
        2
    };
    let mut quarters = split(emails, parts);
    quarters.extend(split(mobiles, parts));
    quarters
}

fn split(mut keys: Vec<Key>, parts: usize) -> Vec<Vec<Key>> {
    let size = keys.len().div_ceil(parts).max(1);
    let mut split = Vec::new();
    while !keys.is_empty() {
        let rest = keys.split_off(size.min(keys.len()));
        split.push(std::mem::replace(&mut keys, rest));
    }
    split
}

fn advice(result: &CallResult) -> Option<Advice> {
    match result {
        Err(LookupError::Directory(error)) => Some(error.kind.advice()),
        _ => None,
    }
}

fn not_the_content(refusal: &DirectoryError) -> Arc<DirectoryError> {
    Arc::new(DirectoryError {
        kind: Kind::InvalidResponse,
        message: "Feishu refuses every part of the request alike, so the request itself is at \
                  fault, not an identifier"
            .to_owned(),
        ..refusal.clone()
    })
}
