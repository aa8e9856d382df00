//! Stub: the composition root is built on another branch; only its face is here.

use std::net::SocketAddr;

use tonic::transport::Channel;

use crate::config::Config;

/// Where the server listens, once it does.
#[derive(Clone, Debug)]
pub struct Listening {
    /// The API.
    pub grpc: SocketAddr,
    /// Health, if it has a port of its own.
    pub health: Option<SocketAddr>,
}

/// How to serve.
pub struct ServeOptions {
    /// Called once, when all listeners are bound.
    pub on_listening: Box<dyn FnOnce(&Listening) + Send>,
}

/// Why the application could not start or go on.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AppError(pub String);

/// The service inside this process; ends when dropped.
pub struct InProcess {
    /// Speaks to it.
    pub channel: Channel,
}

/// Serves until the process is told to stop.
///
/// # Errors
/// If it cannot start.
#[expect(clippy::unused_async, reason = "a stub")]
pub async fn serve(_config: Config, _options: ServeOptions) -> Result<(), AppError> {
    Err(AppError("not built yet".to_owned()))
}

/// Starts the service inside this process, without a listener.
///
/// # Errors
/// If it cannot start.
#[expect(clippy::unused_async, reason = "a stub")]
pub async fn in_process(_config: Config) -> Result<InProcess, AppError> {
    Err(AppError("not built yet".to_owned()))
}
