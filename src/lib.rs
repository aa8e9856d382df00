//! feishu-id: e-mail addresses and mobile numbers in, Feishu IDs out, over gRPC.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod deadline;
pub mod directory;
pub mod identity;
pub mod pb;
pub mod sandbox;
pub mod shutdown;
pub mod telemetry;
