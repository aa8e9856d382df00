//! feishu-id: e-mail addresses and mobile numbers in, Feishu IDs out, over gRPC.

pub mod clock;
pub mod deadline;
pub mod directory;
pub mod identity;
pub mod pb;
pub mod sandbox;
pub mod shutdown;
