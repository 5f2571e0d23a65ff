//! Requests that no kernel has sent, such as a fuzzer's, answered as the kernel's are.

use std::sync::Arc;

use super::buffer::{Buffer, DATA_AT, MAX_IO, REQUEST_AT};
use super::handler::{Answer, Handler};
use crate::disk::Disk;
use crate::error::DeviceError;

/// A worker of the classic channel without `/dev/fuse`.
pub struct Offline {
    handler: Handler,
    buffer: Buffer,
}

impl Offline {
    /// Makes one that serves `disk`.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(disk: &Arc<dyn Disk>) -> Result<Self, DeviceError> {
        Ok(Offline {
            handler: Handler::new(disk)?,
            buffer: Buffer::new(MAX_IO)?,
        })
    }

    /// The reply to a request as read(2) of `/dev/fuse` would give it, header first; `None` if the
    /// protocol has none. What is longer than the longest request is cut off.
    pub fn answer(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        let room = &mut self.buffer[REQUEST_AT..];
        let len = request.len().min(room.len());
        room[..len].copy_from_slice(&request[..len]);
        match self.handler.answer_in(&mut self.buffer, len) {
            Answer::Nothing => None,
            Answer::Reply(reply) => Some(reply.bytes().to_vec()),
            Answer::Data(reply, len) => {
                Some([reply.bytes(), &self.buffer[DATA_AT..][..len]].concat())
            }
        }
    }
}
