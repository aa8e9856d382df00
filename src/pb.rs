//! The generated gRPC code. Nothing below `grpc` knows these types (a test reads the imports).

/// `feishu.identity.v1`: this product's API.
#[expect(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod identity {
    tonic::include_proto!("feishu.identity.v1");
}

/// `grpc.health.v1`: the standard health protocol.
#[expect(
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}

/// Every message and service above with its comments, as reflection serves them.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/feishu_id.bin"));

/// The generated `Debug` would print people's identifiers; these do not.
mod redacted {
    use std::fmt::{Debug, Formatter, Result};

    use super::identity as pb;

    macro_rules! redacted {
        ($($path:ty => $name:literal),* $(,)?) => {$(
            impl Debug for $path {
                fn fmt(&self, f: &mut Formatter<'_>) -> Result {
                    f.write_str(concat!($name, " { redacted }"))
                }
            }
        )*};
    }

    redacted! {
        pb::Identifier => "Identifier",
        pb::identifier::Kind => "Kind",
        pb::Resolution => "Resolution",
        pb::User => "User",
        pb::ResolveUserIdsRequest => "ResolveUserIdsRequest",
        pb::ResolveUserIdsResponse => "ResolveUserIdsResponse",
        pb::ResolveUserIdsStreamRequest => "ResolveUserIdsStreamRequest",
        pb::ResolveUserIdsStreamResponse => "ResolveUserIdsStreamResponse",
        pb::resolve_user_ids_stream_response::Result => "Result",
        pb::FlushCacheRequest => "FlushCacheRequest",
        pb::flush_cache_request::Target => "Target",
        pb::IdentifierList => "IdentifierList",
    }
}
