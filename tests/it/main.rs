//! The one integration binary: a file a theme.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics fails, which is what it is for"
)]

mod allocations;
mod canaries;
mod certificates;
mod cli;
mod descriptors;
mod hardening;
mod layering;
mod masked;
mod observe;
mod reload;
mod sandbox;
mod server;
mod service;
mod simulation;
mod stop;
mod store;
