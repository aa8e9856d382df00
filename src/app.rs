//! The composition root: from the configuration to running parts. The only file that knows every
//! type; it decides nothing that a part could decide itself.

mod observe;
mod persist;

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::{Channel, Endpoint};

use persist::{Bookkeeping, Books, Persisted, Shelves};

use crate::{
    admin::{Admin, TenantParts, stored::Stored},
    backoff::random,
    batch::{BatchSettings, Batcher},
    cache::{Cache, Ttls},
    clock,
    config::{Config, TenantConfig},
    feishu::{Feishu, FeishuSettings, SetupError, token::TokenCache},
    grpc::{
        Identity, Limits,
        admin::Administration,
        health::{self, HealthHandle, HealthService},
        reflection,
    },
    metrics::{Identifiers, Registry, Rpcs, Upstream, Waited},
    pb::health::health_server::HealthServer,
    quota::{Limit, Meter},
    resolver::{Resolver, Tenant},
    server::{self, ServerSettings, Services},
    shutdown::Shutdown,
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
}

/// How to serve.
pub struct ServeOptions {
    /// Called once, when all listeners are bound and the server is SERVING.
    pub on_listening: Box<dyn FnOnce(&Listening) + Send>,
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
    /// The connection inside the process could not be made.
    #[error("the connection inside the process")]
    InProcess(#[source] tonic::transport::Error),
}

/// The service inside this process; ends when dropped.
pub struct InProcess {
    /// Speaks to it.
    pub channel: Channel,
    _server: AbortOnDropHandle<()>,
    bookkeeping: Bookkeeping,
}

impl InProcess {
    /// Keeps what outlives the process, and ends.
    pub async fn close(self) {
        self.bookkeeping.close().await;
    }
}

/// What answers, and what is kept of it.
struct Parts {
    resolver: Arc<Resolver>,
    admin: Arc<Admin>,
    bookkeeping: Bookkeeping,
}

/// Serves until the process is told to stop: the first SIGTERM or SIGINT drains, a second one ends
/// at once.
///
/// # Errors
/// If it cannot start. Nothing is served then.
pub async fn serve(config: Config, options: ServeOptions) -> Result<(), AppError> {
    let shutdown = Shutdown::default();
    // Before anything can be asked to stop, so that an early signal drains too.
    let signals = Signals::new().map_err(AppError::Signals)?;
    let (health, health_service) = health::new(shutdown.clone());
    let registry = Registry::new();
    let parts = parts(&config, &registry).await?;
    let services = services(&config, &parts, health_service.clone(), &shutdown)?;
    let grpc = listen("grpc.listen", config.grpc.listen).await?;
    let probes = match config.grpc.health_listen {
        Some(address) => Some(listen("grpc.health_listen", address).await?),
        None => None,
    };
    let http = observe::listen(&config.http).await?;
    let settings = settings(&config, &registry)?;
    let listening = Listening {
        grpc: grpc.local_addr().unwrap_or(config.grpc.listen),
        health: probes.as_ref().and_then(|p| p.local_addr().ok()),
        http: http.as_ref().and_then(|h| h.local_addr().ok()),
    };
    let pages = observe::Serving::start(http, registry, &health_service);
    let serving = server::serve(grpc, services, settings.clone(), shutdown.clone());
    let probes = match probes {
        Some(listener) => {
            let services = Services::default().with(health_server(health_service));
            server::serve(listener, services, settings, shutdown.clone())
                .map(drop)
                .boxed()
        }
        None => futures_util::future::ready(()).boxed(),
    };
    ready(&health, &listening, options);
    let stop = AbortOnDropHandle::new(tokio::spawn(signals.stop(shutdown, config.drain.delay)));
    let (outcome, ()) = tokio::join!(serving, probes);
    drop(stop);
    // With the tenants go their calls: from here on none is made.
    drop((parts.resolver, parts.admin));
    parts.bookkeeping.close().await;
    // Last, so that probes see the whole drain.
    pages.end().await;
    tracing::info!(cut_connections = outcome.cut_connections, "stopped");
    Ok(())
}

fn ready(health: &HealthHandle, listening: &Listening, options: ServeOptions) {
    health.ready();
    tracing::info!(grpc = %listening.grpc, health = ?listening.health, http = ?listening.http, "serving");
    (options.on_listening)(listening);
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
    let parts = parts(&config, &registry).await?;
    let services = services(&config, &parts, health_service, &shutdown)?;
    let settings = ServerSettings {
        // There is no other replica to go to, and no way to connect again.
        max_connection_age: Duration::from_hours(365 * 24),
        ..settings(&config, &registry)?
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
        _server: server,
        bookkeeping: parts.bookkeeping,
    })
}

fn services(
    config: &Config,
    parts: &Parts,
    health: HealthService,
    shutdown: &Shutdown,
) -> Result<Services, AppError> {
    let limits = Limits {
        max_identifiers: config.grpc.max_identifiers,
        max_in_flight_batches: config.grpc.max_in_flight_batches,
    };
    let (v1, v1alpha) = reflection::services().map_err(AppError::Reflection)?;
    let identity = Identity::server(parts.resolver.clone(), limits, shutdown.clone());
    let admin = Administration::server(parts.admin.clone(), limits.max_identifiers);
    Ok(Services::default()
        .with(identity)
        .with(admin)
        .with(health_server(health))
        .with(v1)
        .with(v1alpha))
}

fn health_server(health: HealthService) -> HealthServer<HealthService> {
    /// Longest request, in bytes: it holds one name.
    const MAX_REQUEST_BYTES: usize = 4096;
    HealthServer::new(health).max_decoding_message_size(MAX_REQUEST_BYTES)
}

async fn parts(config: &Config, registry: &Registry) -> Result<Parts, AppError> {
    let persisted = Persisted::open(config).await;
    if let Some(persisted) = &persisted {
        observe::store(registry, persisted.store());
    }
    let mut books = Vec::new();
    let mut tiers = BTreeMap::new();
    let tokens = TokenCache::new();
    let cache = Arc::new(cache(config));
    observe::cache(registry, &cache);
    let mut tenants = BTreeMap::new();
    let mut parts = BTreeMap::new();
    for (number, tenant) in (0..).zip(&config.tenants) {
        let meter = Arc::new(Meter::new(
            config.quota.per_month,
            config.quota.time_zone.clone(),
            clock::wall_now,
        ));
        observe::month(registry, &tenant.name, meter.clone());
        let settings = feishu_settings(config, tenant, Upstream::new(registry, &tenant.name));
        let feishu =
            Feishu::new(settings, &tokens, meter.clone()).map_err(|source| AppError::Tenant {
                tenant: tenant.name.clone(),
                source,
            })?;
        let settings = BatchSettings {
            max_in_flight: config.upstream.max_in_flight,
            max_queue: config.quota.max_queue,
            random,
            waited: Waited::new(registry, &tenant.name),
        };
        let tier = persisted.as_ref().map(|persisted| persisted.tier(tenant));
        if let Some(persisted) = &persisted {
            tiers.insert(number, persisted.tier(tenant));
        }
        let quota = Arc::new(persist::quota(&limits(config), tier.as_ref(), &meter).await);
        if let Some(persisted) = &persisted {
            books.push(Books::new(
                persisted.tier(tenant),
                quota.clone(),
                meter.clone(),
            ));
        }
        let feishu = Arc::new(feishu);
        let batcher = Batcher::new(feishu.clone(), quota.clone(), settings);
        observe::queue(registry, &tenant.name, batcher.gauge());
        // A tenant's base URL and app do not change while the process lives: one number for all.
        let identifiers = Identifiers::new(registry, &tenant.name);
        let tenant_of_cache = Tenant::new(number, batcher, cache.clone(), tier, identifiers);
        tenants.insert(tenant.name.clone(), tenant_of_cache);
        let parts_of_tenant = TenantParts {
            base_url: tenant.base_url.clone(),
            app_id: tenant.app_id.clone(),
            feishu,
            quota,
            meter,
        };
        parts.insert(tenant.name.clone(), parts_of_tenant);
    }
    let default = config.default_tenant().map(|tenant| tenant.name.clone());
    let resolver = Arc::new(Resolver::new(tenants, default));
    let stored = persisted.as_ref().map(|persisted| {
        let shelves = Shelves::new(persisted, tiers);
        Arc::new(shelves) as Arc<dyn Stored>
    });
    let admin = Admin::new(resolver.clone(), cache, stored, parts);
    Ok(Parts {
        resolver,
        admin: Arc::new(admin),
        bookkeeping: Bookkeeping::start(books, persisted.as_ref()).await,
    })
}

fn cache(config: &Config) -> Cache {
    let ttls = Ttls {
        found: config.cache.ttl,
        negative: config.cache.negative_ttl,
        serve_stale: config.cache.serve_stale,
    };
    Cache::new(config.cache.capacity, ttls, random)
}

fn limits(config: &Config) -> [Limit; 2] {
    let limit = |limit: u32, seconds| Limit {
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        length: Duration::from_secs(seconds),
    };
    [
        limit(config.quota.per_second, 1),
        limit(config.quota.per_minute, 60),
    ]
}

fn feishu_settings(config: &Config, tenant: &TenantConfig, metrics: Upstream) -> FeishuSettings {
    FeishuSettings {
        base_url: tenant.base_url.clone(),
        app_id: tenant.app_id.clone(),
        app_secret: tenant.app_secret.clone(),
        ca_pem: tenant.ca_pem.clone(),
        proxy: tenant.proxy.clone(),
        connect_timeout: config.upstream.connect_timeout,
        timeout: config.upstream.timeout,
        max_response_bytes: config.upstream.max_response_bytes,
        metrics,
    }
}

fn settings(config: &Config, registry: &Registry) -> Result<ServerSettings, AppError> {
    let known = reflection::methods().map_err(AppError::Reflection)?;
    Ok(ServerSettings {
        max_connections: config.grpc.max_connections,
        max_connection_age: config.grpc.max_connection_age,
        keepalive_interval: config.grpc.keepalive_interval,
        keepalive_timeout: config.grpc.keepalive_timeout,
        drain_timeout: config.drain.timeout,
        metrics: Rpcs::new(registry, known),
        ..ServerSettings::default()
    })
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| AppError::Listen {
            key,
            address,
            source,
        })
}

/// What tells the process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    async fn stop(mut self, shutdown: Shutdown, delay: Duration) {
        self.next().await;
        tracing::info!("draining; a second signal ends at once");
        shutdown.announce();
        tokio::select! {
            () = sleep(delay) => shutdown.drain(),
            () = self.next() => shutdown.force(),
        }
        self.next().await;
        shutdown.force();
    }
}
