//! Whether swapped pages fit back into the memory cgroups that they belong to.
//!
//! `swapoff(2)` charges each page that it brings in to its program's cgroup. One that is at its
//! limit, with no other swap to turn to, is out of memory then, and the kernel kills a program in
//! it (`mem_cgroup_out_of_memory` in `mm/memcontrol.c`) rather than refuse the swap-off. So this
//! looks first. Memory as a whole needs no look: there the kernel takes the process that swaps off.

use std::io;
use std::path::{Path, PathBuf};

use compcache_host::cgroup::walk::{self, WalkError, shown, walk};
use compcache_host::cgroup::{Hierarchies, Usage, Version};

use super::{Entry, active};

/// Why the pages do not fit, or why nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// A cgroup whose swapped pages do not fit under its limit. Sizes in bytes.
    #[error(
        "its pages do not fit back into memory: the cgroup {} has {swapped} bytes of swap and \
         room for {room} more below its limit of {limit}, and other swap has {elsewhere} free; the \
         kernel would kill a program there to make room. Raise its limit, stop programs or add \
         other swap", shown(.group)
    )]
    NoRoom {
        /// The group.
        group: PathBuf,
        /// What it has in swap, as far as that can be in the area.
        swapped: u64,
        /// What it may have more.
        room: u64,
        /// Its limit.
        limit: u64,
        /// What other swap has free.
        elsewhere: u64,
    },
    /// A group can't be looked at.
    #[error("whether its pages fit back into memory can't be determined: {0}")]
    Walk(#[from] WalkError),
    /// What there is can't be looked at.
    #[error("whether its pages fit back into memory can't be determined: {0}; mount /proc")]
    Proc(io::Error),
}

/// Looks whether the pages in the swap area `own` fit back into the cgroups that have any in swap.
///
/// # Errors
/// [`RoomError::NoRoom`] for the first cgroup in which they do not fit; the others if that can't
/// be determined.
pub(crate) fn check(own: &Entry) -> Result<(), RoomError> {
    if own.used_bytes == 0 {
        return Ok(());
    }
    let areas = active().map_err(RoomError::Proc)?;
    let elsewhere = areas
        .iter()
        .filter(|area| area.path != own.path)
        .map(|area| area.size_bytes.saturating_sub(area.used_bytes))
        .sum();
    let hierarchies = Hierarchies::read().map_err(RoomError::Proc)?;
    for hierarchy in hierarchies.iter() {
        check_below(&hierarchy.top, hierarchy.version, own.used_bytes, elsewhere)?;
    }
    Ok(())
}

fn check_below(
    top: &Path,
    version: Version,
    on_device: u64,
    elsewhere: u64,
) -> Result<(), RoomError> {
    walk(top, version, walk::MOST, |path, group| {
        let usage = Usage::read_at(group, version).map_err(|source| WalkError::Group {
            group: path.to_owned(),
            source,
        })?;
        usage.map_or(Ok(()), |found| fits(path, found, on_device, elsewhere))
    })
}

/// Whether the cgroup's share of the device's `on_device` bytes fits. Which swap area a page lies
/// in is not known for a cgroup, so all of its swap counts, as far as the device holds that much.
fn fits(group: &Path, found: Usage, on_device: u64, elsewhere: u64) -> Result<(), RoomError> {
    let room = found.room();
    let swapped = found.swapped.min(on_device);
    if swapped <= room.saturating_add(elsewhere) {
        return Ok(());
    }
    Err(RoomError::NoRoom {
        group: group.to_owned(),
        swapped,
        room,
        limit: found.limit,
        elsewhere,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::OwnedFd;

    use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, unlinkat};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn write(group: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(group).unwrap();
        for (name, text) in files {
            fs::write(group.join(name), text).unwrap();
        }
    }

    fn v1(group: &Path, limit: u64, memory: u64, swap: u64, file: u64) {
        let stat = format!("swap 7\ntotal_swap {swap}\ntotal_inactive_file {file}\n");
        write(
            group,
            &[
                ("memory.limit_in_bytes", &format!("{limit}\n")),
                ("memory.usage_in_bytes", &format!("{memory}\n")),
                ("memory.stat", &stat),
            ],
        );
    }

    fn at_its_limit(top: &Path, on_device: u64, elsewhere: u64) -> Option<(PathBuf, u64, u64)> {
        match check_below(top, Version::V1, on_device, elsewhere) {
            Ok(()) => None,
            Err(RoomError::NoRoom {
                group,
                swapped,
                room,
                ..
            }) => Some((group, swapped, room)),
            Err(e) => panic!("{e}"),
        }
    }

    #[test]
    fn a_group_at_its_limit_deep_in_the_tree_is_named() {
        let top = tempfile::tempdir().unwrap();
        v1(top.path(), u64::MAX, 500 * MIB, 64 * MIB, 0);
        let group = top.path().join("a/b");
        v1(&top.path().join("a"), u64::MAX, 400 * MIB, 64 * MIB, 0);
        v1(&group, 32 * MIB, 31 * MIB, 64 * MIB, 3 * MIB);
        let refused = check_below(top.path(), Version::V1, 100 * MIB, 0).unwrap_err();
        assert!(refused.to_string().contains("67108864 bytes of swap"));
        let found = at_its_limit(top.path(), 100 * MIB, 0);
        assert_eq!(found, Some((group, 64 * MIB, 4 * MIB)));
    }

    #[test]
    fn what_fits_below_the_limit_or_elsewhere_is_not_refused() {
        let top = tempfile::tempdir().unwrap();
        v1(top.path(), 100 * MIB, 36 * MIB, 64 * MIB, 0);
        assert_eq!(at_its_limit(top.path(), 100 * MIB, 0), None);
        v1(top.path(), 99 * MIB, 36 * MIB, 64 * MIB, 0);
        assert!(at_its_limit(top.path(), 100 * MIB, 0).is_some());
        assert_eq!(at_its_limit(top.path(), 100 * MIB, MIB), None);
        // No more can come back than the device holds.
        assert_eq!(at_its_limit(top.path(), 63 * MIB, 0), None);
    }

    #[test]
    fn what_cannot_be_read_is_no_missing_limit() {
        let top = tempfile::tempdir().unwrap();
        v1(top.path(), 100 * MIB, 36 * MIB, 64 * MIB, 0);
        fs::write(top.path().join("memory.usage_in_bytes"), "?").unwrap();
        let error = check_below(top.path(), Version::V1, 100 * MIB, 0).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("can't be determined") && error.contains("usage"),
            "{error}"
        );
    }

    /// Deeper than a path can be, and than a recursion should be.
    #[test]
    fn groups_may_be_nested_without_end() {
        const DEPTH: usize = 2000;
        let top = tempfile::tempdir().unwrap();
        let mut at = OwnedFd::from(fs::File::open(top.path()).unwrap());
        for _ in 0..DEPTH {
            mkdirat(&at, "group", Mode::RWXU).unwrap();
            at = open(&at, "group");
        }
        for (name, text) in [
            ("memory.limit_in_bytes", "4096"),
            ("memory.usage_in_bytes", "4096"),
            ("memory.stat", "total_swap 4096"),
        ] {
            let flags = OFlags::CREATE | OFlags::WRONLY;
            let file = openat(&at, name, flags, Mode::RWXU).unwrap();
            rustix::io::write(&file, text.as_bytes()).unwrap();
        }
        // As large as that of a thread that serves a client.
        let thread = std::thread::Builder::new().stack_size(512 << 10);
        let path = top.path().to_owned();
        let looking = thread
            .spawn(move || check_below(&path, Version::V1, MIB, 0).unwrap_err())
            .unwrap();
        let error = looking.join().unwrap().to_string();
        assert!(
            error.contains("4096 bytes of swap") && error.len() < 2000,
            "{error}"
        );
        for name in [
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "memory.stat",
        ] {
            unlinkat(&at, name, AtFlags::empty()).unwrap();
        }
        for _ in 0..DEPTH {
            at = open(&at, "..");
            unlinkat(&at, "group", AtFlags::REMOVEDIR).unwrap();
        }
    }

    fn open(at: &OwnedFd, name: &str) -> OwnedFd {
        openat(at, name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
    }
}
