//! The classic channel: requests are read from `/dev/fuse`, replies written to it.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::buffer::{Buffer, DATA_AT, REQUEST_AT};
use super::handler::{Answer, Handler, become_batch_task, touch_stack};

/// What one worker thread serves with.
pub(super) struct Session {
    pub(super) fuse: OwnedFd,
    pub(super) handler: Handler,
    pub(super) buffer: Buffer,
}

impl Session {
    /// Answers requests until the file system is unmounted.
    pub(super) fn serve(mut self) {
        touch_stack();
        become_batch_task();
        loop {
            match rustix::io::read(&self.fuse, &mut self.buffer[REQUEST_AT..]) {
                Ok(len) => self.answer(len),
                // ENOENT: the request was withdrawn while it was read.
                Err(Errno::INTR | Errno::AGAIN | Errno::NOENT) => {}
                // Unmounted, or the connection was aborted.
                Err(Errno::NODEV | Errno::CONNABORTED) => return,
                Err(errno) => {
                    tracing::error!("reading from /dev/fuse: {}", io::Error::from(errno));
                    return;
                }
            }
        }
    }

    /// Answers the request of `len` bytes in the buffer.
    fn answer(&mut self, len: usize) {
        match self.handler.answer_in(&mut self.buffer, len) {
            Answer::Nothing => {}
            Answer::Reply(reply) => send(&self.fuse, &[IoSlice::new(reply.bytes())]),
            Answer::Data(reply, len) => {
                let data = &self.buffer[DATA_AT..][..len];
                let parts = [IoSlice::new(reply.bytes()), IoSlice::new(data)];
                send(&self.fuse, &parts);
            }
        }
    }
}

/// Sends a reply.
fn send(fuse: &OwnedFd, parts: &[IoSlice<'_>]) {
    match rustix::io::writev(fuse, parts) {
        // ENOENT: nobody waits for the reply any more.
        Ok(_) | Err(Errno::NOENT | Errno::NODEV | Errno::CONNABORTED) => {}
        Err(errno) => {
            tracing::error!("replying to /dev/fuse: {}", io::Error::from(errno));
        }
    }
}
