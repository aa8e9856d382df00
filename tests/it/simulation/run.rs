//! One run: the real parts on virtual time, from the first request until nothing is left over.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use feishu_id::{
    backoff::random,
    batch::{BatchSettings, Batcher, WhenFull},
    cache::{Cache, Ttls},
    feishu::token::{CredentialKey, TokenCache},
    metrics::{Identifiers, Waited},
    quota::{Limit, Quota},
    resolver::{Resolver, Tenant},
};
use tokio::{
    runtime::{Builder, Handle},
    task::JoinSet,
    time::{Instant, advance, sleep, sleep_until},
};

use super::{
    caller,
    model::{BOUND, Model, Source},
    scenario::{Ask, Op, PEOPLE, Scenario, Setting, Who},
    trace::{Tally, Trace},
    world::Shared,
};

/// The longest that a failing directory is left alone, and a little more.
const BREAKER: Duration = Duration::from_mins(65);

/// What became of a run.
pub(super) struct Outcome {
    pub(super) broken: Option<String>,
    pub(super) tally: Tally,
    pub(super) trace: Trace,
}

/// The real parts, as the program puts them together.
struct Bench {
    resolver: Arc<Resolver>,
    tenants: Vec<Arc<Tenant>>,
}

/// Runs a scenario. `is_read`: whether somebody will read the trace.
pub(super) fn run(scenario: &Scenario, is_read: bool) -> Outcome {
    // The random numbers of the parts under test: their source is a thread's own.
    fastrand::seed(scenario.seed);
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let world = Shared::new(scenario, Trace::new(is_read));
            live(scenario, &world).await;
            let mut world = world.lock();
            Outcome {
                broken: world.broken.take(),
                tally: std::mem::take(&mut world.tally),
                trace: std::mem::take(&mut world.trace),
            }
        })
    }));
    ran.unwrap_or_else(|panic| Outcome {
        broken: Some(format!("a panic: {:?}", panic.downcast_ref::<String>())),
        tally: Tally::default(),
        trace: Trace::default(),
    })
}

async fn live(scenario: &Scenario, world: &Shared) {
    let bench = bench(&scenario.setting, world);
    world.lock().tally.runs += 1;
    let mut callers = JoinSet::new();
    for op in &scenario.ops {
        match op {
            Op::Resolve(ask) => {
                callers.spawn(caller::ask(
                    world.clone(),
                    bench.resolver.clone(),
                    ask.clone(),
                ));
                // It asks now, not after whatever comes next.
                tokio::task::yield_now().await;
            }
            Op::Pause(pause) => sleep(*pause).await,
            Op::Suspend(pause) => {
                world.lock().resumed = Some(Instant::now() + *pause);
                advance(*pause).await;
            }
            Op::Change(change) => world.lock().change(change),
        }
    }
    all_return(callers, world).await;
    nothing_is_left(&bench, scenario, world).await;
    world.lock().heal();
    sleep(BREAKER).await;
    // The first to come may meet what is left of the trouble: a token that was rejected, a probe.
    for tenant in 0..scenario.setting.tenants {
        let first = Ask {
            tenant,
            ..Ask::default()
        };
        caller::ask(world.clone(), bench.resolver.clone(), first).await;
    }
    sleep(Duration::from_mins(1)).await;
    everybody_is_served(&bench, scenario, world).await;
    nothing_is_left(&bench, scenario, world).await;
    drop(bench);
    tokio::task::yield_now().await;
    let alive = Handle::current().metrics().num_alive_tasks();
    if alive > 0 {
        world
            .lock()
            .breaks(format!("{alive} tasks outlive their owners"));
    }
}

fn bench(setting: &Setting, world: &Shared) -> Bench {
    let tokens = TokenCache::new();
    let ttls = Ttls {
        found: setting.ttl,
        negative: setting.negative,
        serve_stale: setting.serve_stale,
    };
    let cache = Arc::new(Cache::new(100_000, ttls, random));
    let limit = |limit, seconds| Limit {
        limit,
        length: Duration::from_secs(seconds),
    };
    let limits = [limit(setting.per_second, 1), limit(setting.per_minute, 60)];
    let tenant = |tenant: usize| {
        let key = CredentialKey::new(
            "https://x.example",
            &format!("app-{tenant}"),
            &"secret".into(),
        );
        let source = Arc::new(Source {
            world: world.clone(),
            tenant,
        });
        let model = Model {
            world: world.clone(),
            tenant,
            tokens: TokenCache::tokens(&tokens, key, source),
        };
        let settings = BatchSettings {
            tenant: "acme".to_owned(),
            max_in_flight: setting.max_in_flight,
            max_queue: setting.max_queue,
            random,
            waited: Waited::default(),
        };
        let batcher = Batcher::new(Arc::new(model), Arc::new(Quota::new(&limits)), settings);
        Tenant::new(
            u32::try_from(tenant).unwrap(),
            batcher,
            cache.clone(),
            None,
            Identifiers::default(),
        )
    };
    let tenants: Vec<_> = (0..setting.tenants).map(tenant).collect();
    let named = tenants
        .iter()
        .enumerate()
        .map(|(n, tenant)| (caller::name(n), tenant.clone()));
    let resolver = Arc::new(Resolver::new(named.collect::<BTreeMap<_, _>>(), None));
    Bench { resolver, tenants }
}

async fn all_return(mut callers: JoinSet<()>, world: &Shared) {
    while let Some(ended) = callers.join_next().await {
        if let Err(error) = ended {
            world.lock().breaks(format!("a caller's task: {error}"));
        }
    }
}

/// A refresh may wait until shortly before the end of its answer; nothing else waits for long.
async fn nothing_is_left(bench: &Bench, scenario: &Scenario, world: &Shared) {
    sleep(scenario.setting.ttl.mul_f64(0.11) + Duration::from_mins(2) + 4 * BOUND).await;
    for (number, tenant) in bench.tenants.iter().enumerate() {
        if !tenant.is_idle() {
            world
                .lock()
                .breaks(format!("tenant {number} is not idle when all is done"));
        }
    }
    let alive = Handle::current().metrics().num_alive_tasks();
    if alive != bench.tenants.len() {
        world
            .lock()
            .breaks(format!("{alive} tasks are alive when all is done"));
    }
    let in_flight: usize = world
        .lock()
        .tenants
        .iter()
        .map(|tenant| tenant.in_flight)
        .sum();
    if in_flight > 0 {
        world.lock().breaks("calls are in flight when all is done");
    }
}

/// Once nothing goes wrong any more, everybody gets an answer: from what is known, and then by
/// requests that take every place in the queue.
async fn everybody_is_served(bench: &Bench, scenario: &Scenario, world: &Shared) {
    world.lock().setting.calm = true;
    let everybody = || (0..PEOPLE).flat_map(|n| [Who::Email(n), Who::Mobile(n)]);
    let all = Ask {
        who: everybody().collect(),
        include_resigned: scenario.seed.is_multiple_of(2),
        within: Duration::from_hours(1),
        when_full: WhenFull::Shed,
        ..Ask::default()
    };
    let few = Ask {
        who: everybody().take(10).collect(),
        ..all.clone()
    };
    for max_age in [None, Some(Duration::ZERO)] {
        let mut callers = JoinSet::new();
        for tenant in 0..scenario.setting.tenants {
            // The places of the two classes are apart.
            let which = match max_age {
                None => vec![&all],
                Some(_) => vec![&few, &all],
            };
            for ask in which {
                let ask = Ask {
                    tenant,
                    max_age,
                    ..ask.clone()
                };
                callers.spawn(caller::ask(world.clone(), bench.resolver.clone(), ask));
            }
        }
        all_return(callers, world).await;
        sleep(Duration::from_millis(1)).await;
    }
    sleep_until(Instant::now() + BOUND).await;
}
