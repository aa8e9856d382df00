//! Which service answers a request, by the path's first half. Not tonic's router, which is axum's:
//! that boxes each body and answer twice and matches patterns, for what is one comparison here.

use std::{cell::OnceCell, convert::Infallible, pin::Pin, sync::Arc};

use http::{Request, Response};
use tonic::{Status, body::Body, codegen::Service, server::NamedService};

use super::upload::RequestBody;

/// An answer being made.
pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// A service as one connection calls it.
type Line = Box<dyn Fn(Request<RequestBody>) -> Answer + Send>;

/// The services of a server. Cloning gives another handle of the same.
#[derive(Clone, Default)]
pub struct Services(Arc<Vec<Entry>>);

#[derive(Clone)]
struct Entry {
    /// `/package.Service/`
    start: String,
    open: Arc<dyn Fn() -> Line + Send + Sync>,
}

/// The services of one connection, made when they are first called by it. Were it one for all, each call
/// would change a count of its handles, and the threads would wait for each other to do so.
pub(super) struct Lines {
    services: Services,
    lines: Box<[OnceCell<Line>]>,
}

impl Services {
    /// With one more, which must be as tonic generates them. `service` makes it for a connection.
    #[must_use]
    pub fn with<S>(mut self, service: impl Fn() -> S + Send + Sync + 'static) -> Self
    where
        S: Service<
                Request<RequestBody>,
                Response = Response<Body>,
                Error = Infallible,
                Future = tonic::codegen::BoxFuture<Response<Body>, Infallible>,
            > + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let entry = Entry {
            start: format!("/{}/", S::NAME),
            open: Arc::new(move || {
                let service = service();
                // A generated service is always ready, and cloning one clones an `Arc`.
                Box::new(move |request| service.clone().call(request))
            }),
        };
        Arc::make_mut(&mut self.0).push(entry);
        self
    }

    pub(super) fn of_connection(&self) -> Lines {
        Lines {
            services: self.clone(),
            lines: self.0.iter().map(|_| OnceCell::new()).collect(),
        }
    }
}

impl Lines {
    /// The answer of the service that has this path, or that there is none.
    pub(super) fn call(&self, request: Request<RequestBody>) -> Answer {
        let path = request.uri().path();
        let mut all = self.services.0.iter().zip(&self.lines);
        match all.find(|(entry, _)| path.starts_with(&entry.start)) {
            Some((entry, line)) => (line.get_or_init(&*entry.open))(request),
            None => Box::pin(std::future::ready(Ok(
                Status::unimplemented("").into_http::<Body>()
            ))),
        }
    }
}
