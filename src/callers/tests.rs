#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{collections::BTreeSet, time::Duration};

use crate::identity::UserIdType;

use super::*;

fn rights(tenants: &[&str]) -> Rights {
    let names: BTreeSet<_> = tenants.iter().map(|name| (*name).to_owned()).collect();
    Rights {
        tenants: Tenants::These(names),
        user_id_types: vec![UserIdType::UserId],
        fresh: false,
        admin: false,
    }
}

fn caller(name: &str, keys: &[&str], certificates: &[&str]) -> CallerSettings {
    CallerSettings {
        name: name.to_owned(),
        key_hashes: keys.iter().map(|key| KeyHash::of(key.as_bytes())).collect(),
        certificate_names: certificates.iter().map(|name| (*name).to_owned()).collect(),
        rights: rights(&["acme"]),
        rate: None,
    }
}

fn callers(settings: Vec<CallerSettings>) -> Callers {
    let callers = Callers::default();
    callers.replace(settings);
    callers
}

fn proof(key: Option<&str>, certificate: Option<&[&str]>) -> Proof {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Proof {
        key: key.map(|key| KeyHash::of(key.as_bytes())),
        certificate: certificate.map(|certificate| CertificateNames(names(certificate))),
    }
}

fn key(key: &str) -> Proof {
    proof(Some(key), None)
}

fn who(callers: &Callers, proof: Proof) -> Result<String, Why> {
    let entered = callers.enter(proof, None)?;
    Ok(entered.caller().name().to_owned())
}

#[test]
fn with_nobody_configured_everybody_may_everything() {
    let callers = Callers::default();
    assert!(callers.is_open());
    for proof in [Proof::default(), key("anything"), proof(None, Some(&["a"]))] {
        let entered = callers.enter(proof, None).unwrap();
        let caller = entered.caller();
        assert_eq!((caller.name(), caller.id()), ("anonymous", None));
        assert!(caller.is_anonymous());
        assert!(caller.rights().has_tenant("whatever") && caller.rights().has_all_tenants());
        assert!(caller.rights().fresh && caller.rights().admin);
        assert!(caller.take(usize::MAX).is_ok());
    }
}

#[test]
fn a_caller_is_known_by_each_of_their_keys_and_nobody_without() {
    let callers = callers(vec![
        caller("billing", &["k1", "k2"], &[]),
        caller("chat", &["k3"], &[]),
    ]);
    assert_eq!(who(&callers, key("k1")), Ok("billing".to_owned()));
    assert_eq!(who(&callers, key("k2")), Ok("billing".to_owned()));
    assert_eq!(who(&callers, key("k3")), Ok("chat".to_owned()));
    assert_eq!(who(&callers, key("k4")), Err(Why::UnknownKey));
    assert_eq!(who(&callers, key("")), Err(Why::UnknownKey));
    assert_eq!(who(&callers, Proof::default()), Err(Why::NoCredential));
}

#[test]
fn a_certificate_is_enough_if_it_names_one_caller() {
    let callers = callers(vec![
        caller("billing", &[], &["billing.example", "spiffe://x/billing"]),
        caller("chat", &[], &["chat.example"]),
    ]);
    let by = |names: &[&str]| who(&callers, proof(None, Some(names)));
    assert_eq!(by(&["billing.example"]), Ok("billing".to_owned()));
    assert_eq!(
        by(&["localhost", "spiffe://x/billing", "billing.example"]),
        Ok("billing".to_owned())
    );
    assert_eq!(
        by(&["chat.example", "billing.example"]),
        Err(Why::SeveralCallers)
    );
    for other in [
        "BILLING.example",
        "billing.example.",
        "x.billing.example",
        "",
    ] {
        assert_eq!(by(&[other]), Err(Why::UnknownCertificate), "{other}");
    }
    assert_eq!(by(&[]), Err(Why::UnknownCertificate));
}

#[test]
fn who_shows_both_must_be_the_same_by_both() {
    let callers = callers(vec![
        caller("billing", &["k1"], &["billing.example"]),
        caller("chat", &["k2"], &[]),
    ]);
    let by = |key: &str, names: &[&str]| who(&callers, proof(Some(key), Some(names)));
    assert_eq!(by("k1", &["billing.example"]), Ok("billing".to_owned()));
    // A certificate that is nobody's is for the connection alone.
    assert_eq!(by("k2", &["mesh.example"]), Ok("chat".to_owned()));
    // But not where the caller has one of their own.
    assert_eq!(by("k1", &["mesh.example"]), Err(Why::NotTheSame));
    assert_eq!(by("k2", &["billing.example"]), Err(Why::NotTheSame));
    // A key that is nobody's is refused even where the certificate would do.
    assert_eq!(by("k9", &["billing.example"]), Err(Why::UnknownKey));
    // Either is enough.
    assert_eq!(who(&callers, key("k1")), Ok("billing".to_owned()));
}

#[test]
fn what_is_replaced_holds_at_once() {
    let callers = callers(vec![caller("billing", &["k1"], &[])]);
    let entered = callers.enter(key("k1"), None).unwrap();
    assert!(
        callers.still(&entered).unwrap().is_none(),
        "nothing has changed"
    );
    // Another key, while the old one still counts: rotation.
    callers.replace(vec![caller("billing", &["k1", "k2"], &[])]);
    let again = callers.still(&entered).unwrap().unwrap();
    assert_eq!(again.caller().name(), "billing");
    // The old one is gone.
    callers.replace(vec![caller("billing", &["k2"], &[])]);
    assert_eq!(callers.still(&again).err(), Some(Why::UnknownKey));
    let mut told = Vec::new();
    callers
        .audit()
        .each_refusal(|why, count| told.extend((count > 0).then_some((why, count))));
    assert_eq!(told, [("unknown_key", 1)]);
    assert_eq!(who(&callers, key("k1")), Err(Why::UnknownKey));
    assert_eq!(who(&callers, key("k2")), Ok("billing".to_owned()));
}

#[test]
fn a_connection_remembers_who_came_last_and_takes_nobody_else_for_them() {
    let open = Callers::default();
    let mut shown = false;
    let entered = open.visitor(None, None).enter(|| {
        shown = true;
        Err(Why::MalformedCredential)
    });
    assert!(entered.unwrap().caller().is_anonymous() && !shown);
    let callers = callers(vec![
        caller("billing", &["k1"], &["billing.example"]),
        caller("chat", &["k2"], &[]),
    ]);
    let visitor = callers.visitor(None, None);
    let some = |name: &str| Ok(name.to_owned());
    let by = |key: Option<&str>| {
        let entered = visitor.enter(|| Ok(key.map(|key| KeyHash::of(key.as_bytes()))))?;
        Ok(entered.caller().name().to_owned())
    };
    for _ in 0..2 {
        assert_eq!(by(Some("k1")), some("billing"));
        assert_eq!(by(Some("k1")), some("billing"));
        assert_eq!(by(None), Err(Why::NoCredential));
        assert_eq!(by(Some("k9")), Err(Why::UnknownKey));
        assert_eq!(by(Some("k1")), some("billing"));
        assert_eq!(by(Some("k2")), some("chat"));
    }
    callers.replace(vec![caller("billing", &["k3"], &[])]);
    assert_eq!(by(Some("k1")), Err(Why::UnknownKey));
    assert_eq!(by(Some("k2")), Err(Why::UnknownKey));
    assert_eq!(by(Some("k3")), some("billing"));
    callers.replace(Vec::new());
    assert_eq!(by(Some("k3")), Err(Why::UnknownKey));

    let names = CertificateNames(["billing.example".to_owned()].into());
    callers.replace(vec![caller("billing", &["k1"], &["billing.example"])]);
    let visitor = callers.visitor(Some(names), None);
    let by = |key: Option<&str>| {
        let key = key.map(|key| KeyHash::of(key.as_bytes()));
        visitor.enter(|| Ok(key)).map(drop)
    };
    assert_eq!(by(None), Ok(()));
    assert_eq!(by(Some("k2")), Err(Why::UnknownKey));
    assert_eq!(by(Some("k1")), Ok(()));
    assert_eq!(by(None), Ok(()));
}

#[test]
fn fewer_rights_hold_for_who_is_inside_already() {
    let callers = callers(vec![caller("billing", &["k1"], &[])]);
    let entered = callers.enter(key("k1"), None).unwrap();
    assert!(entered.caller().rights().has_tenant("acme"));
    callers.replace(vec![CallerSettings {
        rights: rights(&["globex"]),
        ..caller("billing", &["k1"], &[])
    }]);
    let again = callers.still(&entered).unwrap().unwrap();
    assert!(!again.caller().rights().has_tenant("acme"));
}

#[test]
fn the_last_caller_gone_does_not_open_the_door() {
    let callers = callers(vec![caller("billing", &["k1"], &[])]);
    let entered = callers.enter(key("k1"), None).unwrap();
    callers.replace(Vec::new());
    assert!(!callers.is_open());
    assert_eq!(who(&callers, Proof::default()), Err(Why::NoCredential));
    assert_eq!(who(&callers, key("k1")), Err(Why::UnknownKey));
    assert_eq!(callers.still(&entered).err(), Some(Why::UnknownKey));
}

#[test]
fn who_came_in_while_it_was_open_is_not_in_any_more_once_it_is_closed() {
    let callers = Callers::default();
    let entered = callers.enter(Proof::default(), None).unwrap();
    callers.replace(vec![caller("billing", &["k1"], &[])]);
    assert_eq!(callers.still(&entered).err(), Some(Why::NoCredential));
}

#[tokio::test(start_paused = true)]
async fn a_caller_keeps_number_and_debt_over_a_reload() {
    let slow = |name: &str, key: &str| CallerSettings {
        rate: Some(Rate::per_second(10)),
        ..caller(name, &[key], &[])
    };
    let callers = callers(vec![slow("billing", "k1"), slow("chat", "k2")]);
    let enter = |k: &str| callers.enter(key(k), None).unwrap();
    let (billing, chat) = (enter("k1"), enter("k2"));
    assert!(billing.caller().id().is_some());
    assert_ne!(billing.caller().id(), chat.caller().id());
    billing.caller().take(1000).unwrap();
    callers.replace(vec![slow("admin", "k0"), slow("billing", "k1")]);
    let again = enter("k1");
    assert_eq!(again.caller().id(), billing.caller().id());
    let Err(at) = again.caller().take(1) else {
        panic!("the debt is forgotten")
    };
    assert_eq!((at - Instant::now()).as_secs(), 90);
    tokio::time::sleep(Duration::from_secs(91)).await;
    again.caller().take(1).unwrap();
    // Nobody gets the number of somebody who has gone.
    assert_ne!(enter("k0").caller().id(), chat.caller().id());
}
