//! An OpenTelemetry collector that keeps what it is sent.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::{Span, span::SpanKind},
};
use tokio::{net::TcpListener, task::JoinHandle, time::sleep};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

/// A running collector; ends when dropped.
pub struct Collector {
    pub address: SocketAddr,
    kept: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    task: JoinHandle<()>,
}

struct Sink(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::new(Mutex::new(Vec::new()));
        let service = TraceServiceServer::new(Sink(kept.clone()));
        let serving = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpIncoming::from(listener));
        let task = tokio::spawn(async move { serving.await.unwrap() });
        Self {
            address,
            kept,
            task,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every span so far.
    pub fn spans(&self) -> Spans {
        let kept = self.kept.lock().unwrap();
        let resources = kept.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        Spans(scopes.flat_map(|scope| scope.spans.clone()).collect())
    }

    /// What the sender says of itself.
    pub fn service(&self) -> BTreeMap<String, String> {
        let kept = self.kept.lock().unwrap();
        let resource = kept[0].resource_spans[0].resource.clone().unwrap();
        resource
            .attributes
            .into_iter()
            .map(|pair| (pair.key, shown(pair.value.and_then(|value| value.value))))
            .collect()
    }

    /// Every byte that has come.
    pub fn bytes(&self) -> Vec<u8> {
        let kept = self.kept.lock().unwrap();
        kept.iter()
            .flat_map(prost::Message::encode_to_vec)
            .collect()
    }

    /// The spans, once they are as they should be.
    pub async fn spans_when(&self, as_they_should: impl Fn(&Spans) -> bool) -> Spans {
        for _ in 0..200 {
            let spans = self.spans();
            if as_they_should(&spans) {
                return spans;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("{:#?}", self.spans().0);
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Spans, in the order in which they came.
pub struct Spans(pub Vec<Span>);

impl Spans {
    /// The only one of that name and trace.
    pub fn one(&self, name: &str, trace: &[u8]) -> &Span {
        let all = self.all(name, trace);
        assert_eq!(all.len(), 1, "{name}: {:#?}", self.0);
        all[0]
    }

    pub fn all(&self, name: &str, trace: &[u8]) -> Vec<&Span> {
        let is_it = |span: &&Span| span.name == name && span.trace_id == trace;
        self.0.iter().filter(is_it).collect()
    }

    /// The requests' own spans.
    pub fn requests(&self) -> Vec<&Span> {
        let is_one = |span: &&Span| span.kind() == SpanKind::Server;
        self.0.iter().filter(is_one).collect()
    }
}

/// An attribute as text.
pub fn attribute(span: &Span, key: &str) -> Option<String> {
    let pair = span.attributes.iter().find(|pair| pair.key == key)?;
    Some(shown(pair.value.clone()?.value))
}

fn shown(value: Option<Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(is_so)) => is_so.to_string(),
        other => format!("{other:?}"),
    }
}
