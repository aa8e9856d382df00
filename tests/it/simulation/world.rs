//! The model of Feishu: its tenants, what it says when it is asked, and what it has seen.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use fastrand::Rng;
use feishu_id::identity::UserIdType;
use tokio::time::Instant;

use super::{
    arrivals::Arrivals,
    ledger::{Ledger, Question},
    people::Rows,
    scenario::{Change, Fault, PEOPLE, Scenario, Setting, Who},
    trace::{Tally, Trace},
};

/// The world, as all parts of a run share it.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<World>>);

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) setting: Setting,
    pub(super) start: Instant,
    /// When the process last woke up.
    pub(super) resumed: Option<Instant>,
    wall_offset: i64,
    pub(super) tenants: Vec<TenantWorld>,
    pub(super) ledger: Ledger,
    pub(super) tally: Tally,
    pub(super) trace: Trace,
    /// The first promise that was broken.
    pub(super) broken: Option<String>,
    serial: u64,
}

pub(super) struct TenantWorld {
    pub(super) people: Vec<Rows>,
    pub(super) withheld: HashSet<UserIdType>,
    /// By whether calls that contain them are refused by name.
    pub(super) poison: BTreeMap<Who, bool>,
    pub(super) trouble: Option<Fault>,
    pub(super) next: VecDeque<Fault>,
    pub(super) arrivals: Arrivals,
    pub(super) in_flight: usize,
    pub(super) tokens: Vec<IssuedToken>,
    /// Questions whose last call failed.
    pub(super) failed: HashSet<Question>,
}

pub(super) struct IssuedToken {
    pub(super) value: String,
    pub(super) expires_at: Instant,
    pub(super) revoked: bool,
}

impl Shared {
    pub(super) fn new(scenario: &Scenario, trace: Trace) -> Self {
        Self(Arc::new(Mutex::new(World::new(scenario, trace))))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

impl World {
    fn new(scenario: &Scenario, trace: Trace) -> Self {
        let setting = scenario.setting.clone();
        let mut rng = Rng::with_seed(scenario.seed);
        let start = Instant::now();
        let mut serial = 0;
        let mut tenant = |_| TenantWorld {
            people: (0..PEOPLE).map(|_| Rows::draw(&mut rng, &mut serial)).collect(),
            withheld: HashSet::new(),
            poison: BTreeMap::new(),
            trouble: None,
            next: VecDeque::new(),
            arrivals: Arrivals::new(&setting, start - Duration::from_millis(rng.u64(0..60_000))),
            in_flight: 0,
            tokens: Vec::new(),
            failed: HashSet::new(),
        };
        Self {
            tenants: (0..setting.tenants).map(&mut tenant).collect(),
            rng,
            setting,
            start,
            resumed: None,
            wall_offset: 0,
            ledger: Ledger::default(),
            tally: Tally::default(),
            trace,
            broken: None,
            serial,
        }
    }

    /// What the wall clock shows: another one than the clock that measures, and it jumps.
    pub(super) fn wall(&self, now: Instant) -> SystemTime {
        let base = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 20_000);
        let shown = base + now.duration_since(self.start);
        match self.wall_offset {
            0.. => shown + Duration::from_secs(self.wall_offset.unsigned_abs()),
            _ => shown - Duration::from_secs(self.wall_offset.unsigned_abs()),
        }
    }

    pub(super) fn ms(&self, at: Instant) -> u128 {
        at.duration_since(self.start).as_millis()
    }

    /// Remembers the first promise that was broken.
    pub(super) fn breaks(&mut self, what: impl Into<String>) {
        let what = what.into();
        let at = self.ms(Instant::now());
        self.trace.add("broken", || format!("{at:>9} BROKEN {what}"));
        self.broken.get_or_insert_with(|| format!("at {at} ms: {what}"));
    }

    pub(super) fn change(&mut self, change: &Change) {
        let at = self.ms(Instant::now());
        self.trace.add(at, || format!("{at:>9} {change:?}"));
        let serial = &mut self.serial;
        match change {
            Change::NewId { tenant, person } => self.tenants[*tenant].people[*person].renew(serial),
            Change::Leaves { tenant, person } => self.tenants[*tenant].people[*person].leave(),
            Change::Appears { tenant, person } => self.tenants[*tenant].people[*person].add(false, serial),
            Change::Vanishes { tenant, person } => self.tenants[*tenant].people[*person].clear(),
            Change::Scope { tenant, kind, granted } => {
                let withheld = &mut self.tenants[*tenant].withheld;
                match granted {
                    true => withheld.remove(kind),
                    false => withheld.insert(*kind),
                };
            }
            Change::Revoke { tenant } => {
                let tokens = &mut self.tenants[*tenant].tokens;
                tokens.iter_mut().for_each(|token| token.revoked = true);
            }
            Change::Other { tenant, share } => self.tenants[*tenant].arrivals.other = *share,
            Change::Trouble { tenant, fault } => self.tenants[*tenant].trouble = *fault,
            Change::Next { tenant, faults } => self.tenants[*tenant].next.extend(faults),
            Change::Poison { tenant, who, bad, is_named } => {
                let poison = &mut self.tenants[*tenant].poison;
                match bad {
                    true => poison.insert(*who, *is_named),
                    false => poison.remove(who),
                };
            }
            Change::WallJump { seconds } => self.wall_offset += seconds,
        }
    }

    /// From now on nothing goes wrong any more.
    pub(super) fn heal(&mut self) {
        self.setting.rates.clear();
        for tenant in &mut self.tenants {
            tenant.withheld.clear();
            tenant.poison.clear();
            tenant.trouble = None;
            tenant.next.clear();
            tenant.arrivals.other = None;
        }
    }

    /// What goes wrong with the next call.
    pub(super) fn draw_fault(&mut self, tenant: usize) -> Option<Fault> {
        let Self { rng, setting, tenants, .. } = self;
        let tenant = &mut tenants[tenant];
        let drawn = setting.rates.iter().find(|(_, rate)| rng.f64() < *rate);
        let next = tenant.next.pop_front();
        next.or(tenant.trouble).or(drawn.map(|(fault, _)| *fault))
    }
}
