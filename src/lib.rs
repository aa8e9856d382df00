//! feishu-id: e-mail addresses and mobile numbers in, Feishu IDs out, over gRPC.

pub mod app;
pub mod backoff;
pub mod batch;
pub mod cli;
pub mod clock;
pub mod coalesce;
pub mod config;
pub mod deadline;
pub mod directory;
pub mod feishu;
pub mod grpc;
pub mod identity;
pub mod pb;
pub mod quota;
pub mod resolver;
pub mod sandbox;
pub mod server;
pub mod shutdown;
pub mod telemetry;
