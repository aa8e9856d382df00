//! Servers that do not let everybody in: TLS, certificates and API keys, from the command line.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::PathBuf,
    process::{Child, Stdio},
};

use feishu_id::pb::health::{HealthCheckRequest, health_client::HealthClient};
use tonic::transport::Endpoint;

use super::{
    Ended, TempFile, ended,
    fake::{Fake, Script},
    feishu_id, run,
};
use crate::certificates::{Authority, HERE};

const WEI: &str = "wei.wang@acme.example";

/// A folder of a test's own; gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("feishu-id-it-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running `serve --sandbox` behind TLS; ends when dropped. The folder holds `server.pem` and its
/// key, `ca.pem`, which vouches for it, and `client.pem`, with its key, by another authority.
struct Server {
    process: Child,
    address: String,
    health: String,
    folder: Folder,
}

impl Server {
    fn start(name: &str, asks_for_certificate: bool) -> Self {
        Self::start_with(name, asks_for_certificate, "")
    }

    /// With further settings, behind the others.
    fn start_with(name: &str, asks_for_certificate: bool, further: &str) -> Self {
        let folder = Folder::new(name);
        let (servers, clients) = (Authority::new(), Authority::new());
        servers.issue(&HERE).write(&folder.0, "server");
        clients
            .issue(&["reader.example"])
            .write(&folder.0, "client");
        clients
            .issue(&["stranger.example"])
            .write(&folder.0, "stranger");
        std::fs::write(folder.path("ca.pem"), servers.pem()).unwrap();
        std::fs::write(folder.path("client-ca.pem"), clients.pem()).unwrap();
        let client_ca = if asks_for_certificate {
            "client_ca = \"client-ca.pem\"\n"
        } else {
            ""
        };
        let toml = format!(
            "[grpc]\nhealth_listen = \"127.0.0.1:0\"\n[tls]\ncertificate = \"server.pem\"\n\
             key = \"server.key\"\n{client_ca}{further}"
        );
        std::fs::write(folder.path("feishu-id.toml"), toml).unwrap();
        let config = folder.path("feishu-id.toml");
        let mut process = feishu_id(&["serve", "--sandbox", "--config", &config])
            .args(["--listen", "127.0.0.1:0", "--http-listen", "off"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut told = String::new();
        while !told.contains("grpc-health-probe") {
            assert!(stdout.read_line(&mut told).unwrap() > 0, "{told}");
        }
        // What else it has to say is read, so that it never waits for us.
        std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
        let after = |before: &str| {
            let (_, after) = told.rsplit_once(before).unwrap();
            after[..after.find('\n').unwrap()].to_owned()
        };
        Self {
            process,
            address: after("feishu-id listens on "),
            health: after("-addr="),
            folder,
        }
    }

    /// `resolve` by this kind of URL with these flags, each of which names a file of the folder. What
    /// the system trusts is `client-ca.pem`.
    fn resolve(&self, scheme: &str, flags: &[(&str, &str)]) -> Ended {
        self.resolve_on_system("client-ca.pem", scheme, flags)
    }

    fn resolve_on_system(&self, trusted: &str, scheme: &str, flags: &[(&str, &str)]) -> Ended {
        let mut command = feishu_id(&["resolve", WEI]);
        command.env("SSL_CERT_FILE", self.folder.path(trusted));
        command.args(["--server", &format!("{scheme}{}", self.address)]);
        for (flag, file) in flags {
            command.args([*flag, &self.folder.path(file)]);
        }
        ended(command.output().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_server_behind_tls_is_asked_and_mistakes_are_told_with_what_to_do() {
    let server = Server::start("tls", false);
    let ca = ("--ca-file", "ca.pem");
    let told = server.resolve("https://", &[ca]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stdout.contains("resolved"), "{}", told.stdout);
    let told = server.resolve_on_system("ca.pem", "https://", &[]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    for (scheme, flags, advice) in [
        ("https://", &[][..], "--ca-file"),
        ("https://", &[("--ca-file", "client-ca.pem")], "--ca-file"),
        ("http://", &[], "https://"),
    ] {
        let told = server.resolve(scheme, flags);
        assert_eq!(told.code, Some(3), "{}", told.stderr);
        assert!(told.stderr.contains(advice), "{}", told.stderr);
    }
    for (flags, said) in [
        (
            &[("--ca-file", "server.key")][..],
            "no certificate in PEM form",
        ),
        (&[("--ca-file", "nowhere.pem")], "cannot be read"),
        (
            &[ca, ("--certificate", "client.pem"), ("--key", "ca.pem")],
            "cannot speak TLS",
        ),
    ] {
        let told = server.resolve("https://", flags);
        assert_eq!(told.code, Some(2), "{}", told.stderr);
        assert!(told.stderr.contains(said), "{}", told.stderr);
    }
    let stats = run(&[
        "cache",
        "stats",
        "--server",
        &format!("https://{}", server.address),
        "--ca-file",
        &server.folder.path("ca.pem"),
    ]);
    assert_eq!(stats.code, Some(0), "{}", stats.stderr);
}

#[test]
fn a_server_that_asks_for_a_certificate_gets_one() {
    let server = Server::start("mtls", true);
    let ca = ("--ca-file", "ca.pem");
    let told = server.resolve(
        "https://",
        &[ca, ("--certificate", "client.pem"), ("--key", "client.key")],
    );
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    // One of the other authority.
    let wrong = [ca, ("--certificate", "server.pem"), ("--key", "server.key")];
    for flags in [&[ca][..], &wrong] {
        let told = server.resolve("https://", flags);
        assert_eq!(told.code, Some(3), "{}", told.stderr);
        assert!(told.stderr.contains("--certificate"), "{}", told.stderr);
    }
}

#[tokio::test]
async fn probes_need_neither_tls_nor_a_certificate_at_the_port_for_health() {
    let server = Server::start("probes", true);
    let endpoint = Endpoint::from_shared(format!("http://{}", server.health)).unwrap();
    let mut health = HealthClient::new(endpoint.connect().await.unwrap());
    health.check(HealthCheckRequest::default()).await.unwrap();
}

#[test]
fn an_api_key_goes_with_every_call() {
    let server = Fake::start(Script::default());
    let file = TempFile::new("api.key", "from-the-file\n");
    let asked = |flags: &[&str], variable: &str| {
        let mut command = feishu_id(&["resolve", WEI, "--server", &server.url]);
        let told = ended(
            command
                .args(flags)
                .env("FEISHU_ID_API_KEY", variable)
                .output()
                .unwrap(),
        );
        assert_eq!(told.code, Some(0), "{}", told.stderr);
        assert!(!told.stderr.contains("from-the"), "{}", told.stderr);
        server.seen.authorization.lock().unwrap().take()
    };
    let file = ["--api-key-file", file.path()];
    assert_eq!(asked(&[], ""), None);
    let told = asked(&[], "from-the-variable");
    assert_eq!(told.as_deref(), Some("Bearer from-the-variable"));
    let told = asked(&file, "from-the-variable");
    assert_eq!(told.as_deref(), Some("Bearer from-the-file"));
}

#[test]
fn what_is_no_api_key_is_not_repeated() {
    let file = TempFile::new("no-api.key", "two-words of-it\n");
    let told = run(&[
        "resolve",
        WEI,
        "--server",
        "x",
        "--api-key-file",
        file.path(),
    ]);
    assert_eq!(told.code, Some(2));
    assert!(told.stderr.contains("holds no API key"), "{}", told.stderr);
    assert!(!told.stderr.contains("two-words"), "{}", told.stderr);
}

#[test]
fn a_certificate_can_be_a_callers_name_and_a_wrong_key_beside_it_is_refused() {
    let further =
        "[callers.reader]\ncertificate_identity = \"reader.example\"\ntenants = \"acme\"\n";
    let server = Server::start_with("named", true, further);
    let by = |name: &str, key: Option<&str>| {
        let mut command = feishu_id(&["resolve", WEI]);
        command.args(["--server", &format!("https://{}", server.address)]);
        command.args(["--ca-file", &server.folder.path("ca.pem")]);
        command.args(["--certificate", &server.folder.path(&format!("{name}.pem"))]);
        command.args(["--key", &server.folder.path(&format!("{name}.key"))]);
        command.envs(key.map(|key| ("FEISHU_ID_API_KEY", key)));
        ended(command.output().unwrap())
    };
    let told = by("client", None);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    for (name, key, why) in [
        (
            "stranger",
            None,
            "no caller here has a name of this client certificate",
        ),
        ("client", Some("fid_guessed"), "this key is nobody's here"),
    ] {
        let told = by(name, key);
        assert_eq!(told.code, Some(2), "{}", told.stderr);
        assert!(told.stderr.contains(why), "{}", told.stderr);
    }
}
