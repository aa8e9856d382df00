//! What a running server shows of itself over HTTP: metrics and probes.

mod exposition;
mod metrics;
mod probes;
mod server;
