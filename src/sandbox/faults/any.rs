//! The kind `any`: which class of fault a call gets, and with which code or status. For tests that
//! want everything to go wrong at once, and the same way again.

use super::draw::{Coded, Injected};
use super::{BodyForm, Faults, Kind};
use crate::sandbox::gateway::{
    Endpoint, RATE_LIMITED, RATE_LIMITED_MSG, TOKEN_REJECTED, TOKEN_REJECTED_MSG,
};

/// Every class, each as likely.
const CLASSES: [Kind; 8] = [
    Kind::Code,
    Kind::Status,
    Kind::TruncatedJson,
    Kind::OversizedBody,
    Kind::NotJson,
    Kind::Drop,
    Kind::DropMidBody,
    Kind::Hang,
];

/// A code of which no client has heard.
const UNKNOWN: i64 = 1_234_567;

/// Codes that blame nothing in the request: the same call may well succeed the next time.
const LOOKUP_CODES: [i64; 6] = [2200, 1500, 5000, UNKNOWN, TOKEN_REJECTED, RATE_LIMITED];
/// The same for tokens, of which Feishu documents no rate limit.
const TOKEN_CODES: [i64; 4] = [2200, 1500, 5000, UNKNOWN];

/// What a load balancer says when those behind it are gone, full or slow.
const STATUSES: [u16; 3] = [502, 503, 504];

impl Faults {
    /// A fault of any class. Never none: there is always something to choose from.
    pub(super) fn any(&self, endpoint: Endpoint, random: &mut fastrand::Rng) -> Option<Injected> {
        let injected = match random.choice(CLASSES)? {
            Kind::Code if endpoint.is_token() => {
                Injected::Code(self.transient(random.choice(TOKEN_CODES)?, endpoint))
            }
            Kind::Code => Injected::Code(self.transient(random.choice(LOOKUP_CODES)?, endpoint)),
            Kind::Status => Injected::Status(random.choice(STATUSES)?, BodyForm::Html),
            other => return self.one(other, endpoint),
        };
        Some(injected)
    }

    /// The code with the text and the HTTP status that go with it.
    fn transient(&self, code: i64, endpoint: Endpoint) -> Coded {
        let (msg, status) = match code {
            TOKEN_REJECTED => (TOKEN_REJECTED_MSG, self.token_rejected_status),
            RATE_LIMITED => (RATE_LIMITED_MSG, self.quota_status),
            UNKNOWN => ("unknown error", endpoint.usual_status()),
            _ => ("Internal Error", endpoint.usual_status()),
        };
        Coded {
            code,
            msg: msg.to_owned(),
            status,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::sandbox::faults::Dice;

    /// What so many calls get.
    fn drawn(endpoint: Endpoint, percent: u32, seed: u32, calls: usize) -> Vec<Option<Injected>> {
        let mut dice = Dice::new();
        let changes = json!({"fault": "any", "fault_percent": percent, "fault_seed": seed,
            "quota_status": 400, "token_rejected_status": 401});
        dice.set(changes.as_object().unwrap()).unwrap();
        let draw = |_| dice.draw(endpoint, None).injected;
        (0..calls).map(draw).collect()
    }

    fn codes(drawn: &[Option<Injected>]) -> BTreeSet<(i64, u16)> {
        let coded = drawn
            .iter()
            .flatten()
            .filter_map(|injected| match injected {
                Injected::Code(coded) => Some((coded.code, coded.status)),
                _ => None,
            });
        coded.collect()
    }

    #[test]
    fn every_class_comes_about_as_often_as_the_others() {
        let drawn = drawn(Endpoint::BatchGetId, 100, 7, 4000);
        let mut names: Vec<&str> = drawn.iter().flatten().map(Injected::name).collect();
        assert_eq!(names.len(), 4000);
        names.sort_unstable();
        let classes: Vec<&[&str]> = names.chunk_by(|one, next| one == next).collect();
        assert_eq!(classes.len(), 8);
        for class in classes {
            assert!((400..600).contains(&class.len()), "{:?}", class.first());
        }
    }

    #[test]
    fn codes_come_with_their_status_and_those_of_tokens_are_fewer() {
        let lookups = codes(&drawn(Endpoint::BatchGetId, 100, 7, 1000));
        let expected = [
            (1500, 400),
            (2200, 400),
            (5000, 400),
            (UNKNOWN, 400),
            (RATE_LIMITED, 400),
            (TOKEN_REJECTED, 401),
        ];
        assert_eq!(lookups, expected.into());
        let tokens = codes(&drawn(Endpoint::TenantToken, 100, 7, 1000));
        let expected = [(1500, 200), (2200, 200), (5000, 200), (UNKNOWN, 200)];
        assert_eq!(tokens, expected.into());
    }

    #[test]
    fn every_status_of_a_load_balancer_comes_with_a_page() {
        let drawn = drawn(Endpoint::BatchGetId, 100, 7, 1000);
        let statuses = drawn
            .iter()
            .flatten()
            .filter_map(|injected| match injected {
                Injected::Status(status, BodyForm::Html) => Some(*status),
                _ => None,
            });
        assert_eq!(statuses.collect::<BTreeSet<u16>>(), STATUSES.into());
    }

    #[test]
    fn a_seed_gives_its_sequence_again_and_another_one_another() {
        let first = drawn(Endpoint::BatchGetId, 50, 7, 200);
        assert_eq!(first, drawn(Endpoint::BatchGetId, 50, 7, 200));
        assert_ne!(first, drawn(Endpoint::BatchGetId, 50, 8, 200));
    }

    #[test]
    fn the_percentage_holds_for_all_classes_together() {
        let drawn = drawn(Endpoint::BatchGetId, 20, 7, 1000);
        let hits = drawn.iter().flatten().count();
        assert!((150..250).contains(&hits), "{hits}");
    }
}
