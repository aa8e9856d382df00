//! Messages in the proto's canonical JSON, one a line.

use std::io::{self, Write};

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

use crate::pb::FILE_DESCRIPTOR_SET;

/// How messages of one kind look.
pub(super) struct Json(MessageDescriptor);

impl Json {
    /// Of messages of this name in `feishu.identity.v1`.
    pub(super) fn of(name: &str) -> io::Result<Self> {
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).map_err(io::Error::other)?;
        pool.get_message_by_name(&format!("feishu.identity.v1.{name}"))
            .map(Self)
            .ok_or_else(|| io::Error::other(format!("the proto has no {name}")))
    }

    /// Writes one, which must be of that kind.
    pub(super) fn line(&self, writer: &mut impl Write, message: &impl Message) -> io::Result<()> {
        let bytes = message.encode_to_vec();
        let message = DynamicMessage::decode(self.0.clone(), bytes.as_slice());
        serde_json::to_writer(&mut *writer, &message.map_err(io::Error::other)?)?;
        writer.write_all(b"\n")
    }
}
