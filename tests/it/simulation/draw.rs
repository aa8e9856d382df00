//! From a seed to a scenario.

use std::time::Duration;

use fastrand::Rng;
use feishu_id::{batch::WhenFull, identity::UserIdType};

use super::scenario::{Ask, Change, Fault, Form, Op, PEOPLE, Scenario, Setting, Who};

const KINDS: [UserIdType; 3] = [UserIdType::UserId, UserIdType::OpenId, UserIdType::UnionId];
/// What one run does.
const OPS: usize = 60;

impl Scenario {
    pub(super) fn of_seed(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let setting = Setting::draw(&mut rng);
        let ops = (0..OPS).map(|_| op(&mut rng, &setting)).collect();
        Self { seed, setting, ops }
    }
}

impl Setting {
    fn draw(rng: &mut Rng) -> Self {
        let calm = rng.u32(0..10) == 0;
        let (per_second, per_minute) = if calm {
            (50, 1000)
        } else {
            pick(rng, &[(50, 1000), (50, 1000), (5, 60), (3, 20), (1, 10)])
        };
        let mut rates = Vec::new();
        for _ in 0..rng.usize(0..4) {
            rates.push((pick(rng, &Fault::ALL), pick(rng, &[0.02, 0.1, 0.3])));
        }
        if calm {
            rates.clear();
        }
        Self {
            tenants: rng.usize(2..=3),
            per_second,
            per_minute,
            max_in_flight: pick(rng, &[16, 16, 3, 1]),
            max_queue: if calm {
                4000
            } else {
                pick(rng, &[4000, 400, 120, 40])
            },
            ttl: pick(rng, &[10, 60, 12 * 60]).mins(),
            negative: Duration::from_mins(1),
            serve_stale: pick(rng, &[0, 10, 24 * 60]).mins(),
            delay_ms: pick(rng, &[0, 10, 30, 120]),
            form: pick(rng, &[Form::Fixed, Form::Sliding]),
            tells_reset: rng.bool(),
            shows_status: rng.u32(0..3) > 0,
            rates,
            calm,
        }
    }
}

trait Mins {
    fn mins(self) -> Duration;
}

impl Mins for u64 {
    fn mins(self) -> Duration {
        Duration::from_mins(self)
    }
}

fn op(rng: &mut Rng, setting: &Setting) -> Op {
    match rng.u32(0..100) {
        0..45 => Op::Resolve(ask(rng, setting)),
        45..82 => Op::Pause(pause(rng, setting)),
        82..84 if !setting.calm => Op::Suspend(pause(rng, setting)),
        _ => Op::Change(change(rng, setting)),
    }
}

fn pause(rng: &mut Rng, setting: &Setting) -> Duration {
    let up_to = |rng: &mut Rng, most: Duration| most.mul_f64(rng.f64());
    match rng.u32(0..100) {
        0..40 => Duration::from_millis(rng.u64(0..50)),
        40..60 => Duration::from_millis(rng.u64(0..2_000)),
        60..75 => Duration::from_millis(rng.u64(0..60_000)),
        75..87 => up_to(rng, Duration::from_mins(20)),
        87..93 => up_to(rng, setting.ttl),
        // To where answers are due for a refresh.
        _ => setting.ttl.mul_f64(0.9 + rng.f64() / 9.0),
    }
}

fn ask(rng: &mut Rng, setting: &Setting) -> Ask {
    let size = match rng.u32(0..10) {
        0..4 => 1,
        4..7 => rng.usize(1..=10),
        7..9 => rng.usize(11..=40),
        _ => rng.usize(60..=100),
    };
    // Most requests are for the same few, so that they meet.
    let people = pick(rng, &[4, 12, PEOPLE]).max(size / 2).min(PEOPLE);
    let who = |rng: &mut Rng| match rng.u32(0..50) {
        0 => Who::Nonsense,
        1..30 => Who::Email(rng.usize(..people)),
        _ => Who::Mobile(rng.usize(..people)),
    };
    let kinds = match rng.u32(0..10) {
        0..6 => vec![UserIdType::UserId],
        6 => Vec::new(),
        7 => vec![pick(rng, &KINDS)],
        8 => vec![UserIdType::UnionId, UserIdType::UserId],
        _ => vec![pick(rng, &KINDS), pick(rng, &KINDS), UserIdType::OpenId],
    };
    let within = match rng.u32(0..10) {
        _ if setting.calm => Duration::from_mins(2),
        0 => Duration::from_millis(rng.u64(1..30)),
        1..4 => Duration::from_millis(rng.u64(30..2_000)),
        4..8 => Duration::from_secs(10),
        _ => Duration::from_secs(rng.u64(30..120)),
    };
    Ask {
        tenant: rng.usize(..setting.tenants),
        kinds,
        who: (0..size).map(|_| who(rng)).collect(),
        include_resigned: rng.u32(0..3) == 0,
        max_age: match rng.u32(0..10) {
            0..6 => None,
            6 | 7 => Some(Duration::ZERO),
            8 => Some(Duration::from_millis(rng.u64(0..5_000))),
            _ => Some(setting.ttl.mul_f64(rng.f64() * 1.2)),
        },
        within,
        caller: rng.u64(0..4),
        when_full: pick(rng, &[WhenFull::Shed, WhenFull::Wait]),
        leaves_after: (rng.u32(0..8) == 0).then(|| Duration::from_millis(rng.u64(0..400))),
    }
}

fn change(rng: &mut Rng, setting: &Setting) -> Change {
    let tenant = rng.usize(..setting.tenants);
    let people = pick(rng, &[4, 12, PEOPLE]);
    let person = rng.usize(..people);
    let most = if setting.calm { 5 } else { 14 };
    match rng.u32(0..most) {
        0 => Change::NewId { tenant, person },
        1 => Change::Leaves { tenant, person },
        2 => Change::Appears { tenant, person },
        3 => Change::Vanishes { tenant, person },
        4 => Change::WallJump {
            seconds: rng.i64(-100_000..100_000),
        },
        5 => Change::Scope {
            tenant,
            kind: pick(rng, &[UserIdType::UserId, UserIdType::UnionId]),
            granted: rng.bool(),
        },
        6 => Change::Revoke { tenant },
        7 | 8 => Change::Other {
            tenant,
            share: rng.bool().then(|| 0.3 + rng.f64()),
        },
        9 | 10 => Change::Trouble {
            tenant,
            fault: rng.bool().then(|| pick(rng, &Fault::ALL)),
        },
        11 | 12 => {
            let fault = pick(rng, &Fault::ALL);
            let faults = vec![fault; rng.usize(1..7)];
            Change::Next { tenant, faults }
        }
        _ => Change::Poison {
            tenant,
            who: pick(rng, &[Who::Email(person), Who::Mobile(person)]),
            bad: rng.u32(0..3) > 0,
            is_named: rng.bool(),
        },
    }
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(..from.len())]
}
