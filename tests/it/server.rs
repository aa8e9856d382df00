//! The server through real sockets: tonic clients, and clients that misbehave.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod attacks;
mod callers;
mod deadlines;
mod drain;
mod floods;
mod health;
mod limits;
mod memory;
pub mod raw;
mod support;
mod tls;
