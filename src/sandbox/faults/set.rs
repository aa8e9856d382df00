//! Changing the switches by a JSON object and listing them with their meaning.

use serde_json::{Map, Value, json};

use super::Faults;
use super::table::{Entry, TABLE};

/// Longest wait that a switch may cause, in milliseconds: a minute, longer than any sensible
/// client's timeout.
const MAX_WAIT_MS: u64 = 60_000;
const MAX_HANG_SECONDS: u64 = 60;
const MAX_BODY_BYTES: u64 = 64 << 20;
/// A week, in seconds.
const MAX_SHIFT_SECONDS: u64 = 604_800;
const MAX_CALLS: u32 = 1_000_000;

impl Faults {
    /// These switches with those in the object changed, or what is wrong with the object.
    pub(in super::super) fn with(&self, changes: &Map<String, Value>) -> Result<Self, String> {
        let mut switches = self.to_map();
        let mut result = self.clone();
        for (name, value) in changes {
            let entry = entry(name)?;
            switches.insert(name.clone(), value.clone());
            // One at a time, so that the error is about the one that was just put in.
            result = serde_json::from_value(Value::Object(switches.clone()))
                .map_err(|_| refusal(entry, value))?;
            if !result.in_range(name) {
                return Err(refusal(entry, value));
            }
        }
        Ok(result)
    }

    /// Every switch with value, default, what it takes and what it means.
    pub(in super::super) fn list(&self) -> Value {
        let (values, defaults) = (self.to_map(), Self::default().to_map());
        let listed = TABLE.iter().map(|entry| {
            let about = json!({
                "value": values.get(entry.name),
                "default": defaults.get(entry.name),
                "takes": entry.takes,
                "meaning": entry.meaning,
            });
            (entry.name.to_owned(), about)
        });
        Value::Object(listed.collect())
    }

    /// The switches that are not at their defaults.
    pub(in super::super) fn changed(&self) -> Map<String, Value> {
        let defaults = Self::default().to_map();
        let mut values = self.to_map();
        values.retain(|name, value| defaults.get(name) != Some(value));
        values
    }

    fn to_map(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            // The struct has only text keys and finite numbers.
            _ => Map::new(),
        }
    }

    /// The limits that types do not express.
    fn in_range(&self, name: &str) -> bool {
        let status = |status: u16| (200..=599).contains(&status);
        match name {
            "latency_ms" => self.latency_ms <= MAX_WAIT_MS,
            "latency_jitter_ms" => self.latency_jitter_ms <= MAX_WAIT_MS,
            "token_latency_ms" => self.token_latency_ms.is_none_or(|ms| ms <= MAX_WAIT_MS),
            "token_latency_jitter_ms" => {
                let jitter = self.token_latency_jitter_ms;
                jitter.is_none_or(|ms| ms <= MAX_WAIT_MS)
            }
            "fault_percent" => (0.0..=100.0).contains(&self.fault_percent),
            "fault_status" => self.fault_status.is_none_or(status),
            "fault_hang_seconds" => self.fault_hang_seconds <= MAX_HANG_SECONDS,
            "fault_oversized_bytes" => (1..=MAX_BODY_BYTES).contains(&self.fault_oversized_bytes),
            "token_life_seconds" => (1..=MAX_SHIFT_SECONDS).contains(&self.token_life_seconds),
            "token_renew_below_seconds" => self.token_renew_below_seconds <= MAX_SHIFT_SECONDS,
            "token_rejected_status" => matches!(self.token_rejected_status, 200 | 400 | 401),
            "wrong_secret_code" => matches!(self.wrong_secret_code, 10014 | 10015),
            "clock_offset_seconds" => self.clock_offset_seconds.unsigned_abs() <= MAX_SHIFT_SECONDS,
            "gateway_status" => status(self.gateway_status),
            "quota_per_second" => self.quota_per_second <= MAX_CALLS,
            "quota_per_minute" => self.quota_per_minute <= MAX_CALLS,
            "quota_status" => matches!(self.quota_status, 400 | 429),
            _ => true,
        }
    }
}

fn refusal(entry: &Entry, value: &Value) -> String {
    let Entry { name, takes, .. } = entry;
    format!("the switch {name:?} takes {takes}, not {value}")
}

fn entry(name: &str) -> Result<&'static Entry, String> {
    let known = TABLE.iter().find(|entry| entry.name == name);
    known.ok_or_else(|| {
        let nearest = TABLE
            .iter()
            .min_by_key(|entry| distance(name, entry.name))
            .map_or("", |entry| entry.name);
        format!("there is no switch {name:?}; the nearest is {nearest:?}, GET /faults lists all")
    })
}

/// How many letters must change to make one name of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut next = vec![index + 1];
        for ((target, &above), pair) in other.chars().zip(row.iter().skip(1)).zip(row.windows(2)) {
            let diagonal = pair.first().copied().unwrap_or_default();
            let left = next.last().copied().unwrap_or_default();
            let replaced = diagonal + usize::from(letter != target);
            next.push(replaced.min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn set(changes: &Value) -> Result<Faults, String> {
        Faults::default().with(changes.as_object().unwrap())
    }

    #[test]
    fn every_switch_is_documented_and_every_documented_one_exists() {
        let fields: Vec<String> = Faults::default().to_map().keys().cloned().collect();
        let mut documented: Vec<&str> = TABLE.iter().map(|entry| entry.name).collect();
        documented.sort_unstable();
        let mut sorted = fields.clone();
        sorted.sort_unstable();
        assert_eq!(documented, sorted);
    }

    #[test]
    fn what_is_not_named_stays_as_it_is() {
        let first = set(&json!({"latency_ms": 5, "fault": "hang"})).unwrap();
        let changes = json!({"fault_next": 3});
        let second = first.with(changes.as_object().unwrap()).unwrap();
        assert_eq!((second.latency_ms, second.fault_next), (5, Some(3)));
    }

    #[test]
    fn an_unknown_switch_is_refused_with_the_nearest() {
        let error = set(&json!({"latency": 5})).unwrap_err();
        assert!(
            error.contains("\"latency\"") && error.contains("\"latency_ms\""),
            "{error}"
        );
    }

    #[test]
    fn a_wrong_type_or_range_is_refused_with_the_switch_and_what_it_takes() {
        for (changes, words) in [
            (
                json!({"latency_ms": "5"}),
                "\"latency_ms\" takes 0 to 60000",
            ),
            (json!({"fault": "explode"}), "\"fault\" takes none, code"),
            (
                json!({"token_rejected_status": 402}),
                "takes 200, 400 or 401",
            ),
            (json!({"fault_percent": 101}), "takes 0 to 100"),
            (json!({"poison": "a"}), "takes a list"),
            (json!({"latency_ms": null}), "not null"),
            (json!({"mobile_echo": "with86"}), "with_86"),
        ] {
            let error = set(&changes).unwrap_err();
            assert!(error.contains(words), "{changes}: {error}");
        }
    }

    #[test]
    fn every_choice_that_is_documented_can_be_set() {
        for (name, choices) in [
            (
                "fault",
                "none code status truncated_json oversized_body not_json drop drop_mid_body hang any",
            ),
            ("fault_endpoint", "any token batch_get_id"),
            ("mobile_echo", "as_sent with_86 without_86"),
            ("poison_answer", "99992402 40001 9499 500"),
            ("duplicates", "row_each once refuse"),
            ("quota_form", "fixed sliding"),
        ] {
            for choice in choices.split(' ') {
                set(&json!({ name: choice })).unwrap();
            }
        }
    }

    #[test]
    fn the_distance_counts_letters() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
