//! The built binary, told to read its configuration again: by a signal, and by files that change.
#![expect(clippy::panic, clippy::float_cmp, reason = "tests")]

mod certificates;
mod changes;
mod early;
mod server;
mod status;
