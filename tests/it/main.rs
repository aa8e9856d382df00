//! The one integration binary: a file a theme.

mod cli;
mod layering;
mod sandbox;
mod server;
