//! A server on a configuration of the test's own, and a simulated Feishu beside it.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use feishu_id::{
    pb::identity::identity_service_client::IdentityServiceClient,
    sandbox::{Sandbox, SandboxSettings, SandboxTenant},
};
use serde_json::Value;
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint};

use crate::observe::exposition::Exposition;

/// A directory of a test's own; gone with it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let name = format!("feishu-id-reload-{name}-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        let _not_there = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// As an editor or `mv` does it: whole, or not at all.
    pub fn write(&self, name: &str, content: &str) {
        let new = self.path(&format!("{name}.new"));
        fs::write(&new, content).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// A running server; ends when dropped.
pub struct Server {
    process: Child,
    pub grpc: SocketAddr,
    http: SocketAddr,
    log: Arc<Mutex<String>>,
    pub folder: Folder,
    pub sandbox: Sandbox,
}

impl Server {
    /// Serves the sandbox's tenants, whose secrets lie in files of their own, with this in its
    /// configuration besides.
    pub async fn start(name: &str, besides: &str) -> Self {
        Self::start_with(name, besides, |command| command).await
    }

    pub async fn start_with(
        name: &str,
        besides: &str,
        change: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Self {
        let sandbox = Sandbox::start(SandboxSettings::default()).await.unwrap();
        let folder = Folder::new(name);
        for tenant in sandbox.tenants() {
            let file = format!("{}.secret", tenant.name);
            folder.write(&file, &format!("{}\n", tenant.app_secret));
        }
        folder.write("feishu-id.toml", &configuration(&sandbox, besides));
        let mut command = Command::new(env!("CARGO_BIN_EXE_feishu-id"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FEISHU_") {
                command.env_remove(name);
            }
        }
        command
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--http-listen",
                "127.0.0.1:0",
            ])
            .arg("--config")
            .arg(folder.path("feishu-id.toml"))
            .env("FEISHU_ID_CACHE__STORE", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = change(&mut command).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (mut stderr, told) = (BufReader::new(process.stderr.take().unwrap()), log.clone());
        std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|length| length > 0) {
                told.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut banner = String::new();
        while !banner.contains("/metrics\n") {
            let length = stdout.read_line(&mut banner).unwrap();
            assert!(length > 0, "{banner}{}", log.lock().unwrap());
        }
        // What else it has to say is read, so that it never waits for us.
        std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
        let address = |before: &str| {
            let (_, after) = banner.rsplit_once(before).unwrap();
            let end = after.find(['/', '\n']).unwrap();
            after[..end].parse().unwrap()
        };
        Self {
            grpc: address("feishu-id listens on "),
            http: address("curl http://"),
            process,
            log,
            folder,
            sandbox,
        }
    }

    /// Another configuration of the same tenants.
    pub fn configure(&self, besides: &str) {
        let text = configuration(&self.sandbox, besides);
        self.folder.write("feishu-id.toml", &text);
    }

    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let told = Command::new("kill").args([name, &pid]).status();
        assert!(told.unwrap().success());
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// How often that stands in the log.
    pub fn said(&self, what: &str) -> usize {
        self.log().matches(what).count()
    }

    pub async fn until_said(&self, what: &str) {
        self.until(what, async || self.said(what) > 0).await;
    }

    /// Waits until it is so, a few seconds at most.
    pub async fn until(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        for _ in 0..500 {
            if is_so().await {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("{what}: {}", self.log());
    }

    #[expect(clippy::disallowed_methods, reason = "a test's client needs no limits")]
    pub async fn metrics(&self) -> Exposition {
        let response = reqwest::get(format!("http://{}/metrics", self.http)).await;
        Exposition::parse(&response.unwrap().text().await.unwrap())
    }

    /// How often a configuration was read anew with this result.
    pub async fn reloads(&self, result: &str) -> f64 {
        let metrics = self.metrics().await;
        metrics.sum("feishu_id_config_reloads_total", &[("result", result)])
    }

    pub async fn until_reloads(&self, result: &str, count: f64) {
        let has_come = async || self.reloads(result).await >= count;
        self.until(&format!("{count} {result}"), has_come).await;
    }

    /// Throws the sandbox's switches.
    #[expect(clippy::disallowed_methods, reason = "a test's client needs no limits")]
    pub async fn faults(&self, switches: &Value) {
        let url = format!("{}/faults", self.sandbox.control_url());
        let response = reqwest::Client::new().post(url).json(switches).send().await;
        assert!(response.unwrap().status().is_success());
    }

    pub async fn client(&self) -> IdentityServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap();
        IdentityServiceClient::new(endpoint.connect().await.unwrap())
    }

    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    pub async fn exit_code(&mut self) -> Option<i32> {
        for _ in 0..500 {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("it does not end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(sandbox: &Sandbox, besides: &str) -> String {
    let mut text = format!("{besides}\n");
    for tenant in sandbox.tenants() {
        text.push_str(&tenant_of(sandbox, tenant));
    }
    text
}

pub fn tenant_of(sandbox: &Sandbox, tenant: &SandboxTenant) -> String {
    let SandboxTenant { name, app_id, .. } = tenant;
    let (base_url, is_default) = (sandbox.base_url(), name == "acme");
    let mut text = String::new();
    writeln!(
        text,
        "[tenants.{name}]\napp_id = \"{app_id}\"\napp_secret_file = \"{name}.secret\"\n\
         base_url = \"{base_url}\"\ndefault = {is_default}"
    )
    .unwrap();
    text
}
