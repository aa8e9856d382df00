//! One HTTP/2 connection that is made anew when it ends, and one call over it.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream, client::SendRequest};
use http::{HeaderMap, Method, Request, Uri, Version, header::HeaderValue};
use tokio::{sync::watch, task::JoinHandle};
use tonic::{Code, Status};

use crate::{
    access::{Access, Stream},
    message,
};

/// For the first connection: the server is on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between attempts to come back.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_millis(250);
/// Bytes the server may send ahead: enough for 16 answers of 1,000 people each.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;

type Live = (u64, Option<SendRequest<Bytes>>);

/// A connection. Dropped, it ends.
pub struct Connection {
    live: watch::Receiver<Live>,
    /// The newest connection that was found dead.
    dead: watch::Sender<u64>,
    template: Request<()>,
    keeper: JoinHandle<()>,
}

/// What a connection is used by: one call, or one stream.
pub struct Handle {
    generation: u64,
    sender: SendRequest<Bytes>,
}

impl Connection {
    /// Connects; says why if it cannot.
    pub async fn open(
        access: &Access,
        path: &str,
        timeout: Option<Duration>,
    ) -> Result<Self, String> {
        let first = tokio::time::timeout(CONNECT_TIMEOUT, connect(access));
        let (sender, driver) = first.await.map_err(|_| "no answer in time".to_owned())??;
        let (publish, live) = watch::channel((0, Some(sender)));
        let (dead, found_dead) = watch::channel(0);
        let keeper = tokio::spawn(keep(access.clone(), driver, publish, found_dead));
        let template = template(access, path, timeout)?;
        Ok(Self {
            live,
            dead,
            template,
            keeper,
        })
    }

    /// The connection, once there is one.
    pub async fn handle(&self) -> Result<Handle, Status> {
        let mut live = self.live.clone();
        loop {
            let (generation, sender) = live.borrow_and_update().clone();
            if let Some(sender) = sender {
                match sender.ready().await {
                    Ok(sender) => return Ok(Handle { generation, sender }),
                    // Nothing was sent: wait for the next connection.
                    Err(_) => self.is_dead(generation),
                }
            }
            live.changed()
                .await
                .map_err(|_| Status::unavailable("no connection"))?;
        }
    }

    /// The connection is of no more use: another is made, unless it has been already.
    pub fn is_dead(&self, generation: u64) {
        self.dead.send_if_modified(|newest| {
            let newer = generation + 1 > *newest;
            *newest = (*newest).max(generation + 1);
            newer
        });
    }

    /// Opens a stream.
    pub async fn open_stream(
        &self,
    ) -> Result<(h2::client::ResponseFuture, SendStream<Bytes>), Status> {
        let mut handle = self.handle().await?;
        handle
            .sender
            .send_request(self.template.clone(), false)
            .map_err(|error| self.lost(&handle, &error))
    }

    /// One unary call: the response message, or the status.
    pub async fn call(&self, request: Bytes) -> Result<Bytes, Status> {
        let mut handle = self.handle().await?;
        let sent = handle.sender.send_request(self.template.clone(), false);
        let (response, mut stream) = sent.map_err(|error| self.lost(&handle, &error))?;
        let exchange = async {
            stream.send_data(request, true)?;
            let (head, mut body) = response.await?.into_parts();
            let mut message = None;
            while let Some(chunk) = body.data().await {
                let chunk = chunk?;
                body.flow_control().release_capacity(chunk.len())?;
                // Most answers come in one piece, which then need not be copied.
                message = Some(match message {
                    None => chunk,
                    Some(before) => {
                        let mut joined = BytesMut::from(before);
                        joined.extend_from_slice(&chunk);
                        joined.freeze()
                    }
                });
            }
            let status = ending(&head.headers, &mut body).await?;
            Ok((status, message))
        };
        let (status, message) = exchange.await.map_err(|error| self.lost(&handle, &error))?;
        if status.code() != Code::Ok {
            return Err(status);
        }
        let message = message.as_ref().map(message::without_prefix);
        message.ok_or_else(|| Status::internal("no message in the answer"))
    }

    fn lost(&self, handle: &Handle, error: &h2::Error) -> Status {
        if error.is_io() || error.is_go_away() {
            self.is_dead(handle.generation);
        }
        lost(error)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// What gRPC makes of a broken stream.
pub fn lost(error: &h2::Error) -> Status {
    Status::unavailable(format!("connection: {error}"))
}

/// The status with which a stream ended, once its data has been read.
pub async fn ending(head: &HeaderMap, body: &mut RecvStream) -> Result<Status, h2::Error> {
    if let Some(status) = Status::from_header_map(head) {
        return Ok(status);
    }
    let trailers = body.trailers().await?;
    let status = trailers.as_ref().and_then(Status::from_header_map);
    Ok(status.unwrap_or_else(|| Status::unknown("the answer has no status")))
}

type Driver = h2::client::Connection<Box<dyn Stream>>;

async fn connect(access: &Access) -> Result<(SendRequest<Bytes>, Driver), String> {
    let stream = access.connect().await?;
    h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .enable_push(false)
        .handshake(stream)
        .await
        .map_err(|error| error.to_string())
}

/// Drives the connection, and makes the next when it ends or is said to be dead.
async fn keep(
    access: Access,
    mut driver: Driver,
    publish: watch::Sender<Live>,
    mut found_dead: watch::Receiver<u64>,
) {
    for generation in 0.. {
        let mut driving = tokio::spawn(driver);
        tokio::select! {
            _ = &mut driving => {}
            // The old one goes on for the calls that it still has.
            _ = found_dead.wait_for(|dead| *dead > generation) => {}
        }
        publish.send_replace((generation, None));
        let mut wait = FIRST_WAIT;
        driver = loop {
            match tokio::time::timeout(CONNECT_TIMEOUT, connect(&access)).await {
                Ok(Ok((sender, driver))) => {
                    publish.send_replace((generation + 1, Some(sender)));
                    break driver;
                }
                _ => tokio::time::sleep(wait).await,
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        };
    }
}

/// The head of every request of this run.
fn template(access: &Access, path: &str, timeout: Option<Duration>) -> Result<Request<()>, String> {
    let (scheme, address) = (access.scheme(), access.address);
    let uri: Uri = format!("{scheme}://{address}{path}")
        .parse()
        .map_err(|_| "no such address".to_owned())?;
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.insert("te", HeaderValue::from_static("trailers"));
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("user-agent", HeaderValue::from_static("feishu-id-load"));
    if let Some(authorization) = &access.authorization {
        headers.insert("authorization", authorization.clone());
    }
    if let Some(timeout) = timeout {
        // At most eight digits.
        let value = HeaderValue::from_str(&format!("{}m", timeout.as_millis().max(1)));
        headers.insert("grpc-timeout", value.map_err(|error| error.to_string())?);
    }
    Ok(request)
}

/// Connections to the server, all for one method.
pub async fn open_all(
    count: u16,
    access: &Access,
    path: &str,
    timeout: Option<Duration>,
) -> Result<Vec<Arc<Connection>>, String> {
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(Arc::new(Connection::open(access, path, timeout).await?));
    }
    Ok(connections)
}
