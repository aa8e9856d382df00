//! Which service answers a request, by the path's first half. Not tonic's router, which is axum's:
//! that boxes each body and answer twice and matches patterns, for what is one comparison here.

use std::{convert::Infallible, pin::Pin};

use http::{Request, Response};
use tonic::{Status, body::Body, codegen::Service, server::NamedService};

use super::upload::RequestBody;

/// An answer being made.
pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// The services of a server.
#[derive(Default)]
pub struct Services(Vec<Entry>);

struct Entry {
    /// `/package.Service/`
    start: String,
    call: Box<dyn Fn(Request<RequestBody>) -> Answer + Send + Sync>,
}

impl Services {
    /// With one more, which must be as tonic generates them.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
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
        self.0.push(Entry {
            start: format!("/{}/", S::NAME),
            // A generated service is always ready, and cloning one clones an `Arc`.
            call: Box::new(move |request| service.clone().call(request)),
        });
        self
    }

    /// The answer of the service that has this path, or that there is none.
    pub(super) fn call(&self, request: Request<RequestBody>) -> Answer {
        let path = request.uri().path();
        match self.0.iter().find(|entry| path.starts_with(&entry.start)) {
            Some(entry) => (entry.call)(request),
            None => Box::pin(std::future::ready(Ok(
                Status::unimplemented("").into_http::<Body>()
            ))),
        }
    }
}
