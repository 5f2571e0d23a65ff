//! Who may speak to the control socket.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;

/// Where groups are looked up.
const GROUP_FILE: &str = "/etc/group";

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

    /// Whether the peer of this connection, as it was when it connected, may speak.
    ///
    /// # Errors
    /// Where the kernel does not tell who it is.
    pub fn allows(&self, stream: &UnixStream) -> io::Result<bool> {
        let peer = rustix::net::sockopt::socket_peercred(stream.as_fd())?;
        let uid = peer.uid.as_raw();
        if uid == 0 || uid == self.uid {
            return Ok(true);
        }
        match self.group {
            Some(group) => Ok(peer.gid.as_raw() == group || peer_groups(stream)?.contains(&group)),
            None => Ok(false),
        }
    }
}

/// The number of a group: the number itself, or a name in `/etc/group`.
///
/// # Errors
/// Where it is neither, or the file can't be read.
pub fn group_number(group: &str) -> io::Result<u32> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    find_group(&fs::read_to_string(GROUP_FILE)?, group).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("no group \"{group}\" in {GROUP_FILE}: create it (`groupadd {group}`) or give a number"),
        )
    })
}

/// Looks for `name:password:number:members`.
fn find_group(table: &str, name: &str) -> Option<u32> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

/// The supplementary groups of a connection's peer (`SO_PEERGROUPS`, Linux 4.13).
fn peer_groups(stream: &UnixStream) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; 64];
    loop {
        let mut bytes = (groups.len() * size_of::<u32>()) as libc::socklen_t;
        // SAFETY: the buffer holds `bytes` bytes and outlives the call, and the kernel writes
        // at most that many; every bit pattern is a u32.
        let result = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &mut bytes,
            )
        };
        let length = bytes as usize / size_of::<u32>();
        if result == 0 {
            groups.truncate(length);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        // ERANGE tells the length that is needed.
        if error.raw_os_error() != Some(libc::ERANGE) || length <= groups.len() {
            return Err(error);
        }
        groups.resize(length, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_name_and_number() {
        let table = "root:x:0:\nbroken\nzram:x:nonsense:\ncompcache:x:997:alice,bob\n";
        assert_eq!(find_group(table, "compcache"), Some(997));
        assert_eq!(find_group(table, "root"), Some(0));
        for unknown in ["alice", "", "broken", "zram", "comp"] {
            assert_eq!(find_group(table, unknown), None, "{unknown}");
        }
        assert_eq!(group_number("1234").unwrap(), 1234);
        let error = group_number("no-such-group").unwrap_err().to_string();
        assert!(
            error.contains("no-such-group") && error.contains("groupadd"),
            "{error}"
        );
    }

    #[test]
    fn own_process_is_allowed_and_its_groups_are_known() {
        let (a, b) = UnixStream::pair().unwrap();
        assert!(Access::new(None).allows(&a).unwrap());
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
        let peer = rustix::net::sockopt::socket_peercred(&a).unwrap();
        if peer.uid.is_root() {
            return;
        }
        let own = peer.gid.as_raw();
        let stranger = Access {
            uid: u32::MAX - 1,
            group: None,
        };
        assert!(!stranger.allows(&a).unwrap());
        assert!(
            Access {
                group: Some(own),
                ..stranger
            }
            .allows(&a)
            .unwrap()
        );
    }
}
