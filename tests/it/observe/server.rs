//! The built binary as a server on its simulated Feishu, and its pages.

use std::{
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use feishu_id::pb::identity::{
    Identifier, ResolveUserIdsRequest, identifier::Kind,
    identity_service_client::IdentityServiceClient,
};
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Endpoint};

use super::exposition::Exposition;

/// A running server; ends when dropped.
pub struct Server {
    process: Child,
    log: Output,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    /// What it printed at its start: credentials and people of the simulated Feishu among it.
    pub banner: String,
}

/// What a process has written so far. It is read all the time, or the process could not write.
#[derive(Clone, Default)]
pub struct Output(Arc<Mutex<String>>);

impl Output {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let output = Self::default();
        let written = output.clone();
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|read| read > 0) {
                written.0.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        output
    }

    pub fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    /// The text once it is as it should be.
    fn when(&self, as_it_should: impl Fn(&str) -> bool) -> String {
        for _ in 0..1000 {
            let text = self.text();
            if as_it_should(&text) {
                return text;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{}", self.text());
    }
}

impl Server {
    /// On the sandbox, with these variables.
    pub fn start(env: &[(&str, &str)]) -> Self {
        Self::launch(&["--log-level", "error", "serve", "--sandbox"], env)
    }

    /// With these arguments, which must leave logs for people and say no addresses.
    pub fn launch(arguments: &[&str], env: &[(&str, &str)]) -> Self {
        let (process, stdout, log) = spawn(arguments, env);
        let banner = stdout.when(|text| text.contains("/metrics\n"));
        // The simulated Feishu's own addresses stand above.
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
            banner,
        }
    }

    /// With logs for machines, among which it says where it listens.
    pub fn launch_json(level: &str, env: &[(&str, String)], more: &[(&str, &str)]) -> Self {
        let env = env.iter().map(|(k, v)| (*k, v.as_str()));
        let env: Vec<_> = env.chain(more.iter().copied()).collect();
        let arguments = ["--log-level", level, "--log-format", "json", "serve"];
        let (process, _, log) = spawn(&arguments, &env);
        let told = log.when(|text| text.contains("\"serving\""));
        let line = told.lines().find(|line| line.contains("\"serving\""));
        let line: serde_json::Value = serde_json::from_str(line.unwrap()).unwrap();
        let http = line["http"].as_str().unwrap();
        let http = http.trim_start_matches("Some(").trim_end_matches(')');
        Self {
            grpc: line["grpc"].as_str().unwrap().parse().unwrap(),
            http: http.parse().unwrap(),
            process,
            log,
            banner: String::new(),
        }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// A page's status and text.
    #[expect(clippy::disallowed_methods, reason = "a test's client needs no limits")]
    pub async fn page(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.http);
        let response = timeout(Duration::from_secs(10), reqwest::get(url)).await;
        let response = response.unwrap().unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub async fn metrics(&self) -> Exposition {
        let (status, text) = self.page("/metrics").await;
        assert_eq!(status, 200);
        Exposition::parse(&text)
    }

    /// The metrics, once they are as they should be: an answer is counted when its last byte has been
    /// handed over, which may be after the client has seen it.
    pub async fn metrics_when(&self, as_they_should: impl Fn(&Exposition) -> bool) -> Exposition {
        for _ in 0..100 {
            let metrics = self.metrics().await;
            if as_they_should(&metrics) {
                return metrics;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("{}", self.page("/metrics").await.1);
    }

    pub async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub async fn client(&self) -> IdentityServiceClient<Channel> {
        IdentityServiceClient::new(self.channel().await)
    }

    /// The first signal of a stop.
    pub fn terminate(&self) {
        let pid = self.process.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(told.unwrap().success());
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

/// Starts the program on free ports: the process, and what it writes to its two outputs.
fn spawn(arguments: &[&str], env: &[(&str, &str)]) -> (Child, Output, Output) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_feishu-id"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("FEISHU_") || text.starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    let mut process = command
        .args(arguments)
        .args(["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = Output::of(process.stdout.take().unwrap());
    let log = Output::of(process.stderr.take().unwrap());
    (process, stdout, log)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn request(emails: &[&str]) -> ResolveUserIdsRequest {
    let email = |text: &&str| Identifier {
        kind: Some(Kind::Email((*text).to_owned())),
    };
    ResolveUserIdsRequest {
        identifiers: emails.iter().map(email).collect(),
        ..ResolveUserIdsRequest::default()
    }
}
