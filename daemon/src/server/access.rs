//! Who may speak to the control socket.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Group;

/// Root, the daemon's own user, and the members of one group if that is configured.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    uid: u32,
    group: Option<u32>,
}

impl Access {
    /// Access for root, this process's user and the members of `group`.
    #[must_use]
    pub fn new(group: Option<u32>) -> Access {
        Access {
            uid: rustix::process::geteuid().as_raw(),
            group,
        }
    }

    /// The group, if there is one.
    #[must_use]
    pub fn group(&self) -> Option<u32> {
        self.group
    }

    /// Who is at the other end of this connection, as it was when it connected.
    ///
    /// # Errors
    /// If the kernel does not say who it is.
    pub fn peer(&self, stream: &UnixStream) -> io::Result<Peer> {
        // rustix has this too, but takes for granted that no process is number 0.
        let peer = getsockopt(stream, PeerCredentials)?;
        let (pid, uid, gid) = (peer.pid().cast_unsigned(), peer.uid(), peer.gid());
        let privileged = uid == 0 || uid == self.uid;
        let allowed = privileged
            || match self.group {
                Some(group) => gid == group || peer_groups(stream)?.contains(&group),
                None => false,
            };
        Ok(Peer {
            uid,
            pid,
            allowed,
            privileged,
        })
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its process; 0 if it is none that this one can see.
    pub pid: u32,
    /// Whether it may speak.
    pub allowed: bool,
    /// Whether it is root or the daemon's own user.
    pub privileged: bool,
}

/// The number of a group: the number itself, or a name that the system's resolver knows, from
/// `/etc/group` or from where `/etc/nsswitch.conf` says.
///
/// # Errors
/// If it is neither, or the resolver fails.
pub fn group_number(group: &str) -> io::Result<u32> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    match Group::from_name(group) {
        Ok(Some(found)) => Ok(found.gid.as_raw()),
        Ok(None) => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!(
                "the system knows no group {group:?} (`getent group`): create it (`groupadd \
                 {group}`) or give a number"
            ),
        )),
        Err(errno) => {
            let error = io::Error::from(errno);
            let message = format!("cannot look up the group {group:?}: {error}; give a number");
            Err(io::Error::new(error.kind(), message))
        }
    }
}

/// The supplementary groups of a connection's peer (`SO_PEERGROUPS`, Linux 4.13).
fn peer_groups(stream: &UnixStream) -> io::Result<Vec<u32>> {
    let mut groups = vec![0; 64];
    loop {
        match socket_option(stream, libc::SO_PEERGROUPS, &mut groups)? {
            Fill::Words(count) => {
                groups.truncate(count);
                return Ok(groups);
            }
            Fill::Needs(count) => groups.resize(count, 0),
        }
    }
}

/// What the kernel did with the buffer for a socket option.
enum Fill {
    /// Filled so many words of it.
    Words(usize),
    /// Needs one of so many words, more than it had.
    Needs(usize),
}

/// Reads a socket option that is an array of 32-bit words.
fn socket_option(stream: &UnixStream, option: i32, words: &mut [u32]) -> io::Result<Fill> {
    let mut bytes = libc::socklen_t::try_from(size_of_val(words)).unwrap_or(libc::socklen_t::MAX);
    // SAFETY: the buffer holds at least `bytes` bytes and outlives the call, and the kernel
    // writes at most that many; every bit pattern is a u32.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            words.as_mut_ptr().cast(),
            &mut bytes,
        )
    };
    let count = bytes as usize / size_of::<u32>();
    if result == 0 {
        return Ok(Fill::Words(count));
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ERANGE) && count > words.len() {
        return Ok(Fill::Needs(count));
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_name_and_number() {
        assert_eq!(group_number("root").unwrap(), 0);
        assert_eq!(group_number("1234").unwrap(), 1234);
        for unknown in ["no-such-group", "", "root\0", "-1", "4294967296"] {
            let error = group_number(unknown).unwrap_err().to_string();
            assert!(
                error.contains(&format!("{unknown:?}")) && error.contains("groupadd"),
                "{error}"
            );
        }
    }

    #[test]
    fn own_process_is_allowed_and_its_groups_are_known() {
        let (a, b) = UnixStream::pair().unwrap();
        assert!(Access::new(None).peer(&a).unwrap().allowed);
        let own: Vec<u32> = rustix::process::getgroups()
            .unwrap()
            .into_iter()
            .map(|g| g.as_raw())
            .collect();
        assert_eq!(peer_groups(&b).unwrap(), own);
    }

    #[test]
    fn others_need_the_group() {
        let (a, _b) = UnixStream::pair().unwrap();
        let peer = Access::new(None).peer(&a).unwrap();
        assert_eq!(peer.pid, std::process::id());
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        if peer.uid == 0 {
            return;
        }
        let own = rustix::process::getegid().as_raw();
        let stranger = Access {
            uid: u32::MAX - 1,
            group: None,
        };
        assert!(!stranger.peer(&a).unwrap().allowed);
        assert!(
            Access {
                group: Some(own),
                ..stranger
            }
            .peer(&a)
            .unwrap()
            .allowed
        );
    }
}
