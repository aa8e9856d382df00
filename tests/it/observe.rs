//! What a running server shows of itself over HTTP: metrics and probes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::float_cmp,
    reason = "tests; and counts are whole numbers"
)]

pub mod collector;
pub mod exposition;
mod feishu;
mod logs;
mod metrics;
mod operators;
mod probes;
mod promql;
pub mod server;
mod traces;
