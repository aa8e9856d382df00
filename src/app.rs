//! The composition root: from the configuration to running parts. The only file that knows every
//! type; it decides nothing that a part could decide itself.

mod callers;
mod compose;
mod descriptors;
mod gate;
mod observe;
mod persist;
mod probes;
mod reload;
mod signals;
mod tenant;
mod watch;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Mutex,
};
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::{Channel, Endpoint};

use compose::Composer;
use gate::Door;
use probes::Probes;
use reload::Reloader;
use signals::Signals;

pub use compose::Changes;
pub use reload::{Reloading, StartedWith};

use crate::{
    audit::Auditing,
    callers::Callers,
    config::Config,
    feishu::SetupError,
    grpc::{
        Identity, Limits,
        admin::Administration,
        health::{self, HealthHandle, HealthService},
        reflection,
    },
    memory::Memory,
    metrics::{Arrivals, Registry, Rpcs},
    pb::health::health_server::HealthServer,
    server::{self, ServerSettings, Services, TlsError},
    shutdown::Shutdown,
    telemetry::otlp,
};

/// Where the server listens, once it does.
#[derive(Clone, Debug)]
pub struct Listening {
    /// The API.
    pub grpc: SocketAddr,
    /// Health, if it has a port of its own.
    pub health: Option<SocketAddr>,
    /// Metrics and probes, unless they are switched off.
    pub http: Option<SocketAddr>,
    /// Whether the API is encrypted, and whether it asks for certificates.
    pub tls: Option<Asks>,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// One that the configured authorities vouch for.
    ForCertificate,
    /// None.
    ForNone,
}

/// How to serve.
pub struct ServeOptions {
    /// Called once, when all listeners are bound and the server is SERVING.
    pub on_listening: Box<dyn FnOnce(&Listening) + Send>,
    /// Where the next configuration comes from, if there can be one.
    pub reloading: Option<Reloading>,
}

/// Why the application could not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address could not be listened on.
    #[error("{key}: cannot listen on {address}")]
    Listen {
        /// The setting.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// TLS could not be set up.
    #[error("tls")]
    Tls(#[from] TlsError),
    /// TLS cannot be switched on or off while its listener is open.
    #[error("[tls] cannot be added or taken away while the service runs: restart it")]
    TlsSwitched,
    /// A tenant's Feishu could not be set up.
    #[error("tenant {tenant}")]
    Tenant {
        /// The tenant's name.
        tenant: String,
        /// Why.
        source: SetupError,
    },
    /// Reflection could not be built from the embedded descriptors.
    #[error("reflection")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// The signals that stop the server could not be listened for.
    #[error("signals")]
    Signals(#[source] io::Error),
    /// Traces could not be set up.
    #[error(transparent)]
    Traces(otlp::SetupError),
    /// The connection inside the process could not be made.
    #[error("the connection inside the process")]
    InProcess(#[source] tonic::transport::Error),
}

/// The service inside this process; ends when dropped.
pub struct InProcess {
    /// Speaks to it.
    pub channel: Channel,
    server: AbortOnDropHandle<()>,
    composer: Mutex<Composer>,
}

impl InProcess {
    /// Goes on with another configuration: all of it that can change at run time, or nothing.
    ///
    /// # Errors
    /// If it cannot be applied.
    pub async fn reload(&self, config: &Config) -> Result<Changes, AppError> {
        self.composer.lock().await.apply(config).await
    }

    /// Keeps what outlives the process, and ends.
    pub async fn close(self) {
        drop((self.channel, self.server));
        self.composer.lock().await.close().await;
    }
}

/// Serves until the process is told to stop: the first SIGTERM or SIGINT drains, a second one ends
/// at once.
///
/// # Errors
/// If it cannot start. Nothing is served then, but probes have been answered meanwhile.
pub async fn serve(config: Config, options: ServeOptions) -> Result<(), AppError> {
    let shutdown = Shutdown::default();
    // Before anything can be asked to stop, so that an early signal drains too.
    let mut signals = Signals::new().map_err(AppError::Signals)?;
    let (health, health_service) = health::new(shutdown.clone());
    let registry = Registry::new();
    observe::process(&registry);
    let traces = observe::Traces::start(&config.telemetry, &registry)?;
    let memory = memory(&config, &registry);
    let plain = settings(&config, &registry, memory.clone())?;
    // Whoever probes is answered before there is anything to serve: a store may take half a minute to open,
    // and who is starting is not dead. The API's own port opens last, so that nobody calls before.
    let http = observe::listen(&config.http)?;
    let http_address = http.as_ref().and_then(|h| h.local_addr().ok());
    let pages = observe::Serving::start(http, registry.clone(), &health_service);
    let tracing = traces.tracing.clone();
    let probes = Probes::start(&config, &plain, &tracing, &health_service, &shutdown)?;
    tracing::info!(health = ?probes.address(), http = ?http_address, "starting; open to probes");
    let composer = tokio::select! {
        composer = Composer::start(&config, &registry) => composer?,
        () = signals.next() => {
            tracing::info!("stopped before it served");
            return Ok(());
        }
    };
    let services = services(
        &config,
        &composer,
        health_service.clone(),
        &memory,
        &shutdown,
    )?;
    let grpc = listen("grpc.listen", config.grpc.listen)?;
    let tls = composer.tls.clone();
    observe::certificate(&registry, tls.as_ref());
    let settings = ServerSettings {
        max_connections: descriptors::make_room(config.grpc.max_connections),
        tls,
        tracing: tracing.at(grpc.local_addr().ok()),
        ..guarded(plain, &composer.callers)
    };
    let auditing = Auditing::start(composer.callers.audit().clone());
    let listening = Listening {
        grpc: grpc.local_addr().unwrap_or(config.grpc.listen),
        health: probes.address(),
        http: http_address,
        tls: config.tls.as_ref().map(|tls| match tls.client_ca {
            Some(_) => Asks::ForCertificate,
            None => Asks::ForNone,
        }),
    };
    let admin = composer.admin.clone();
    let composer = Arc::new(Mutex::new(composer));
    let reloads = options
        .reloading
        .map(|how| Reloader::start(how, composer.clone(), admin, &registry, &shutdown));
    let serving = server::serve(grpc, services, settings, shutdown.clone());
    ready(&health, &listening, options.on_listening);
    let stop = AbortOnDropHandle::new(tokio::spawn(signals.stop(shutdown, config.drain.delay)));
    let (outcome, ()) = tokio::join!(serving, probes.end());
    drop(stop);
    if let Some(reloads) = reloads {
        // It has ended with the first stage of the stop, unless a disk hangs.
        reloads.abort();
        let _ended = reloads.await;
    }
    composer.lock().await.close().await;
    auditing.close();
    traces.close().await;
    // Last, so that probes see the whole drain.
    pages.end().await;
    match outcome.cut_connections {
        0 => tracing::info!("stopped"),
        cut => tracing::warn!(
            cut_connections = cut,
            "stopped; something was still open at the end of drain.timeout"
        ),
    }
    Ok(())
}

fn ready(
    health: &HealthHandle,
    listening: &Listening,
    on_listening: Box<dyn FnOnce(&Listening) + Send>,
) {
    health.ready();
    tracing::info!(grpc = %listening.grpc, health = ?listening.health, http = ?listening.http, "serving");
    on_listening(listening);
}

/// Starts the service inside this process, without a listener: nobody else can reach it.
///
/// # Errors
/// If it cannot start.
pub async fn in_process(config: Config) -> Result<InProcess, AppError> {
    /// Bytes under way in one direction: a whole batch.
    const PIPE: usize = 256 * 1024;
    let shutdown = Shutdown::default();
    let (health, health_service) = health::new(shutdown.clone());
    // Nobody can see it: there is no listener.
    let registry = Registry::new();
    let composer = Composer::start(&config, &registry).await?;
    let memory = memory(&config, &registry);
    let services = services(&config, &composer, health_service, &memory, &shutdown)?;
    let settings = ServerSettings {
        // There is no other replica to go to, and no way to connect again.
        max_connection_age: Duration::from_hours(365 * 24),
        ..guarded(settings(&config, &registry, memory)?, &composer.callers)
    };
    let (client, service) = tokio::io::duplex(PIPE);
    let serving = server::serve_io(service, services, settings, shutdown);
    let server = AbortOnDropHandle::new(tokio::spawn(serving));
    health.ready();
    let mut client = Some(client);
    let channel = Endpoint::from_static("http://in-process")
        .connect_with_connector(tower::service_fn(move |_| {
            let client = client.take().map(TokioIo::new);
            async { client.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
        }))
        .await
        .map_err(AppError::InProcess)?;
    Ok(InProcess {
        channel,
        server,
        composer: Mutex::new(composer),
    })
}

fn services(
    config: &Config,
    composer: &Composer,
    health: HealthService,
    memory: &Memory,
    shutdown: &Shutdown,
) -> Result<Services, AppError> {
    let limits = Limits {
        max_identifiers: config.grpc.max_identifiers,
        max_in_flight_batches: config.grpc.max_in_flight_batches,
        memory: memory.clone(),
    };
    let (v1, v1alpha) = reflection::services().map_err(AppError::Reflection)?;
    let callers = &composer.callers;
    let resolver = composer.resolver.clone();
    let identity = Identity::new(resolver, callers.clone(), limits, shutdown.clone());
    let most = config.grpc.max_identifiers;
    let admin = Administration::server(composer.admin.clone(), callers.clone(), most);
    let health = health_server(health);
    Ok(Services::default()
        .with(move || identity.server())
        .with(move || admin.clone())
        .with(move || health.clone())
        .with(move || v1.clone())
        .with(move || v1alpha.clone()))
}

fn health_server(health: HealthService) -> HealthServer<HealthService> {
    /// Longest request, in bytes: it holds one name.
    const MAX_REQUEST_BYTES: usize = 4096;
    HealthServer::new(health).max_decoding_message_size(MAX_REQUEST_BYTES)
}

/// What all requests together may hold.
fn memory(config: &Config, registry: &Registry) -> Memory {
    let memory = Memory::new(config.grpc.max_bytes_in_flight);
    observe::memory(registry, &memory, config.grpc.max_bytes_in_flight);
    memory
}

/// What all listeners have in common. Nobody is asked who they are: see [`guarded`].
fn settings(
    config: &Config,
    registry: &Registry,
    memory: Memory,
) -> Result<ServerSettings, AppError> {
    let known = reflection::methods().map_err(AppError::Reflection)?;
    Ok(ServerSettings {
        max_connections: config.grpc.max_connections,
        max_connections_per_peer: config.grpc.max_connections_per_peer,
        max_requests_in_flight: config.grpc.max_requests_in_flight,
        memory,
        max_connection_age: config.grpc.max_connection_age,
        keepalive_interval: config.grpc.keepalive_interval,
        keepalive_timeout: config.grpc.keepalive_timeout,
        drain_timeout: config.drain.timeout,
        metrics: Rpcs::new(registry, known),
        arrivals: Arrivals::new(registry),
        ..ServerSettings::default()
    })
}

/// The API's: whoever calls is looked for among these.
fn guarded(settings: ServerSettings, callers: &Callers) -> ServerSettings {
    ServerSettings {
        gate: Some(Arc::new(Door(callers.clone()))),
        ..settings
    }
}

fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, AppError> {
    bind(address).map_err(|source| AppError::Listen {
        key,
        address,
        source,
    })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    /// Connections that wait to be accepted. With the usual 128 some of a thousand clients that come at
    /// once, such as after a restart, would be heard a second later.
    const BACKLOG: u32 = 1024;
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A server that starts again does not wait for what its predecessor's connections leave.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
