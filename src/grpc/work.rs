//! The work on one batch, by whichever RPC it came: who is known is answered at once, without a wait; the
//! others are found out about. What is refused and what fails is booked and told here.

use std::{sync::Arc, time::Duration};

use arc_swap::Guard;
use tokio::time::Instant;

use crate::{
    audit::Rpc,
    batch::WhenFull,
    caller::CallerId,
    callers::Entered,
    deadline::Deadline,
    identity::Identifier,
    metrics,
    pb::identity::{self as pb, ResolveUserIdsRequest, ResolveUserIdsResponse},
    resolver::{Answered, Failure, Reason, Resolution, Tenants, Terms, Told},
};

use super::{Identity, access, books::Books, convert, noted::Noted, status};

/// What an identifier that must be looked up is counted as, in bytes: itself three times (in the answer,
/// on its way, in the queue), its answer, and its flight.
const BYTES_A_LOOKUP: usize = 1024;
/// When to come back after having been shed for want of memory: about as long as a full call takes, some
/// times over.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How a batch came, beside what it says itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) caller: CallerId,
    pub(super) deadline: Deadline,
    pub(super) when_full: WhenFull,
    pub(super) rpc: Rpc,
}

/// A batch of which those who are known are answered.
pub(super) enum Recalled {
    /// Everybody.
    All(ResolveUserIdsResponse),
    /// Not everybody.
    Some(Box<Batch>),
}

/// Somebody of a request who is not known yet.
struct Asked {
    /// Where in the request.
    place: usize,
    /// As the caller wrote it.
    identifier: pb::Identifier,
}

/// A batch some of whom nobody knows yet.
pub(super) struct Batch {
    /// Those that there were when it began: whoever has begun is answered, also by a tenant that is no
    /// longer configured.
    tenants: Arc<Tenants>,
    tenant: String,
    terms: Terms,
    rpc: Rpc,
    /// The answers about those who were known, in the order of the request.
    known: Vec<pb::Resolution>,
    /// Whom nobody knows yet, in that order.
    unknown: Vec<(Asked, Identifier)>,
    noted: Noted,
}

impl Identity {
    /// One batch, by whichever RPC it came: its answer, or what it fails with as a whole.
    pub(super) async fn resolve(
        &self,
        request: ResolveUserIdsRequest,
        entered: &Entered,
        arrival: Arrival,
    ) -> Result<ResolveUserIdsResponse, Box<status::Rejection>> {
        match self.recall(request, entered, arrival)? {
            Recalled::All(response) => Ok(response),
            Recalled::Some(batch) => {
                let held = self.limits.memory.try_take(batch.bytes());
                let _held = held.ok_or_else(|| self.about(entered, &batch.tenant, no_memory()))?;
                self.find_out(*batch, entered).await
            }
        }
    }

    /// What a batch takes of what its caller may ask for. One with more than the limit is refused anyway.
    pub(super) fn weight(&self, request: &ResolveUserIdsRequest) -> usize {
        request.identifiers.len().min(self.limits.max_identifiers)
    }

    /// Answers those who are known already, without waiting.
    pub(super) fn recall(
        &self,
        request: ResolveUserIdsRequest,
        entered: &Entered,
        arrival: Arrival,
    ) -> Result<Recalled, Box<status::Rejection>> {
        let caller = entered.caller();
        let tenant = &request.tenant;
        let terms = convert::terms(&request, self.limits.max_identifiers, arrival)
            .map_err(|rejection| self.refuse(entered, arrival.rpc, tenant, *rejection))?;
        let tenants = self.resolver.tenants();
        let session = access::begin(&tenants, caller, tenant, &terms).map_err(|failure| {
            let rejection = status::Rejection::about_tenant(failure);
            self.refuse(entered, arrival.rpc, tenant, rejection)
        })?;
        let mut noted = Noted::begin(tenants.name_of(tenant), request.identifiers.len());
        let mut resolutions = Vec::with_capacity(request.identifiers.len());
        let mut unknown = Vec::new();
        let mut books = Books::new(&session, &mut noted);
        for (place, identifier) in request.identifiers.into_iter().enumerate() {
            resolutions.push(pb::Resolution::default());
            let Some(message) = resolutions.last_mut() else {
                continue;
            };
            match convert::normal_form(&identifier) {
                Err(invalid) => {
                    let invalid = Resolution::Invalid((&invalid).into()).into();
                    books.add_answered(&invalid);
                    convert::fill(message, invalid.resolution);
                }
                Ok(who) => match session.recall(&who, message) {
                    Told::Found(source) => books.add(metrics::Outcome::Resolved, source.counted()),
                    Told::Otherwise(answered) => {
                        books.add_answered(&answered);
                        convert::fill(message, answered.resolution);
                    }
                    Told::Nothing => {
                        let who = who.into_identifier();
                        unknown.push((Asked { place, identifier }, who));
                        resolutions.pop();
                        continue;
                    }
                },
            }
            message.identifier = Some(identifier);
        }
        books.close(caller.account(), arrival.rpc, tenants.name_of(tenant));
        if unknown.is_empty() {
            return Ok(Recalled::All(ResolveUserIdsResponse { resolutions }));
        }
        noted.recalled();
        // Those to come have no room yet: it may be a minute, and thousands who wait for it.
        resolutions.shrink_to_fit();
        Ok(Recalled::Some(Box::new(Batch {
            tenants: Guard::into_inner(tenants),
            tenant: request.tenant,
            terms,
            rpc: arrival.rpc,
            known: resolutions,
            unknown,
            noted,
        })))
    }

    /// Finds out about the others.
    pub(super) async fn find_out(
        &self,
        batch: Batch,
        entered: &Entered,
    ) -> Result<ResolveUserIdsResponse, Box<status::Rejection>> {
        let caller = entered.caller();
        let (known, mut noted) = (batch.known, batch.noted);
        let tenants = &batch.tenants;
        let session =
            access::begin(tenants, caller, &batch.tenant, &batch.terms).map_err(|failure| {
                let rejection = status::Rejection::about_tenant(failure);
                self.refuse(entered, batch.rpc, &batch.tenant, rejection)
            })?;
        let found_out = session.find_out(batch.unknown);
        let found_out = if noted.is_on() {
            noted.scope().wrap(found_out).await
        } else {
            found_out.await
        };
        let mut books = Books::new(&session, &mut noted);
        for (_, answered) in &found_out {
            books.add_answered(answered);
        }
        let tenant = tenants.name_of(&batch.tenant);
        books.close(caller.account(), batch.rpc, tenant);
        if known.is_empty()
            && let Some(failure) =
                convert::common_failure(found_out.iter().map(|(_, answered)| &answered.resolution))
        {
            noted.fail(failure.reason);
            self.tell(tenant, failure);
            return Err(self.about(entered, &batch.tenant, failure.clone().into()));
        }
        Ok(in_order(known, found_out))
    }

    /// The one place where a failed request is logged: many fail alike, so not each of them.
    fn tell(&self, tenant: &str, failure: &Failure) {
        let what = (tenant.to_owned(), failure.reason);
        if let Some(untold) = self.failed.tell(what, Instant::now()) {
            tracing::info!(
                reason = convert::reason_name(failure.reason),
                tenant,
                feishu.code = failure.feishu_code,
                feishu.log_id = failure.feishu_log_id,
                untold,
                "a request failed: {failure}"
            );
        }
    }

    /// A request that is refused before anybody is asked about; it is booked.
    fn refuse(
        &self,
        entered: &Entered,
        rpc: Rpc,
        tenant: &str,
        rejection: status::Rejection,
    ) -> Box<status::Rejection> {
        access::book(entered, rpc, rejection.reason());
        self.about(entered, tenant, rejection)
    }

    fn about(
        &self,
        entered: &Entered,
        tenant: &str,
        rejection: status::Rejection,
    ) -> Box<status::Rejection> {
        let tenants = self.resolver.tenants();
        let tenant = access::name_of(entered.caller(), tenant, tenants.name_of(tenant));
        Box::new(rejection.of_tenant(tenant))
    }
}

impl Batch {
    /// How many people it asks for.
    pub(super) fn len(&self) -> usize {
        self.known.len() + self.unknown.len()
    }

    /// What it is counted as.
    pub(super) fn bytes(&self) -> usize {
        self.unknown.len() * BYTES_A_LOOKUP
    }
}

/// The answers in the order of the request, from those about who was known and about who was not.
fn in_order(
    known: Vec<pb::Resolution>,
    found_out: Vec<(Asked, Answered)>,
) -> ResolveUserIdsResponse {
    let mut resolutions = Vec::with_capacity(known.len() + found_out.len());
    let mut known = known.into_iter();
    for (Asked { place, identifier }, answered) in found_out {
        let before = place.saturating_sub(resolutions.len());
        resolutions.extend(known.by_ref().take(before));
        let mut message = pb::Resolution {
            identifier: Some(identifier),
            ..pb::Resolution::default()
        };
        convert::fill(&mut message, answered.resolution);
        resolutions.push(message);
    }
    resolutions.extend(known);
    ResolveUserIdsResponse { resolutions }
}

/// There is no memory to look up more people at the moment.
pub(super) fn no_memory() -> status::Rejection {
    let mut failure = Failure::new(
        Reason::Overloaded,
        "the requests in flight hold as much memory as they may",
    );
    failure.retry_delay = Some(RETRY_AFTER);
    failure.into()
}
