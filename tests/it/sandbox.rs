//! The simulated Feishu over real HTTP, by the numbered facts it must reproduce. A file a group.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests: a failure should stop them"
)]

mod client;
mod control;
mod directory;
mod faults;
mod gateway;
mod lookup;
mod shapes;
mod token;
