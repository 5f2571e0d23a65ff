//! The link between the daemon and a worker: a socket pair over which conversations are passed.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use super::conversation::Conversation;

/// Descriptors that a packet has at most.
const MOST: usize = 2;

/// One end of a link. Each packet is one byte and the descriptors of a conversation, and of what it is about.
#[derive(Debug)]
pub(super) struct Link(OwnedFd);

/// A conversation that has come, or what has come in place of one.
#[derive(Debug)]
pub(super) enum Accepted {
    /// A conversation, and the descriptor that came with it, if any.
    Conversation(Conversation, Option<OwnedFd>),
    /// One that this process had no descriptor for: it is closed.
    Dropped,
    /// The peer is gone.
    End,
}

impl Link {
    /// Both ends of a new link; the second is for another process.
    ///
    /// # Errors
    /// If this process has no descriptor left.
    pub(super) fn pair() -> io::Result<(Link, OwnedFd)> {
        let kind = SocketType::SEQPACKET;
        let (own, other) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        Ok((Link(own), other))
    }

    /// The end that another process has made.
    pub(super) fn of(fd: OwnedFd) -> Link {
        Link(fd)
    }

    /// Begins a conversation, to which `more` is given. Waits while many are not accepted yet.
    ///
    /// # Errors
    /// If this process has no descriptor left, or the peer is gone.
    pub(super) fn open(&self, more: Option<BorrowedFd<'_>>) -> io::Result<Conversation> {
        let (own, other) = Conversation::pair()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let both = [Some(other.as_fd()), more];
        let fds: Vec<BorrowedFd<'_>> = both.into_iter().flatten().collect();
        control.push(SendAncillaryMessage::ScmRights(&fds));
        loop {
            match sendmsg(
                &self.0,
                &[IoSlice::new(&[0])],
                &mut control,
                SendFlags::NOSIGNAL,
            ) {
                Ok(_) => return Ok(own),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Waits for the next conversation.
    ///
    /// # Errors
    /// Those of recvmsg(2).
    pub(super) fn accept(&self) -> io::Result<Accepted> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = loop {
            match recvmsg(
                &self.0,
                &mut [IoSliceMut::new(&mut byte)],
                &mut control,
                flags,
            ) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        if received.bytes == 0 {
            return Ok(Accepted::End);
        }
        let mut fds = control.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => fds.collect::<Vec<_>>(),
            _ => Vec::new(),
        });
        Ok(match fds.next() {
            Some(fd) => Accepted::Conversation(fd.into(), fds.next()),
            None => Accepted::Dropped,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;

    use super::*;
    use crate::protocol::Request;
    use crate::worker::conversation::Received;

    #[test]
    fn conversations_are_passed_with_what_they_are_about() {
        let (ours, theirs) = Link::pair().unwrap();
        let theirs = Link::of(theirs);
        let hosts = File::open("/proc/self/stat").unwrap();
        let mut first = ours.open(Some(hosts.as_fd())).unwrap();
        let mut second = ours.open(None).unwrap();
        let mut accepted = Vec::new();
        for with in [true, false] {
            match theirs.accept().unwrap() {
                Accepted::Conversation(conversation, fd) => {
                    assert_eq!(fd.is_some(), with);
                    accepted.push(conversation);
                    if let Some(fd) = fd {
                        let mut text = Vec::new();
                        File::from(fd).read_to_end(&mut text).unwrap();
                        assert!(text.starts_with(std::process::id().to_string().as_bytes()));
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        // Each has its own.
        second.send(&Request::Mounts).unwrap();
        first.send(&Request::Release).unwrap();
        for (conversation, request) in accepted.iter_mut().zip([Request::Release, Request::Mounts])
        {
            let received = conversation.receive(None).unwrap();
            assert_eq!(received, Received::Message(request));
        }
        drop(ours);
        assert!(matches!(theirs.accept().unwrap(), Accepted::End));
    }
}
