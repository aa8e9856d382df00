//! What the program runs against: a simulated Feishu with the marked people and secrets, one that is
//! hostile, and a configuration that names both.

use std::path::PathBuf;

use feishu_id::sandbox::{Sandbox, SandboxSettings};
use serde_json::{Map, Value, json};

use crate::observe::collector::Collector;

use super::{faults, marks, program::Server, upstream};

pub struct World {
    dir: PathBuf,
    pub sandbox: Sandbox,
    pub hostile: upstream::Hostile,
    /// Where every span goes.
    pub collector: Collector,
}

impl World {
    pub async fn start() -> Self {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("feishu-id-canaries-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let names: Vec<_> = (0..faults::switches().len()).map(of_switch).collect();
        let tenants = std::iter::once(marks::TENANT).chain(names.iter().map(String::as_str));
        let people = dir.join("people.csv");
        std::fs::write(&people, marks::directory(tenants)).unwrap();
        let sandbox = Sandbox::start(SandboxSettings {
            directory: Some(people),
            ..SandboxSettings::default()
        });
        let world = Self {
            dir,
            sandbox: sandbox.await.unwrap(),
            hostile: upstream::Hostile::start().await,
            collector: Collector::start().await,
        };
        world.switch_back().await;
        std::fs::write(world.configuration(), world.configured()).unwrap();
        world
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub fn configuration(&self) -> PathBuf {
        self.dir.join("feishu-id.toml")
    }

    /// A file beside the configuration.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.dir.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn configured(&self) -> String {
        let mut toml = format!(
            "[grpc]\nlisten = \"127.0.0.1:0\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\n\
             [data]\ndir = \"{}\"\n\
             [cache]\nttl = \"2s\"\nnegative_ttl = \"1s\"\n\
             [quota]\nper_second = 10000\nper_minute = 100000\n\
             [upstream]\ntimeout = \"300ms\"\nconnect_timeout = \"300ms\"\n\
             [telemetry]\notlp_endpoint = \"{}\"\ntrace_sample_ratio = 1.0\n",
            self.data_dir().display(),
            self.collector.url()
        );
        let secret = marks::SECRET;
        let mut tenant = |name: &str, app: &str, url: &str, more: &str| {
            let lines = [
                format!("[tenants.{name}]"),
                format!("app_id = \"{app}\"\napp_secret = \"{secret}\""),
                format!("base_url = \"{url}\"\n{more}\n"),
            ];
            toml.push_str(&lines.join("\n"));
        };
        let sandbox = self.sandbox.base_url();
        for found in self.sandbox.tenants() {
            let default = if found.name == marks::TENANT {
                "default = true"
            } else {
                ""
            };
            tenant(&found.name, &found.app_id, &sandbox, default);
        }
        for way in 0..upstream::ways().len() {
            tenant(&of_way(way), "cli_hostile", &self.hostile.base_url(way), "");
        }
        let proxy = format!("proxy = \"{}\"", marks::PROXY);
        tenant("proxied", "cli_proxied", &sandbox, &proxy);
        toml
    }

    pub async fn serve(&self, arguments: &[&str]) -> Server {
        Server::start(arguments, self.configuration().to_str().unwrap()).await
    }

    /// Throws the simulated Feishu's switches.
    pub async fn switch(&self, switches: &Value) {
        let answer = self.control("/faults", Some(switches)).await;
        assert!(answer.get("not_at_default").is_some(), "{answer}");
    }

    /// All of them back, but for the secrets, which are marked.
    pub async fn switch_back(&self) {
        let Value::Object(all) = self.control("/faults", None).await else {
            unreachable!("a list of switches");
        };
        let all = all.into_iter();
        let mut switches: Map<_, _> = all
            .map(|(name, about)| (name, about["default"].clone()))
            .collect();
        let tenants = self.sandbox.tenants().iter();
        let secrets: Map<_, _> = tenants
            .map(|tenant| (tenant.name.clone(), marks::SECRET.into()))
            .collect();
        switches.insert("secrets".to_owned(), Value::Object(secrets));
        self.switch(&Value::Object(switches)).await;
    }

    pub async fn control(&self, path: &str, post: Option<&Value>) -> Value {
        let url = self.sandbox.control_url();
        fetch(&format!("{}{path}", url.trim_end_matches('/')), post).await
    }

    /// The tokens that the program was given last: whoever asks is given the same.
    pub async fn tokens(&self) -> Vec<String> {
        let path = "/open-apis/auth/v3/tenant_access_token/internal";
        let url = format!("{}{path}", self.sandbox.base_url());
        let mut tokens = Vec::new();
        for tenant in self.sandbox.tenants() {
            let request = json!({"app_id": tenant.app_id, "app_secret": marks::SECRET});
            let answer = fetch(&url, Some(&request)).await;
            let token = answer["tenant_access_token"].as_str().unwrap_or_default();
            assert!(!token.is_empty(), "{answer}");
            tokens.push(token.to_owned());
        }
        tokens
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.dir);
    }
}

/// The tenant that a switch is tried on, so that no other is held up by what follows.
pub fn of_switch(number: usize) -> String {
    format!("s{number}")
}

/// The tenant that has a hostile Feishu.
pub fn of_way(number: usize) -> String {
    format!("h{number}")
}

#[expect(clippy::disallowed_methods, reason = "a test's client needs no limits")]
async fn fetch(url: &str, post: Option<&Value>) -> Value {
    let client = reqwest::Client::new();
    let request = match post {
        Some(body) => client.post(url).json(body),
        None => client.get(url),
    };
    request.send().await.unwrap().json().await.unwrap()
}
