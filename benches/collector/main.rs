//! The least that an OpenTelemetry collector is: takes spans over OTLP/gRPC, and counts them. For
//! scenarios of `scripts/bench` with traces on.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use clap::Parser;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tokio::signal::unix::{SignalKind, signal};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Takes spans and counts them; says how many on SIGTERM.
#[derive(Parser)]
#[command(name = "collector")]
struct Line {
    /// Where it listens; port 0 takes any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4317")]
    listen: SocketAddr,
}

#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

#[tonic::async_trait]
impl TraceService for Count {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.get_ref().resource_spans.iter();
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        let spans: usize = scopes.map(|scope| scope.spans.len()).sum();
        self.0.fetch_add(spans, Ordering::Relaxed);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let line = Line::parse();
    let incoming = TcpIncoming::bind(line.listen)?.with_nodelay(Some(true));
    let _ = writeln!(
        io::stdout(),
        "collector listens on {}",
        incoming.local_addr()?
    );
    let count = Count::default();
    let mut terminated = signal(SignalKind::terminate())?;
    let ended = async move {
        terminated.recv().await;
    };
    Server::builder()
        .add_service(TraceServiceServer::new(count.clone()))
        .serve_with_incoming_shutdown(incoming, ended)
        .await?;
    let _ = writeln!(io::stdout(), "SPANS={}", count.0.load(Ordering::Relaxed));
    Ok(())
}
