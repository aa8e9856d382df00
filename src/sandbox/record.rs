//! What was asked: counts since the start, and the latest calls one by one. Bounded. Knows no
//! HTTP; `api` writes, `control` reads.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::clock::{Clock, timestamp};
use super::gateway::Endpoint;
use super::peaks::Peaks;
use super::world::World;

/// How many calls are remembered: a load test's last minutes, some 3 MB.
const MOST_CALLS: usize = 10_000;
/// How many of them with the identifiers, up to 100 of about 50 bytes each: 5 MB.
const MOST_WITH_IDENTIFIERS: usize = 1000;

/// One call.
pub(super) struct Call {
    pub(super) at_ms: u64,
    pub(super) endpoint: Endpoint,
    pub(super) tenant: Option<usize>,
    /// None: the connection was closed without an answer.
    pub(super) http_status: Option<u16>,
    pub(super) code: Option<i64>,
    pub(super) emails: usize,
    pub(super) mobiles: usize,
    pub(super) user_id_type: Option<&'static str>,
    pub(super) include_resigned: bool,
    pub(super) latency_ms: u64,
    /// Refused by the quota, whatever a fault then did to the answer.
    pub(super) rate_limited: bool,
    pub(super) fault: Option<&'static str>,
    pub(super) log_id: String,
    pub(super) identifiers: Vec<String>,
}

/// Counts and calls.
pub(super) struct Record {
    calls: VecDeque<Call>,
    all: Counts,
    tenants: Vec<Counts>,
}

#[derive(Default)]
struct Counts {
    endpoints: BTreeMap<&'static str, u64>,
    codes: BTreeMap<String, u64>,
    statuses: BTreeMap<String, u64>,
    faults: BTreeMap<&'static str, u64>,
    token_requests: u64,
    batch_get_id_calls: u64,
    emails: u64,
    mobiles: u64,
    rate_limited: u64,
    peaks: Peaks,
}

impl Record {
    pub(super) fn new(tenants: usize) -> Self {
        Self {
            calls: VecDeque::new(),
            all: Counts::default(),
            tenants: (0..tenants).map(|_| Counts::default()).collect(),
        }
    }

    /// Counts a call that arrives now, before its body is read, and says when that is. The clock is
    /// read in here, under the record's lock: windows need arrivals in order.
    pub(super) fn arrive(
        &mut self,
        clock: &Clock,
        endpoint: Endpoint,
        tenant: Option<usize>,
    ) -> u64 {
        let now_ms = clock.real();
        if endpoint == Endpoint::BatchGetId {
            self.all.peaks.count(now_ms);
            if let Some(counts) = tenant.and_then(|index| self.tenants.get_mut(index)) {
                counts.peaks.count(now_ms);
            }
        }
        now_ms
    }

    pub(super) fn add(&mut self, call: Call) {
        self.all.add(&call);
        let tenant = call.tenant.and_then(|index| self.tenants.get_mut(index));
        if let Some(counts) = tenant {
            counts.add(&call);
        }
        if self.calls.len() >= MOST_CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
        let old = self.calls.len().checked_sub(MOST_WITH_IDENTIFIERS + 1);
        if let Some(call) = old.and_then(|index| self.calls.get_mut(index)) {
            call.identifiers = Vec::new();
        }
    }

    pub(super) fn stats(&self, world: &World) -> Value {
        let mut stats = self.all.to_json();
        let tenants = world.tenants.iter().zip(&self.tenants);
        let tenants = tenants.map(|(tenant, counts)| (tenant.app.name.clone(), counts.to_json()));
        if let Some(stats) = stats.as_object_mut() {
            stats.insert("tenants".to_owned(), Value::Object(tenants.collect()));
        }
        stats
    }

    /// The latest calls, oldest first.
    pub(super) fn history(
        &self,
        world: &World,
        limit: usize,
        endpoint: Option<&str>,
        in_full: bool,
    ) -> Vec<Value> {
        let matching = self
            .calls
            .iter()
            .rev()
            .filter(|call| endpoint.is_none_or(|name| name == call.endpoint.name()))
            .take(limit);
        let mut calls: Vec<Value> = matching.map(|call| call.to_json(world, in_full)).collect();
        calls.reverse();
        calls
    }
}

impl Counts {
    fn add(&mut self, call: &Call) {
        let text = |number: Option<i64>| number.map_or("none".to_owned(), |n| n.to_string());
        *self.endpoints.entry(call.endpoint.name()).or_default() += 1;
        *self.codes.entry(text(call.code)).or_default() += 1;
        let status = text(call.http_status.map(i64::from));
        *self.statuses.entry(status).or_default() += 1;
        if let Some(fault) = call.fault {
            *self.faults.entry(fault).or_default() += 1;
        }
        self.token_requests += u64::from(call.endpoint.is_token());
        self.emails += u64::try_from(call.emails).unwrap_or_default();
        self.mobiles += u64::try_from(call.mobiles).unwrap_or_default();
        self.rate_limited += u64::from(call.rate_limited);
        self.batch_get_id_calls += u64::from(call.endpoint == Endpoint::BatchGetId);
    }

    fn to_json(&self) -> Value {
        json!({
            "token_requests": self.token_requests,
            "batch_get_id_calls": self.batch_get_id_calls,
            "identifiers": self.emails + self.mobiles,
            "emails": self.emails,
            "mobiles": self.mobiles,
            "rate_limited": self.rate_limited,
            "highest": self.peaks.to_json(),
            "by_endpoint": self.endpoints,
            "by_code": self.codes,
            "by_http_status": self.statuses,
            "by_fault": self.faults,
        })
    }
}

impl Call {
    fn to_json(&self, world: &World, in_full: bool) -> Value {
        let identifiers = self.identifiers.iter();
        let identifiers: Vec<String> = if in_full {
            identifiers.cloned().collect()
        } else {
            identifiers.map(|identifier| mask(identifier)).collect()
        };
        json!({
            "time": timestamp(self.at_ms),
            "endpoint": self.endpoint.name(),
            "tenant": world.tenant(self.tenant).map(|tenant| &tenant.app.name),
            "http_status": self.http_status,
            "code": self.code,
            "emails": self.emails,
            "mobiles": self.mobiles,
            "user_id_type": self.user_id_type,
            "include_resigned": self.include_resigned,
            "latency_ms": self.latency_ms,
            "rate_limited": self.rate_limited,
            "fault": self.fault,
            "log_id": self.log_id,
            "identifiers": identifiers,
        })
    }
}

/// The people are made up, but with `--directory` they may not be.
fn mask(identifier: &str) -> String {
    if let Some((local, domain)) = identifier.rsplit_once('@') {
        let first: String = local.chars().take(1).collect();
        return format!("{first}***@{domain}");
    }
    let skipped = identifier.chars().count().saturating_sub(2);
    let last: String = identifier.chars().skip(skipped).collect();
    format!("***{last}")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::sandbox::seed;

    fn call(at_ms: u64) -> Call {
        Call {
            at_ms,
            endpoint: Endpoint::BatchGetId,
            tenant: Some(0),
            http_status: Some(200),
            code: Some(0),
            emails: 1,
            mobiles: 1,
            user_id_type: Some("open_id"),
            include_resigned: false,
            latency_ms: 0,
            rate_limited: false,
            fault: None,
            log_id: String::new(),
            identifiers: vec!["wei@acme.example".to_owned(), "+8613000000042".to_owned()],
        }
    }

    #[test]
    fn the_history_keeps_the_latest_and_masks_unless_asked() {
        let world = World::new(seed::tenants());
        let mut record = Record::new(2);
        for at in 0..12_000 {
            record.add(call(at));
        }
        let history = record.history(&world, usize::MAX, None, false);
        assert_eq!(history.len(), MOST_CALLS);
        assert_eq!(history[0]["identifiers"], json!([]));
        let last = &history[MOST_CALLS - 1];
        assert_eq!(last["identifiers"], json!(["w***@acme.example", "***42"]));
        let full = record.history(&world, 1, None, true);
        assert_eq!(full[0]["identifiers"][0], "wei@acme.example");
        assert_eq!(record.stats(&world)["identifiers"], 24_000);
        assert_eq!(
            record.stats(&world)["tenants"]["acme"]["batch_get_id_calls"],
            12_000
        );
    }
}
