//! Server reflection, so that grpcurl and its like need no proto file. Both versions of the
//! protocol: several tools ask for the older one alone.

use tonic_reflection::server::{
    Builder, Error,
    v1::{ServerReflection, ServerReflectionServer},
    v1alpha,
};

use prost::Message as _;
use prost_types::FileDescriptorSet;

use crate::pb;

/// The two services, which know every message of the API, of health, and of the error details.
///
/// # Errors
/// If the embedded descriptors are broken.
pub fn services() -> Result<
    (
        ServerReflectionServer<impl ServerReflection>,
        v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>,
    ),
    Error,
> {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
            // Without google.rpc's types tools show error details as bytes.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(
                tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
            )
            // Both are among the above.
            .include_reflection_service(false)
    };
    Ok((builder().build_v1()?, builder().build_v1alpha()?))
}

/// Every RPC that is served, as `package.Service/Method`.
///
/// # Errors
/// If the embedded descriptors are broken.
pub fn methods() -> Result<Vec<String>, Error> {
    let sets = [
        pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let mut methods = Vec::new();
    for set in sets {
        for file in FileDescriptorSet::decode(set)?.file {
            for service in &file.service {
                let (package, service, of) = (file.package(), service.name(), &service.method);
                let paths = of
                    .iter()
                    .map(|m| format!("{package}.{service}/{}", m.name()));
                methods.extend(paths);
            }
        }
    }
    Ok(methods)
}
