//! `[tls]`: files that are there and good, and all that can be wrong with them.

use std::fmt::Write as _;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

/// A certificate that vouches for itself, good until that year, and its key.
fn issue(until: i32) -> (String, String) {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// A directory with `server.pem` and `server.key`.
fn with_certificate(name: &str, until: i32) -> Scratch {
    let scratch = Scratch::new(name);
    let (certificate, key) = issue(until);
    scratch.file("server.pem", certificate);
    scratch.file("server.key", key);
    scratch
}

fn load_in(scratch: &Scratch, settings: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let mut toml = "[tls]\n".to_owned();
    for (key, file) in settings {
        writeln!(toml, "{key} = \"{file}\"").unwrap();
    }
    Config::load(&Sources {
        file: Some(scratch.file("feishu-id.toml", toml)),
        ..Sources::default()
    })
}

const BOTH: [(&str, &str); 2] = [("certificate", "server.pem"), ("key", "server.key")];

#[test]
fn a_certificate_and_its_key_lie_beside_the_file() {
    let scratch = with_certificate("tls", 2999);
    let loaded = load_in(&scratch, &BOTH).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let tls = loaded.config.tls.as_ref().unwrap();
    assert_eq!(tls.certified.cert.len(), 1);
    assert!(tls.client_ca.is_none());
    // The first moment of 2999.
    assert_eq!(tls.expires, 32_472_144_000);
    assert!(
        loaded
            .effective()
            .to_string()
            .contains("key = \"server.key\"")
    );
    assert!(format!("{loaded:?}").contains("TlsConfig { certificates: 1, expires: 324"));

    let chain = fs::read_to_string(scratch.0.join("server.pem")).unwrap() + &issue(2500).0;
    scratch.file("server.pem", chain);
    let with_ca = [BOTH[0], BOTH[1], ("client_ca", "server.pem")];
    let tls = load_in(&scratch, &with_ca).unwrap().config.tls.unwrap();
    assert_eq!(tls.certified.cert.len(), 2);
    assert_eq!(tls.client_ca.unwrap().len(), 2);
    assert_eq!(tls.expires, 16_725_225_600, "the one that ends first");
}

#[test]
fn a_certificate_allows_a_listener_that_others_can_reach() {
    let scratch = with_certificate("tls-open", 2999);
    let file = scratch.file(
        "feishu-id.toml",
        "[grpc]\nlisten = \"0.0.0.0:1\"\n[tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"",
    );
    let sources = Sources {
        file: Some(file),
        ..Sources::default()
    };
    let listen = Config::load(&sources).unwrap().config.grpc.listen;
    assert_eq!(listen.to_string(), "0.0.0.0:1");
}

#[test]
fn a_certificate_that_has_expired_is_a_warning() {
    let scratch = with_certificate("tls-expired", 2021);
    let loaded = load_in(&scratch, &BOTH).unwrap();
    let [warning] = loaded.warnings.as_slice() else {
        panic!("{:?}", loaded.warnings);
    };
    assert!(
        warning.contains("feishu-id.toml:2: tls.certificate: "),
        "{warning}"
    );
    assert!(
        warning.contains("expired on 2021-01-01T00:00:00Z"),
        "{warning}"
    );
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_key() {
    let scratch = with_certificate("tls-wrong", 2999);
    let (_, other) = issue(2999);
    scratch.file("other.key", other);
    scratch.file("text", "hello");
    scratch.file("damaged.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    scratch.file(
        "no-certificate.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    scratch.file(
        "bad.key",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    scratch.file(
        "locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let [certificate, key] = BOTH;
    for (settings, said) in [
        (
            &[certificate][..],
            "tls.key: is missing: tls.certificate needs it",
        ),
        (&[key], "tls.certificate: is missing: tls.key needs it"),
        (
            &[("client_ca", "server.pem")],
            "tls.certificate: is missing: tls.client_ca needs it",
        ),
        (&[("certificate", "nowhere"), key], "nowhere cannot be read"),
        (
            &[("certificate", "text"), key],
            "tls.certificate: DIR/text holds no certificate in PEM form",
        ),
        (
            &[("certificate", "damaged.pem"), key],
            "tls.certificate: DIR/damaged.pem is damaged",
        ),
        (
            &[("certificate", "no-certificate.pem"), key],
            "tls.certificate: DIR/no-certificate.pem holds a certificate that cannot be read",
        ),
        (
            &[certificate, ("key", "server.pem")],
            "tls.key: DIR/server.pem holds no private key in PEM form",
        ),
        (
            &[certificate, ("key", "locked.key")],
            "tls.key: DIR/locked.key is encrypted",
        ),
        (
            &[certificate, ("key", "bad.key")],
            "tls.key: DIR/bad.key holds a key that cannot be used",
        ),
        (
            &[certificate, ("key", "other.key")],
            "tls.key: is not the key of the first certificate in DIR/server.pem",
        ),
        (
            &[certificate, key, ("client_ca", "server.key")],
            "tls.client_ca: DIR/server.key holds no certificate",
        ),
        (
            &[certificate, key, ("client_ca", "no-certificate.pem")],
            "tls.client_ca: DIR/no-certificate.pem holds a certificate that cannot be read",
        ),
    ] {
        let told = load_in(&scratch, settings).unwrap_err().to_string();
        let told = told.replace(&scratch.0.display().to_string(), "DIR");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains(said), "{told}");
    }
}
