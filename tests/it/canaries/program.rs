//! The built program, and everything that it tells.

use std::{
    io::Read,
    net::SocketAddr,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tonic::transport::{Channel, Endpoint};

use super::{PATIENCE, gathered::Gathered};

/// The program with nothing of this process's environment that could matter to it.
pub fn feishu_id() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_feishu-id"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FEISHU_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs to the end; the answer on standard output may hold data, if it is one.
pub fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

/// A running server; ends when dropped.
pub struct Server {
    child: Child,
    stdout: Heard,
    stderr: Heard,
    is_json: bool,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
}

impl Server {
    /// Starts it, and waits until it says where it listens.
    pub async fn start(arguments: &[&str], configuration: &str) -> Self {
        let mut child = feishu_id()
            .args(["serve", "--config", configuration])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Heard::start(child.stdout.take().unwrap());
        let stderr = Heard::start(child.stderr.take().unwrap());
        let is_json = arguments.contains(&"json");
        let until = Instant::now() + PATIENCE;
        let addresses = loop {
            // Both forms of the log have the same line.
            if let Some(addresses) = addresses(&stderr.text()) {
                break addresses;
            }
            assert!(Instant::now() < until, "{}", stderr.text());
            sleep(std::time::Duration::from_millis(20)).await;
        };
        Self {
            child,
            stdout,
            stderr,
            is_json,
            grpc: addresses.0,
            http: addresses.1,
        }
    }

    pub async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// A page of its other port, with its head.
    pub async fn page(&self, path: &str) -> String {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        String::from_utf8(send(self.http, request.as_bytes()).await).unwrap()
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// All that it told, once it has ended by itself.
    pub async fn ended(mut self, told: &mut Gathered) {
        let until = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "it does not end");
            sleep(std::time::Duration::from_millis(20)).await;
        }
        let log = if self.is_json { "json log" } else { "text log" };
        told.add("standard output", self.stdout.all());
        told.add(log, self.stderr.all());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Where it listens, by its log line `serving`.
fn addresses(log: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line = log.lines().find(|line| line.contains("serving"))?;
    // `grpc=127.0.0.1:1` and `http=Some(127.0.0.1:2)`, with quotes and colons in JSON.
    let after = |name: &str| {
        let (_, rest) = line.split_once(name)?;
        let start = rest.find("127.0.0.1:")?;
        let rest = rest.get(start..)?;
        let end = rest.find([' ', ')', '"', '\u{1b}']).unwrap_or(rest.len());
        rest.get(..end)?.parse().ok()
    };
    Some((after("grpc")?, after("http")?))
}

/// Sends the bytes, and gives what comes back until the end.
pub async fn send(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let exchange = async {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // A connection that is cut off is an answer, too.
        let _ended = tcp.read_to_end(&mut answer).await;
        answer
    };
    timeout(PATIENCE, exchange).await.unwrap()
}

/// One of its outputs, read on a thread of its own so that it never waits for us.
struct Heard {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Heard {
    fn start(mut from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let heard = bytes.clone();
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                heard.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self {
            bytes,
            thread: Some(thread),
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// All of it, after the process has ended.
    fn all(&mut self) -> Vec<u8> {
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut self.bytes.lock().unwrap())
    }
}
