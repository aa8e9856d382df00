//! Who may call.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A folder's name of its own for each reading: the tests run side by side.
fn scratch() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("callers-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

const HASH: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const OTHER: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000001";

const TENANTS: &str = "\
[tenants.acme]
app_id = \"cli_a\"
app_secret = \"s\"
[tenants.globex]
app_id = \"cli_g\"
app_secret = \"s\"
";

fn callers(toml: &str, variables: &[(&str, &str)]) -> Vec<CallerConfig> {
    let loaded = load(&scratch(), &format!("{TENANTS}{toml}"), variables).unwrap();
    loaded.config.callers
}

/// The errors, their lines counted from the end of the tenants.
fn told(toml: &str) -> Vec<String> {
    let told = errors(&scratch(), &format!("{toml}\n{TENANTS}"), &[]);
    told.lines().map(str::to_owned).collect()
}

#[test]
fn every_key_of_a_caller_can_be_set() {
    let toml = format!(
        "[callers.bill-ing_2]\nkey_hashes = [\"{HASH}\", \"{OTHER}\"]\n\
         certificate_identity = [\"billing.example\", \"spiffe://example/billing\"]\n\
         tenants = [\"acme\"]\nuser_id_types = [\"open_id\", \"union_id\"]\n\
         permissions = [\"fresh\", \"admin\"]\nidentifiers_per_second = 7\n"
    );
    let [caller] = &callers(&toml, &[])[..] else {
        panic!("there is one")
    };
    assert_eq!(caller.name, "bill-ing_2");
    assert_eq!(caller.key_hashes.len(), 2);
    assert_eq!(caller.key_hashes[0][..4], [0xba, 0x78, 0x16, 0xbf]);
    let identities = ["billing.example", "spiffe://example/billing"];
    assert_eq!(caller.certificate_identity, identities);
    assert_eq!(caller.tenants, ["acme"]);
    assert_eq!(caller.user_id_types, [IdKind::OpenId, IdKind::UnionId]);
    assert!(caller.fresh && caller.admin && !caller.has_all_tenants());
    assert_eq!(caller.identifiers_per_second, Some(7));
}

#[test]
fn a_caller_may_little_unless_told_otherwise() {
    let toml = format!("[callers.a]\nkey_hashes = \"{HASH}\"\ntenants = \"*\"");
    let [caller] = &callers(&toml, &[])[..] else {
        panic!("there is one")
    };
    assert!(!caller.fresh && !caller.admin && caller.has_all_tenants());
    assert_eq!(caller.user_id_types.len(), 3);
    assert_eq!(caller.identifiers_per_second, Some(100));
    let off = format!("{toml}\nidentifiers_per_second = \"off\"");
    assert_eq!(callers(&off, &[])[0].identifiers_per_second, None);
}

#[test]
fn a_caller_can_come_from_variables_alone() {
    let hashes = format!("{HASH}, {OTHER},");
    let variables = [
        ("FEISHU_ID_CALLERS__MY__SERVICE__KEY_HASHES", &*hashes),
        ("FEISHU_ID_CALLERS__MY__SERVICE__TENANTS", "acme,globex"),
        ("FEISHU_ID_CALLERS__MY__SERVICE__PERMISSIONS", "admin"),
    ];
    let callers = callers("", &variables);
    assert_eq!(callers[0].name, "my__service");
    assert_eq!(callers[0].key_hashes.len(), 2);
    assert_eq!(callers[0].tenants, ["acme", "globex"]);
    assert!(callers[0].admin && !callers[0].fresh);
}

#[test]
fn a_callers_mistakes_are_told_with_key_and_place() {
    let toml = "\
[callers.a]
tenants = [\"acme\", \"nowhere\"]
key_hashes = [\"abc\"]
user_id_types = []
permissions = [\"root\"]
identifiers_per_second = 0
[callers.b]
tenants = []
[callers.c]
tenants = [\"*\", \"acme\"]
certificate_identity = [1]
[callers.d]
key_hash = \"x\"
[callers.Nope]
tenants = \"*\"
[callers.anonymous]
tenants = \"*\"";
    let expected = [
        "feishu-id.toml:14: callers.Nope: a caller's name is 1 to 40 of a-z, 0-9, _ and -",
        "feishu-id.toml:3: callers.a.key_hashes: expected \"sha256:\" and 64 hexadecimal digits, as \
         `feishu-id keys new` prints them; never a key itself",
        "feishu-id.toml:4: callers.a.user_id_types: is empty: name a kind of ID, or leave it out for \
         all",
        "feishu-id.toml:5: callers.a.permissions: expected \"fresh\" or \"admin\"",
        "feishu-id.toml:6: callers.a.identifiers_per_second: must be from 1 to 1000000, or \"off\"",
        "feishu-id.toml:16: callers.anonymous: anonymous is what whoever is not configured is called: \
         choose another name",
        "feishu-id.toml:8: callers.b.tenants: is empty: name tenants, or \"*\" for all",
        "feishu-id.toml:11: callers.c.certificate_identity: expected a string, found a whole number",
        "feishu-id.toml:10: callers.c.tenants: \"*\" means all tenants: leave out the others",
        "feishu-id.toml:12: callers.d.tenants: is missing: caller \"d\" needs it: name the tenants it \
         may ask about, or \"*\" for all",
        "feishu-id.toml:2: callers.a.tenants: \"nowhere\" is no tenant: there are acme, globex",
        "feishu-id.toml:13: callers.d.key_hash: no such setting; did you mean callers.d.key_hashes?",
    ];
    assert_eq!(told(toml), expected);
}

#[test]
fn a_key_in_place_of_its_hash_is_an_error_that_does_not_repeat_it() {
    let key = "fid_wP0Zk2hbTqxr9PpYyTt1VZq8u4V2bQm0sJd7cXnLkEa";
    let toml = format!("[callers.a]\ntenants = \"*\"\nkey_hashes = [\"{HASH}\", \"{key}\"]");
    let told = told(&toml).join("\n");
    assert!(
        told.starts_with("feishu-id.toml:3: callers.a.key_hashes: is a key"),
        "{told}"
    );
    assert!(told.contains("feishu-id keys new"), "{told}");
    assert!(!told.contains("wP0Zk2"), "{told}");
}

#[test]
fn a_key_or_a_certificate_is_one_callers() {
    let toml = format!(
        "[callers.a]\ntenants = \"*\"\nkey_hashes = [\"{HASH}\", \"{HASH}\"]\n\
         certificate_identity = \"x\"\n\
         [callers.b]\ntenants = \"*\"\nkey_hashes = [\"{}\"]\ncertificate_identity = [\"y\", \"x\"]",
        HASH.to_uppercase().replace("SHA256", "sha256")
    );
    let expected = [
        "feishu-id.toml:3: callers.a.key_hashes: is there twice: remove one",
        "feishu-id.toml:7: callers.b.key_hashes: holds one that is caller \"a\"'s too: remove one",
        "feishu-id.toml:8: callers.b.certificate_identity: holds one that is caller \"a\"'s too: \
         remove one",
    ];
    assert_eq!(told(&toml), expected);
}

#[test]
fn a_caller_whom_nobody_can_be_is_legal_and_odd() {
    let toml = format!("{TENANTS}[callers.a]\ntenants = \"*\"");
    let loaded = load(&scratch(), &toml, &[]).unwrap();
    assert_eq!(loaded.config.callers.len(), 1);
    let warning = &loaded.warnings[0];
    assert!(warning.contains("nobody can be this caller"), "{warning}");
    assert!(warning.contains("feishu-id keys new a"), "{warning}");
}

#[test]
fn a_certificate_that_no_client_is_asked_for_is_odd() {
    let toml =
        format!("{TENANTS}[callers.a]\ntenants = \"*\"\ncertificate_identity = \"a.example\"");
    let warnings = load(&scratch(), &toml, &[]).unwrap().warnings;
    assert!(
        warnings[0].contains("tls.client_ca is not set"),
        "{warnings:?}"
    );
}

#[test]
fn with_callers_others_may_reach_the_listener_and_the_operator_is_warned() {
    let toml = format!(
        "[grpc]\nlisten = \"0.0.0.0:1\"\n{TENANTS}[callers.a]\ntenants = \"*\"\n\
         key_hashes = \"{HASH}\""
    );
    let loaded = load(&scratch(), &toml, &[]).unwrap();
    let [warning] = &loaded.warnings[..] else {
        panic!("{:?}", loaded.warnings)
    };
    assert!(warning.contains("0.0.0.0:1 is not encrypted"), "{warning}");
    let trusted = [("FEISHU_ID_GRPC__INSECURE", "true")];
    assert!(
        load(&scratch(), &toml, &trusted)
            .unwrap()
            .warnings
            .is_empty()
    );
}

#[test]
fn the_effective_callers_load_again() {
    let toml = format!(
        "{TENANTS}[callers.a]\ntenants = [\"acme\", \"globex\"]\nkey_hashes = \"{HASH}\"\n\
         permissions = \"fresh\""
    );
    let loaded = load(&scratch(), &toml, &[]).unwrap();
    let printed = loaded.effective().to_string();
    assert!(
        printed.contains(&format!("key_hashes = [\"{HASH}\"]")),
        "{printed}"
    );
    let again = load(&scratch(), &printed, &[]).unwrap();
    assert_eq!(again.config.callers, loaded.config.callers);
}

#[test]
fn tenants_that_come_later_are_checked_then() {
    let toml = format!("[callers.a]\ntenants = [\"acme\"]\nkey_hashes = \"{HASH}\"");
    let mut config = load(&scratch(), &toml, &[]).unwrap().config;
    let tenant = |name| TenantConfig::new(name, "cli_a", "s".into(), "http://127.0.0.1:1");
    config.tenants = vec![tenant("globex")];
    assert_eq!(
        config.check_callers(),
        Err("callers.a.tenants: \"acme\" is no tenant: there are globex".to_owned())
    );
    config.tenants.push(tenant("acme"));
    assert_eq!(config.check_callers(), Ok(()));
}
