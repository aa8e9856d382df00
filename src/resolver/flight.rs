//! One key's flight: a lookup, and the further ones that its rows may call for.

use std::sync::{Arc, Weak};

use tokio::time::Instant;

use crate::{
    batch::{InLine, Interest, LookupError},
    cache::Asked,
    clock,
    directory::{DirectoryError, DirectoryErrorKind as Kind, LookupScope},
    identity::{Identifier, UserIdType},
};

use super::{Failure, Tenant, core::Core, judge::Verdict};

/// Everything that changes an answer of one tenant's. `Debug` shows no person.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlightKey {
    pub(super) kind: UserIdType,
    pub(super) include_resigned: bool,
    pub(super) identifier: Identifier,
}

/// The key comes to wait for a call.
pub(super) fn line_up(
    core: &Core,
    key: &FlightKey,
    interest: &Arc<Interest>,
) -> Result<InLine, LookupError> {
    let scope = LookupScope {
        user_id_type: key.kind,
        include_resigned: key.include_resigned,
    };
    let identifier = key.identifier.clone();
    core.batcher.line_up(scope, identifier, interest.clone())
}

/// Waits for the key's rows and says what they mean.
pub(super) async fn fly(
    core: &Core,
    tenant: &Weak<Tenant>,
    key: &FlightKey,
    interest: &Interest,
    in_line: Result<InLine, LookupError>,
) -> Verdict {
    let looked = match in_line {
        Ok(in_line) => in_line.answer().await,
        Err(error) => Err(error),
    };
    // The usual way takes what it needs, there being thousands at a time; the others are in boxes.
    match looked {
        Ok(looked) => {
            let kind_was_given = looked.kind_was_given;
            let verdict = Verdict::of(looked);
            if key.include_resigned && verdict.is_undecided() {
                return Box::pin(prefer_the_active(tenant, key, interest, verdict)).await;
            }
            // The open ID needs no scope of its own.
            let is_proof = kind_was_given || key.kind == UserIdType::OpenId;
            if matches!(verdict, Verdict::NotFound(_)) && !is_proof {
                return Box::pin(check_the_kind(core, tenant, key, interest, None)).await;
            }
            verdict
        }
        Err(LookupError::Directory(error)) if error.kind == Kind::IdKindRefused => {
            Box::pin(check_the_kind(core, tenant, key, interest, Some(&error))).await
        }
        Err(error) => {
            let asked = Asked {
                departed: interest.departed().unwrap_or_else(Instant::now),
                at: clock::wall_now(),
            };
            Verdict::of_error(&error, asked)
        }
    }
}

/// Several rows without a status do not say who has left. Asked without the resigned, Feishu gives
/// the active one's ID alone.
async fn prefer_the_active(
    tenant: &Weak<Tenant>,
    key: &FlightKey,
    interest: &Interest,
    undecided: Verdict,
) -> Verdict {
    let active = FlightKey {
        include_resigned: false,
        ..key.clone()
    };
    match ask(tenant, active, interest).await {
        // All of them have left: they stay ambiguous.
        Verdict::NotFound(_) => undecided,
        other => other,
    }
}

/// Without its field scope Feishu leaves a kind of ID out of every row, as if it knew nobody. Unless
/// somebody in the same call got an ID of this kind, who seems missing is looked up by open ID, which
/// needs no such scope. A scope can be taken away at any time, so what the tenant gave earlier proves
/// nothing.
async fn check_the_kind(
    core: &Core,
    tenant: &Weak<Tenant>,
    key: &FlightKey,
    interest: &Interest,
    refusal: Option<&DirectoryError>,
) -> Verdict {
    let not_granted = || {
        let page = core.scope_page(key.kind);
        Verdict::NotGranted(Failure::id_kind_not_granted(key.kind, refusal, page))
    };
    if key.kind == UserIdType::OpenId {
        return not_granted();
    }
    let by_open_id = FlightKey {
        kind: UserIdType::OpenId,
        ..key.clone()
    };
    match ask(tenant, by_open_id, interest).await {
        Verdict::Found(..) | Verdict::Ambiguous(..) => not_granted(),
        other => other,
    }
}

async fn ask(tenant: &Weak<Tenant>, key: FlightKey, interest: &Interest) -> Verdict {
    match tenant.upgrade() {
        Some(tenant) => tenant.judge_one(key, interest).await,
        // The program is stopping.
        None => Verdict::Failed(Failure::crashed()),
    }
}
