//! The whole way, from a gRPC client to the simulated Feishu over HTTP: what callers see of what
//! Feishu does.

mod admin;
mod cache;
mod callers;
mod harness;
mod month;
mod reload;
mod restart;
mod rows;
mod stale;
mod stream;
mod token;
mod trouble;
