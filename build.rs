//! Generates the gRPC code with protox, so that building needs no protoc.

use std::path::PathBuf;

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Protox does not tell cargo what it read.
    println!("cargo:rerun-if-changed=proto");
    // Source info stays in: the comments are the API reference that reflection serves.
    let files = protox::compile(
        [
            "feishu/identity/v1/identity.proto",
            "grpc/health/v1/health.proto",
        ],
        ["proto"],
    )?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("feishu_id.bin"), files.encode_to_vec())?;
    tonic_prost_build::configure()
        .emit_rerun_if_changed(false)
        // The generated Debug would print people's identifiers.
        .skip_debug([
            "feishu.identity.v1.Identifier",
            "feishu.identity.v1.Identifier.kind",
            "feishu.identity.v1.Resolution",
            "feishu.identity.v1.User",
            "feishu.identity.v1.ResolveUserIdsRequest",
            "feishu.identity.v1.ResolveUserIdsResponse",
            "feishu.identity.v1.ResolveUserIdsStreamRequest",
            "feishu.identity.v1.ResolveUserIdsStreamResponse",
            "feishu.identity.v1.ResolveUserIdsStreamResponse.result",
            "feishu.identity.v1.FlushCacheRequest",
            "feishu.identity.v1.FlushCacheRequest.target",
            "feishu.identity.v1.IdentifierList",
        ])
        // Rare and large: in place it would more than double what every answer that is yet to be takes.
        .boxed(".feishu.identity.v1.Resolution.error")
        .compile_fds(files)?;
    Ok(())
}
