//! Who may speak to the control socket.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
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

    /// Who is at the other end of this connection, as it was when it connected.
    ///
    /// # Errors
    /// Where the kernel does not tell who it is.
    pub fn peer(&self, stream: &UnixStream) -> io::Result<Peer> {
        let [pid, uid, gid] = peer_credentials(stream)?;
        let allowed = uid == 0
            || uid == self.uid
            || match self.group {
                Some(group) => gid == group || peer_groups(stream)?.contains(&group),
                None => false,
            };
        Ok(Peer { uid, pid, allowed })
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its process; 0 where it is none that this one can see.
    pub pid: u32,
    /// Whether it may speak.
    pub allowed: bool,
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

/// Process, user and group of a connection's peer (`SO_PEERCRED`; `struct ucred`).
fn peer_credentials(stream: &UnixStream) -> io::Result<[u32; 3]> {
    let mut credentials = [0; 3];
    match socket_option(stream, libc::SO_PEERCRED, &mut credentials)? {
        Fill::Words(3) => Ok(credentials),
        Fill::Words(_) | Fill::Needs(_) => Err(io::ErrorKind::InvalidData.into()),
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
        let [pid, uid, own] = peer_credentials(&a).unwrap();
        assert_eq!(pid, std::process::id());
        assert_eq!(uid, rustix::process::geteuid().as_raw());
        if uid == 0 {
            return;
        }
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
