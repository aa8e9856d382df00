//! One `Resolution` a line, in the proto's canonical JSON.

use std::io::{self, Write};

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

use crate::pb::{FILE_DESCRIPTOR_SET, identity::Resolution};

pub(in super::super) struct JsonLines<W> {
    writer: W,
    descriptor: MessageDescriptor,
}

impl<W: Write> JsonLines<W> {
    pub(super) fn new(writer: W) -> io::Result<Self> {
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).map_err(io::Error::other)?;
        let descriptor = pool
            .get_message_by_name("feishu.identity.v1.Resolution")
            .ok_or_else(|| io::Error::other("the proto has no Resolution"))?;
        Ok(Self { writer, descriptor })
    }

    pub(super) fn write(&mut self, answers: &[Resolution]) -> io::Result<()> {
        for answer in answers {
            let bytes = answer.encode_to_vec();
            let message = DynamicMessage::decode(self.descriptor.clone(), bytes.as_slice())
                .map_err(io::Error::other)?;
            serde_json::to_writer(&mut self.writer, &message)?;
            self.writer.write_all(b"\n")?;
        }
        self.flush()
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
