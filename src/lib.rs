//! feishu-id: e-mail addresses and mobile numbers in, Feishu IDs out, over gRPC.

pub mod clock;
pub mod deadline;
pub mod directory;
pub mod grpc;
pub mod identity;
pub mod pb;
pub mod server;
pub mod shutdown;
