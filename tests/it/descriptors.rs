//! The built binary without file descriptors to spare: it neither spins nor ends, and gives them back.
//! Linux alone tells what a process has open and how much it has worked.
#![cfg(target_os = "linux")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use feishu_id::pb::health::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tokio::time::Instant;
use tonic::transport::Endpoint;

/// Clock ticks of a second in `/proc`, on every Linux.
const TICKS: f64 = 100.0;

/// A running `serve --sandbox`; ends when dropped.
struct Server {
    process: Child,
    grpc: SocketAddr,
    health: SocketAddr,
}

impl Server {
    /// Under a shell that sets its limits first.
    fn start(limits: &str) -> Self {
        let mut command = Command::new("sh");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FEISHU_") {
                command.env_remove(name);
            }
        }
        let mut process = command
            .args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")])
            .arg(env!("CARGO_BIN_EXE_feishu-id"))
            .args(["--log-level", "error", "serve", "--sandbox"])
            .args(["--listen", "127.0.0.1:0", "--http-listen", "off"])
            .env("FEISHU_ID_GRPC__HEALTH_LISTEN", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut told = String::new();
        while !told.contains("grpc-health-probe") {
            assert!(stdout.read_line(&mut told).unwrap() > 0, "{told}");
        }
        // What else it has to say is read, so that it never waits for us.
        std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
        let address = |before: &str| {
            let (_, after) = told.rsplit_once(before).unwrap();
            after[..after.find('\n').unwrap()].parse().unwrap()
        };
        Self {
            grpc: address("feishu-id listens on "),
            health: address("-addr="),
            process,
        }
    }

    fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.process.id())
    }

    fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    fn until_descriptors(&self, are_right: impl Fn(usize) -> bool) {
        let begun = Instant::now();
        while !are_right(self.descriptors()) {
            let open = self.descriptors();
            assert!(begun.elapsed() < Duration::from_secs(20), "{open} are open");
            sleep(Duration::from_millis(50));
        }
    }

    /// What it has worked so far, in ticks.
    fn worked(&self) -> u32 {
        let stat = fs::read_to_string(self.proc("stat")).unwrap();
        // The name, in parentheses, may hold anything.
        let (_, after) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<_> = after.split(' ').collect();
        let ticks = |index: usize| -> u32 { fields[index].parse().unwrap() };
        ticks(11) + ticks(12)
    }

    /// The soft and the hard limit of descriptors.
    fn limits(&self) -> (u64, u64) {
        let limits = fs::read_to_string(self.proc("limits")).unwrap();
        let line = limits.lines().find(|l| l.starts_with("Max open files"));
        let mut words = line.unwrap().split_whitespace().skip(3);
        let mut next = || words.next().unwrap().parse().unwrap_or(u64::MAX);
        (next(), next())
    }

    async fn is_serving(&self, address: SocketAddr) -> bool {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let endpoint = endpoint.timeout(Duration::from_secs(2));
        let Ok(channel) = endpoint.connect().await else {
            return false;
        };
        let mut health = HealthClient::new(channel);
        let checked = health.check(HealthCheckRequest::default()).await;
        checked.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Connections that have begun with HTTP/2, as far as the server takes them.
fn crowd(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let mut tcp = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
        // It may be closed already.
        let _ = tcp.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
        tcp
    };
    (0..count).map(connect).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_it_neither_spins_nor_ends_and_answers_again_afterwards() {
    let server = Server::start("ulimit -n 64");
    assert_eq!(server.limits(), (64, 64));
    let before = server.descriptors();
    // Somebody who was there before.
    let early = Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap();
    let mut early = HealthClient::new(early.connect().await.unwrap());
    early.check(HealthCheckRequest::default()).await.unwrap();

    let crowds = [crowd(server.grpc, 100), crowd(server.health, 100)];
    server.until_descriptors(|open| open >= 63);
    let (worked, begun) = (server.worked(), Instant::now());
    sleep(Duration::from_secs(2));
    let worked = server.worked() - worked;
    let all = begun.elapsed().as_secs_f64() * TICKS;
    assert!(
        f64::from(worked) < all / 7.0,
        "{worked} of {all} ticks for nothing"
    );
    let answer = early.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.into_inner().status(), ServingStatus::Serving);

    drop((crowds, early));
    server.until_descriptors(|open| open <= before);
    for address in [server.grpc, server.health] {
        // One that waited to be accepted may still be in front.
        let mut tries = 0;
        while !server.is_serving(address).await {
            tries += 1;
            assert!(tries < 10, "{address}");
        }
    }
}

#[test]
fn the_soft_limit_is_raised_as_far_as_connections_need() {
    let server = Server::start("ulimit -S -n 256");
    let (soft, hard) = server.limits();
    assert_eq!(soft, hard.min(10_512));
}
