//! One conversation between the daemon and a worker: messages one way and the other.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::protocol::{self, Message, ProtocolError};

/// Bytes that are read at once.
const CHUNK: usize = 16 << 10;

/// One end of a conversation. One thread uses it at a time.
#[derive(Debug)]
pub(super) struct Conversation {
    stream: UnixStream,
    /// What was received of messages that nobody has taken yet.
    received: Vec<u8>,
}

/// What came within the time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received<M> {
    /// A message.
    Message(M),
    /// Nothing, or a part of one: the rest may come later.
    Nothing,
    /// The end: the peer has closed it.
    End,
}

impl Conversation {
    /// Both ends of a new one; the second is for another process.
    ///
    /// # Errors
    /// If this process has no descriptor left.
    pub(super) fn pair() -> io::Result<(Conversation, OwnedFd)> {
        let (own, other) = UnixStream::pair()?;
        Ok((own.into(), other.into()))
    }

    /// Sends a message. Waits while the peer takes nothing and the kernel's buffer is full, which requests and
    /// their answers in turn never fill.
    ///
    /// # Errors
    /// Those of [`protocol::write`].
    pub(super) fn send<M: Message>(&mut self, message: &M) -> Result<(), ProtocolError> {
        protocol::write(&mut self.stream, message)
    }

    /// The next message, for which it waits so long; `None`: for as long as it takes.
    ///
    /// # Errors
    /// If the connection fails or what comes is no such message.
    pub(super) fn receive<M: Message>(
        &mut self,
        within: Option<Duration>,
    ) -> Result<Received<M>, ProtocolError> {
        let until = within.map(|within| Instant::now() + within);
        loop {
            if let Some((message, length)) = protocol::decode(&self.received)? {
                self.received.drain(..length);
                return Ok(Received::Message(message));
            }
            if !self.wait(until)? {
                return Ok(Received::Nothing);
            }
            match self.read()? {
                0 if self.received.is_empty() => return Ok(Received::End),
                0 => return Err(ProtocolError::Truncated),
                _ => {}
            }
        }
    }

    /// Another handle, by which another thread can end it.
    ///
    /// # Errors
    /// If this process has no descriptor left.
    pub(super) fn handle(&self) -> io::Result<UnixStream> {
        self.stream.try_clone()
    }

    /// Waits until there is something to be read, or the end; whether that came in time.
    fn wait(&self, until: Option<Instant>) -> io::Result<bool> {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            let mut polled = [PollFd::new(&self.stream, PollFlags::IN)];
            match poll(&mut polled, timeout.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn read(&mut self) -> io::Result<usize> {
        let before = self.received.len();
        self.received.resize(before + CHUNK, 0);
        let read = loop {
            match rustix::io::read(self.stream.as_fd(), &mut self.received[before..]) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other,
            }
        };
        self.received
            .truncate(before + read.as_ref().copied().unwrap_or(0));
        Ok(read?)
    }
}

impl From<UnixStream> for Conversation {
    fn from(stream: UnixStream) -> Self {
        Conversation {
            stream,
            received: Vec::new(),
        }
    }
}

impl From<OwnedFd> for Conversation {
    fn from(fd: OwnedFd) -> Self {
        UnixStream::from(fd).into()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::protocol::Request;

    const NOW: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn a_message_that_comes_in_parts_is_waited_for() {
        let (mut ours, theirs) = Conversation::pair().unwrap();
        let mut theirs = UnixStream::from(theirs);
        let frame = protocol::encode(&Request::Mounts).unwrap();
        for byte in &frame {
            assert_eq!(ours.receive::<Request>(NOW).unwrap(), Received::Nothing);
            theirs.write_all(&[*byte]).unwrap();
        }
        let both = [frame.as_slice(), &frame[..3]].concat();
        theirs.write_all(&both).unwrap();
        for _ in 0..2 {
            let received = ours.receive(None).unwrap();
            assert_eq!(received, Received::Message(Request::Mounts));
        }
        drop(theirs);
        let cut = ours.receive::<Request>(None);
        assert!(matches!(cut, Err(ProtocolError::Truncated)), "{cut:?}");
    }

    #[test]
    fn the_end_is_told_from_nothing() {
        let (mut ours, theirs) = Conversation::pair().unwrap();
        assert_eq!(ours.receive::<Request>(NOW).unwrap(), Received::Nothing);
        drop(theirs);
        assert_eq!(ours.receive::<Request>(NOW).unwrap(), Received::End);
        ours.send(&Request::Mounts).unwrap_err();
    }
}
