//! The server through real sockets: tonic clients, and clients that misbehave.

mod deadlines;
mod drain;
mod health;
mod limits;
mod raw;
mod support;
