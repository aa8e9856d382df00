//! The built binary as a server on its simulated Feishu, and its pages.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
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
    // Kept open, or the server could not write.
    _stdout: BufReader<ChildStdout>,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    /// What it printed at its start: credentials and people of the simulated Feishu among it.
    pub banner: String,
}

impl Server {
    pub fn start(env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_feishu-id"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FEISHU_") {
                command.env_remove(name);
            }
        }
        let mut process = command
            .args(["--log-level", "error", "serve", "--sandbox"])
            .args(["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut banner = String::new();
        while !banner.contains("/metrics\n") {
            assert!(stdout.read_line(&mut banner).unwrap() > 0, "{banner}");
        }
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
            _stdout: stdout,
            banner,
        }
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
