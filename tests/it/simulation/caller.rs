//! One caller: asks, perhaps leaves, and looks at what comes back.

use std::{sync::Arc, time::Duration};

use feishu_id::{
    caller::CallerId,
    deadline::Deadline,
    resolver::{Failure, Resolution, Resolver, Terms},
};
use tokio::time::{Instant, timeout_at};

use super::{checks::Asked, scenario::Ask, world::Shared};

/// A tenant's name in requests.
pub(super) fn name(tenant: usize) -> String {
    format!("tenant_{tenant}")
}

pub(super) async fn ask(world: Shared, resolver: Arc<Resolver>, ask: Ask) {
    let start = Instant::now();
    let deadline = Deadline::after(ask.within);
    let tenant = name(ask.tenant);
    let who: Vec<_> = ask.who.iter().map(|who| who.identifier()).collect();
    let terms = Terms {
        user_id_types: ask.kinds.iter().copied().collect(),
        identifiers: who.len(),
        include_resigned: ask.include_resigned,
        max_age: ask.max_age,
        caller: CallerId(ask.caller),
        deadline,
        when_full: ask.when_full,
    };
    {
        let mut world = world.lock();
        world.tally.requests += 1;
        let at = world.ms(start);
        world.trace.add(at, || format!("{at:>9} {ask:?}"));
    }
    let mut resolving = Box::pin(resolver.resolve(&tenant, &terms, &who));
    let mut until = deadline.instant() + Duration::from_secs(1);
    if let Some(patience) = ask.leaves_after {
        until = until.min(start + patience);
    }
    loop {
        match timeout_at(until, &mut resolving).await {
            Ok(result) => return answered(&world, &ask, start, deadline.instant(), result),
            Err(_) if until < deadline.instant() + Duration::from_secs(1) => {
                let mut world = world.lock();
                world.tally.left += 1;
                let (at, ms) = (world.ms(Instant::now()), world.ms(start));
                world
                    .trace
                    .add(at, || format!("{at:>9} the caller of {ms} ms leaves"));
                return;
            }
            // Both have slept too long: it has not had a chance yet.
            Err(_) if just_resumed(&world, Instant::now()) => {
                until = Instant::now() + Duration::from_secs(1);
            }
            Err(_) => {
                return world
                    .lock()
                    .breaks(format!("a request hangs past its deadline: {ask:?}"));
            }
        }
    }
}

fn just_resumed(world: &Shared, now: Instant) -> bool {
    let resumed = world.lock().resumed;
    resumed.is_some_and(|at| at <= now && now <= at + Duration::from_millis(2))
}

fn answered(
    world: &Shared,
    ask: &Ask,
    start: Instant,
    deadline: Instant,
    result: Result<Vec<Resolution>, Failure>,
) {
    let end = Instant::now();
    let resumed = just_resumed(world, end);
    let mut world = world.lock();
    let ms = world.ms(start);
    let resolutions = match result {
        Ok(resolutions) => resolutions,
        Err(failure) => {
            return world.breaks(format!(
                "the request of {ms} ms fails as a whole: {failure:?}"
            ));
        }
    };
    if end > deadline && !resumed {
        world.breaks(format!(
            "the request of {ms} ms returns {:?} past its deadline",
            end - deadline
        ));
    }
    if resolutions.len() != ask.who.len() {
        world.breaks(format!(
            "{} resolutions for {} identifiers",
            resolutions.len(),
            ask.who.len()
        ));
    }
    for (who, resolution) in ask.who.iter().zip(&resolutions) {
        let asked = Asked {
            setting: &world.setting,
            ledger: &world.ledger,
            ask,
            start,
            end,
        };
        let (checked, is_hit) = (
            asked.check(*who, resolution),
            asked.is_hit(*who, resolution),
        );
        if let Err(broken) = checked {
            world.breaks(format!("the request of {ms} ms, {who:?}: {broken}"));
        }
        let (name, ids) = summary(resolution);
        world.tally.hits += u64::from(is_hit);
        world.trace.add((&name, &ids), || {
            format!("{:>9} {who:?}: {name} {ids:?}", "")
        });
        world.tally.outcome(name);
    }
    let took = end - start;
    world.trace.add(took, || {
        format!("{:>9} answered, after {took:?}, the request of {ms} ms", "")
    });
}

fn summary(resolution: &Resolution) -> (String, Vec<String>) {
    match resolution {
        Resolution::Resolved(resolved) => {
            let name = match resolved.missing {
                None if resolved.stale => "Resolved, stale",
                None => "Resolved",
                Some(_) => "Resolved in part",
            };
            (name.to_owned(), resolved.ids.values().cloned().collect())
        }
        Resolution::NotFound { .. } => ("NotFound".to_owned(), Vec::new()),
        Resolution::Ambiguous { candidates, .. } => {
            let ids = candidates.iter().map(|(_, person)| person.id.clone());
            ("Ambiguous".to_owned(), ids.collect())
        }
        Resolution::Invalid(failure) => (format!("Invalid {:?}", failure.reason), Vec::new()),
        Resolution::Failed(failure) => (format!("Failed {:?}", failure.reason), Vec::new()),
    }
}
