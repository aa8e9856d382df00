//! What came of a run, for people and for programs.

use std::fmt::Write as _;

use feishu_id::pb::identity::Outcome;
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::{
    args::Mode,
    plan::Run,
    tally::{Counts, Trouble, reason_name},
    verify::Wrong,
};

/// The figures of a run.
pub struct Report {
    what: String,
    counts: Counts,
    calls: u64,
    identifiers: u64,
    again: u64,
    /// Seconds of a step of the series.
    step: u64,
    wrong: Option<Wrong>,
}

impl Report {
    pub fn new(mode: &Mode, run: &Run) -> Self {
        let common = mode.common();
        let counts = run.tally.counts();
        let how = match (common.rate, mode) {
            (Some(rate), _) => format!("{rate} a second"),
            (None, Mode::Unary { in_flight, .. }) => format!("{in_flight} in flight"),
            (
                None,
                Mode::Stream {
                    batches_in_flight, ..
                },
            ) => {
                format!("{batches_in_flight} in flight on each")
            }
        };
        let (calls, over) = match mode {
            Mode::Unary { .. } => ("unary calls", "connections"),
            Mode::Stream { .. } => ("batches", "streams"),
        };
        let asked = run.taken() * run.identifiers;
        let people = run.messages.people().count();
        Self {
            what: format!(
                "{calls} of {} for {}, {how}, over {} {over}",
                run.identifiers, common.server.address, common.connections
            ),
            calls: run.taken(),
            identifiers: run.identifiers,
            step: common.series_step.into(),
            again: people.map_or(0, |people| asked.saturating_sub(people)),
            wrong: run.verifier.as_ref().map(crate::verify::Verifier::wrong),
            counts,
        }
    }

    /// Everything was answered, and nothing wrongly.
    pub fn all_well(&self) -> bool {
        let counts = &self.counts;
        counts.answered > 0
            && counts.failed + counts.not_sent + counts.lost == 0
            && counts.failed_items.is_empty()
            && self.wrong.is_none_or(|wrong| wrong.total() == 0)
    }

    pub fn json(&self) -> String {
        let counts = &self.counts;
        let troubles = counts.troubles.iter().map(|(trouble, count)| {
            let Trouble {
                code,
                reason,
                retry_info,
            } = trouble;
            json!({"code": code, "reason": reason, "retry_info": retry_info, "count": count})
        });
        let failed_items = counts.failed_items.iter();
        let failed_items = failed_items.map(|(reason, count)| (reason_name(*reason), json!(count)));
        let wrong = self.wrong.map(|wrong| {
            json!({
                "total": wrong.total(),
                "changed": wrong.changed,
                "shared": wrong.shared,
                "misplaced": wrong.misplaced,
                "denied": wrong.denied,
            })
        });
        let value = json!({
            "what": self.what,
            "calls": self.calls,
            "answered": counts.answered,
            "failed": counts.failed,
            "not_sent": counts.not_sent,
            "identifiers_a_call": self.identifiers,
            "identifiers_answered": counts.identifiers,
            "elapsed_seconds": self.elapsed(),
            "calls_per_second": self.per_second(counts.answered),
            "identifiers_per_second": self.per_second(counts.identifiers),
            "latency_ms": percentiles(&counts.latency),
            "fresh_latency_ms": percentiles(&counts.fresh_latency()),
            "stale_latency_ms": percentiles(&counts.stale_latency),
            "failed_latency_ms": percentiles(&counts.refusals),
            "outcomes": outcomes(counts).collect::<Map<_, _>>(),
            "failed_items": failed_items.collect::<Map<_, _>>(),
            "stale": counts.stale,
            "lost": counts.lost,
            "troubles": troubles.collect::<Vec<_>>(),
            "wrong": wrong,
            "asked_again": self.again,
        });
        format!("{value}\n")
    }

    pub fn table(&self) -> String {
        let counts = &self.counts;
        let mut text = format!("{} {}\n", self.calls, self.what);
        let mut row = |name: &str, value: &str| {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "  {name:<30} {value}");
        };
        row("seconds", &format!("{:.3}", self.elapsed()));
        let answered = self.per_second(counts.answered);
        row(
            "answered",
            &format!("{}   {answered:.1} a second", counts.answered),
        );
        let identifiers = self.per_second(counts.identifiers);
        row(
            "identifiers answered",
            &format!("{}   {identifiers:.1} a second", counts.identifiers),
        );
        row("milliseconds to an answer", &times(&counts.latency));
        for (outcome, count) in outcomes(counts) {
            row(&format!("outcome {outcome}"), &count.to_string());
        }
        for (reason, count) in &counts.failed_items {
            row(
                &format!("FAILED with {}", reason_name(*reason)),
                &count.to_string(),
            );
        }
        for (trouble, count) in &counts.troubles {
            let retry = if trouble.retry_info {
                "   with RetryInfo"
            } else {
                ""
            };
            let name = format!("{} {}", trouble.code, trouble.reason);
            row(name.trim_end(), &format!("{count}{retry}"));
        }
        if counts.stale > 0 {
            row("milliseconds, fresh", &times(&counts.fresh_latency()));
            row("milliseconds, stale", &times(&counts.stale_latency));
        }
        if counts.failed > 0 {
            row("milliseconds to a failure", &times(&counts.refusals));
        }
        for (name, count) in [
            ("not sent, too many waiting", counts.not_sent),
            ("items without an outcome", counts.lost),
            ("stale", counts.stale),
            ("asked for again, too few people", self.again),
        ] {
            if count > 0 {
                row(name, &count.to_string());
            }
        }
        if let Some(wrong) = self.wrong {
            row("wrong answers", &wrong.total().to_string());
            for (name, count) in [
                ("  changed since the first", wrong.changed),
                ("  an ID of two identifiers", wrong.shared),
                ("  in another's place", wrong.misplaced),
                ("  there, but not RESOLVED", wrong.denied),
            ] {
                if count > 0 {
                    row(name, &count.to_string());
                }
            }
        }
        text
    }

    /// Step by step, as CSV. Each is named by the second in which it begins.
    pub fn series(&self) -> String {
        let mut text =
            "second,answered,failed,not_sent,identifiers,stale,p50_ms,p99_ms\n".to_owned();
        for (number, step) in (0..).zip(&self.counts.steps) {
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{},{}",
                number * self.step,
                step.answered,
                step.failed,
                step.not_sent,
                step.identifiers,
                step.stale,
                milliseconds(step.p50),
                milliseconds(step.p99)
            );
        }
        text
    }

    fn elapsed(&self) -> f64 {
        rounded(self.counts.last.as_secs_f64(), 1e4)
    }

    fn per_second(&self, count: u64) -> f64 {
        let seconds = self.counts.last.as_secs_f64();
        if seconds > 0.0 {
            rounded(float(count) / seconds, 10.0)
        } else {
            0.0
        }
    }
}

/// The outcomes that occurred, by their names without prefix.
fn outcomes(counts: &Counts) -> impl Iterator<Item = (String, Value)> {
    let numbered = (0..).zip(counts.outcomes).filter(|(_, count)| *count > 0);
    numbered.map(|(number, count)| {
        let name = Outcome::try_from(number).map_or("UNKNOWN", |outcome| outcome.as_str_name());
        (name.trim_start_matches("OUTCOME_").to_owned(), json!(count))
    })
}

const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("max", 1.0),
];

/// The percentiles in milliseconds; null if there was nothing.
fn percentiles(histogram: &Histogram<u64>) -> Value {
    if histogram.is_empty() {
        return Value::Null;
    }
    let pairs = QUANTILES.iter().map(|(name, quantile)| {
        let value = json!(milliseconds(histogram.value_at_quantile(*quantile)));
        ((*name).to_owned(), value)
    });
    Value::Object(pairs.collect())
}

fn times(histogram: &Histogram<u64>) -> String {
    if histogram.is_empty() {
        return "-".to_owned();
    }
    let mut text = String::new();
    for (name, quantile) in QUANTILES {
        let value = milliseconds(histogram.value_at_quantile(quantile));
        let _ = write!(text, "{name} {value:.2}   ");
    }
    text.trim_end().to_owned()
}

fn milliseconds(micros: u64) -> f64 {
    float(micros) / 1000.0
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
