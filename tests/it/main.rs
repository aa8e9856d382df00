//! The one integration binary: a file a theme.

mod layering;
mod sandbox;
mod server;
