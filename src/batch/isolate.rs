//! Finding the key that the directory refuses, so that one bad key cannot hurt the rest.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::BoxFuture, future::join_all};
use tokio::time::Instant;

use crate::directory::{DirectoryError, DirectoryErrorKind as Kind, LookupBatch};

use super::{Batcher, LookupError, Lookups, fill, pack};

impl Batcher {
    /// Answers a batch whose content was refused: the culprits with the refusal, the others with
    /// what the directory says of them.
    pub(super) fn isolate(
        &self,
        batch: LookupBatch,
        refusal: Arc<DirectoryError>,
        deadline: Instant,
    ) -> BoxFuture<'_, Lookups> {
        async move {
            if batch.len() <= 1 {
                return fill(&batch, Err(LookupError::Refused(refusal)));
            }
            if let Kind::ContentRefused { culprits } = &refusal.kind
                && !culprits.is_empty()
                && culprits.len() < batch.len()
            {
                return self.without(&batch, culprits, &refusal, deadline).await;
            }
            self.quarters(batch, refusal, deadline).await
        }
        .boxed()
    }

    /// The directory named the culprits: one more call for the others.
    async fn without(
        &self,
        batch: &LookupBatch,
        culprits: &[crate::identity::Identifier],
        refusal: &Arc<DirectoryError>,
        deadline: Instant,
    ) -> Lookups {
        let (bad, good): (Vec<_>, Vec<_>) = batch
            .keys()
            .cloned()
            .partition(|key| culprits.contains(key));
        let mut lookups: Lookups = bad
            .into_iter()
            .map(|key| (key, Err(LookupError::Refused(refusal.clone()))))
            .collect();
        for rest in pack(batch.scope(), good) {
            lookups.extend(self.lookup_batch(rest, deadline).await);
        }
        lookups
    }

    /// Nobody was named: by kind and in halves, which is in quarters.
    async fn quarters(
        &self,
        batch: LookupBatch,
        refusal: Arc<DirectoryError>,
        deadline: Instant,
    ) -> Lookups {
        let quarters = quarter(&batch);
        let calls = quarters.iter().map(|part| self.call(part, deadline));
        let results = join_all(calls).await;
        let is_refusal = |result: &Result<_, LookupError>| {
            matches!(result, Err(LookupError::Directory(error))
                if matches!(error.kind, Kind::ContentRefused { .. }))
        };
        if quarters.len() == 4 && results.iter().all(is_refusal) {
            // All alike: it is not the content. No more calls.
            return fill(
                &batch,
                Err(LookupError::Directory(not_the_content(&refusal))),
            );
        }
        let mut lookups = Lookups::with_capacity(batch.len());
        for (part, result) in quarters.into_iter().zip(results) {
            match result {
                Err(LookupError::Directory(error))
                    if matches!(error.kind, Kind::ContentRefused { .. }) =>
                {
                    lookups.extend(self.isolate(part, error, deadline).await);
                }
                result => lookups.extend(fill(&part, result)),
            }
        }
        lookups
    }
}

/// Each kind in two halves; fewer parts where there are fewer keys.
fn quarter(batch: &LookupBatch) -> Vec<LookupBatch> {
    let halves = |keys: &[crate::identity::Identifier]| {
        let half = keys.len().div_ceil(2).max(1);
        keys.chunks(half)
            .flat_map(|part| pack(batch.scope(), part.iter().cloned()))
            .collect::<Vec<_>>()
    };
    // Only one kind: its halves in halves.
    if batch.emails().is_empty() || batch.mobiles().is_empty() {
        let quarter = batch.len().div_ceil(4).max(1);
        let keys: Vec<_> = batch.keys().cloned().collect();
        return keys
            .chunks(quarter)
            .flat_map(|part| pack(batch.scope(), part.iter().cloned()))
            .collect();
    }
    let mut parts = halves(batch.emails());
    parts.extend(halves(batch.mobiles()));
    parts
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
