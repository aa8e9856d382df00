#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::*;

/// Keeps what is logged, each line as its fields in order.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, "{}={value} ", field.name()).unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "audit"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0.trim_end().to_owned());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// What is logged meanwhile.
fn lines(work: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), work);
    std::mem::take(&mut *lines.0.lock().unwrap())
}

fn counts(outcomes: &[Outcome]) -> Counts {
    let mut counts = Counts::default();
    for outcome in outcomes {
        counts.add(*outcome);
    }
    counts
}

#[test]
fn what_has_moved_is_written_once() {
    let audit = Audit::default();
    let account = audit.open("billing");
    let batch = counts(&[Outcome::Resolved, Outcome::Resolved, Outcome::Invalid]);
    account.identifiers(Rpc::ResolveUserIds, "acme", &batch);
    account.identifiers(Rpc::ResolveUserIds, "acme", &batch);
    account.request(Rpc::ResolveUserIdsStream, None, Outcome::Denied);
    let told = lines(|| audit.write());
    assert_eq!(
        told,
        [
            "message=asked caller=billing tenant=- rpc=ResolveUserIdsStream outcome=denied count=1",
            "message=asked caller=billing tenant=acme rpc=ResolveUserIds outcome=resolved count=4",
            "message=asked caller=billing tenant=acme rpc=ResolveUserIds outcome=invalid count=2",
        ]
    );
    assert!(lines(|| audit.write()).is_empty());
    account.identifiers(Rpc::ResolveUserIds, "acme", &counts(&[Outcome::Invalid]));
    assert_eq!(lines(|| audit.write()).len(), 1);
}

#[test]
fn the_metric_counts_on_when_lines_have_been_written() {
    let audit = Audit::default();
    let account = audit.open("billing");
    account.identifiers(Rpc::ResolveUserIds, "acme", &counts(&[Outcome::NotFound]));
    audit.write();
    account.identifiers(Rpc::FlushCache, "globex", &counts(&[Outcome::NotFound]));
    account.request(Rpc::ResolveUserIds, Some("acme"), Outcome::Denied);
    let mut shown = Vec::new();
    audit.each_caller(|caller, outcome, count| {
        if count > 0 {
            shown.push(format!("{caller} {outcome} {count}"));
        }
    });
    assert_eq!(shown, ["billing not_found 2"]);
}

#[test]
fn an_address_that_is_refused_again_and_again_makes_two_lines() {
    let audit = Audit::default();
    let peer = Some("192.0.2.7".parse().unwrap());
    let told = lines(|| {
        for _ in 0..1000 {
            audit.refused(peer, Why::UnknownKey, None);
        }
        audit.refused(None, Why::Denied, Some("billing"));
        audit.write();
    });
    assert_eq!(
        told,
        [
            "message=refused peer=192.0.2.7 reason=unknown_key",
            "message=refused peer=in-process reason=denied caller=billing",
            "message=refused again peer=192.0.2.7 reason=unknown_key count=999",
        ]
    );
    // Ten seconds later it is told again.
    let again = lines(|| audit.refused(peer, Why::NoCredential, None));
    assert_eq!(
        again,
        ["message=refused peer=192.0.2.7 reason=no_credential"]
    );
    let mut refusals = Vec::new();
    audit.each_refusal(|why, count| refusals.push((why, count)));
    assert!(refusals.contains(&("unknown_key", 1000)));
    assert!(refusals.contains(&("several_callers", 0)));
}

#[test]
fn addresses_without_number_make_a_bounded_number_of_lines() {
    let audit = Audit::default();
    let told = lines(|| {
        for n in 0..100_000_u32 {
            audit.refused(Some(IpAddr::from(n.to_be_bytes())), Why::NoCredential, None);
        }
        audit.write();
    });
    assert_eq!(told.len(), 257);
    let others = 100_000 - 256;
    assert_eq!(told[256], format!("message=others refused count={others}"));
}

#[test]
fn tenants_without_number_make_a_bounded_number_of_pages() {
    let audit = Audit::default();
    let account = audit.open("billing");
    for n in 0..2000 {
        account.request(Rpc::GetStatus, Some(&format!("t{n}")), Outcome::Done);
    }
    let told = lines(|| audit.write());
    assert_eq!(told.len(), 1001);
    assert!(told[0].contains("tenant=- "), "{}", told[0]);
    assert!(told[0].ends_with("count=1000"), "{}", told[0]);
}
