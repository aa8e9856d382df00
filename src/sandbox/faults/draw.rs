//! The dice: which of the calls a fault hits and how long each takes. One draw a call, from a
//! seed, so that a run can be repeated.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{BodyForm, Faults, Kind, Selector};
use crate::sandbox::gateway::Endpoint;

/// The switches as they stand and the dice.
pub(in super::super) struct Dice {
    faults: Arc<Faults>,
    random: fastrand::Rng,
}

/// What one call has drawn.
pub(in super::super) struct Drawn {
    pub(in super::super) latency: Duration,
    pub(in super::super) injected: Option<Injected>,
}

/// A fault that hits: all but the real answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Injected {
    Code(Coded),
    Status(u16, BodyForm),
    TruncatedJson,
    OversizedBody,
    NotJson,
    Drop,
    DropMidBody,
    Hang,
}

/// A refusal in Feishu's JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Coded {
    pub(in super::super) code: i64,
    pub(in super::super) msg: String,
    pub(in super::super) status: u16,
}

impl Dice {
    pub(in super::super) fn new() -> Self {
        let faults = Arc::new(Faults::default());
        let random = fastrand::Rng::with_seed(faults.fault_seed);
        Self { faults, random }
    }

    pub(in super::super) fn faults(&self) -> Arc<Faults> {
        Arc::clone(&self.faults)
    }

    /// Changes switches and puts the dice back to the seed. Says what they were and are.
    pub(in super::super) fn set(
        &mut self,
        changes: &Map<String, Value>,
    ) -> Result<(Arc<Faults>, Arc<Faults>), String> {
        let before = self.faults();
        self.faults = Arc::new(before.with(changes)?);
        self.random = fastrand::Rng::with_seed(self.faults.fault_seed);
        Ok((before, self.faults()))
    }

    /// A seed for the order of one call's rows.
    pub(in super::super) fn seed(&mut self) -> u64 {
        self.random.u64(..)
    }

    /// What this call gets.
    pub(in super::super) fn draw(&mut self, endpoint: Endpoint, tenant: Option<&str>) -> Drawn {
        if !self.faults.concern(tenant) || endpoint == Endpoint::Unknown {
            return Drawn {
                latency: Duration::ZERO,
                injected: None,
            };
        }
        Drawn {
            latency: self.latency(endpoint),
            injected: self.injected(endpoint),
        }
    }

    fn latency(&mut self, endpoint: Endpoint) -> Duration {
        let faults = &self.faults;
        let (mut fixed, mut jitter) = (faults.latency_ms, faults.latency_jitter_ms);
        if endpoint.is_token() {
            fixed = faults.token_latency_ms.unwrap_or(fixed);
            jitter = faults.token_latency_jitter_ms.unwrap_or(jitter);
        }
        Duration::from_millis(fixed + self.random.u64(0..=jitter))
    }

    fn injected(&mut self, endpoint: Endpoint) -> Option<Injected> {
        let faults = &self.faults;
        let aimed = match faults.fault_endpoint {
            Selector::Any => true,
            Selector::Token => endpoint.is_token(),
            Selector::BatchGetId => endpoint == Endpoint::BatchGetId,
        };
        if faults.fault == Kind::None || !aimed || faults.fault_next == Some(0) {
            return None;
        }
        if self.random.f64() * 100.0 >= faults.fault_percent {
            return None;
        }
        let injected = match faults.fault {
            Kind::Any => faults.any(endpoint, &mut self.random),
            kind => faults.one(kind, endpoint),
        };
        if let Some(left) = faults.fault_next {
            Arc::make_mut(&mut self.faults).fault_next = Some(left - 1);
        }
        injected
    }
}

impl Faults {
    /// A fault of this kind, with the code and the status that the switches say.
    pub(super) fn one(&self, kind: Kind, endpoint: Endpoint) -> Option<Injected> {
        Some(match kind {
            Kind::None | Kind::Any => return None,
            Kind::Code => Injected::Code(Coded {
                code: self.fault_code,
                msg: self.fault_msg.clone(),
                status: self.fault_status.unwrap_or(endpoint.usual_status()),
            }),
            Kind::Status => Injected::Status(self.fault_status.unwrap_or(502), self.fault_body),
            Kind::TruncatedJson => Injected::TruncatedJson,
            Kind::OversizedBody => Injected::OversizedBody,
            Kind::NotJson => Injected::NotJson,
            Kind::Drop => Injected::Drop,
            Kind::DropMidBody => Injected::DropMidBody,
            Kind::Hang => Injected::Hang,
        })
    }
}

impl Endpoint {
    /// The HTTP status of most of its refusals.
    pub(super) fn usual_status(self) -> u16 {
        if self.is_token() { 200 } else { 400 }
    }
}

impl Injected {
    /// What the history calls it.
    pub(in super::super) fn name(&self) -> &'static str {
        match self {
            Self::Code(_) => "code",
            Self::Status(..) => "status",
            Self::TruncatedJson => "truncated_json",
            Self::OversizedBody => "oversized_body",
            Self::NotJson => "not_json",
            Self::Drop => "drop",
            Self::DropMidBody => "drop_mid_body",
            Self::Hang => "hang",
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn hits(changes: &Value, calls: usize) -> Vec<bool> {
        let mut dice = Dice::new();
        dice.set(changes.as_object().unwrap()).unwrap();
        let draw = |_| {
            dice.draw(Endpoint::BatchGetId, Some("acme"))
                .injected
                .is_some()
        };
        (0..calls).map(draw).collect()
    }

    #[test]
    fn the_next_calls_are_hit_and_then_no_more() {
        let hits = hits(&json!({"fault": "drop", "fault_next": 2}), 4);
        assert_eq!(hits, [true, true, false, false]);
    }

    #[test]
    fn a_percentage_is_kept_about_and_repeats_with_its_seed() {
        let changes = json!({"fault": "code", "fault_percent": 20, "fault_seed": 7});
        let first = hits(&changes, 1000);
        let count = first.iter().filter(|hit| **hit).count();
        assert!((150..250).contains(&count), "{count}");
        assert_eq!(first, hits(&changes, 1000));
    }

    #[test]
    fn a_fault_aimed_at_tokens_leaves_lookups_alone() {
        let aimed = json!({"fault": "code", "fault_endpoint": "token"});
        assert_eq!(hits(&aimed, 1), [false]);
        let mut dice = Dice::new();
        dice.set(aimed.as_object().unwrap()).unwrap();
        assert!(dice.draw(Endpoint::TenantToken, None).injected.is_some());
    }

    #[test]
    fn token_calls_have_a_latency_of_their_own() {
        let mut dice = Dice::new();
        let changes = json!({"latency_ms": 30, "latency_jitter_ms": 10, "token_latency_ms": 500});
        dice.set(changes.as_object().unwrap()).unwrap();
        let mut latency = |endpoint| dice.draw(endpoint, None).latency.as_millis();
        assert!((30..=40).contains(&latency(Endpoint::BatchGetId)));
        assert!((500..=510).contains(&latency(Endpoint::AppToken)));
    }
}
