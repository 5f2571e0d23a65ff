//! Whether swapped pages fit back into the memory cgroups that they belong to.
//!
//! `swapoff(2)` charges each page that it brings in to its program's cgroup. One that is at its
//! limit, with no other swap to turn to, is out of memory then, and the kernel kills a program in
//! it (`mem_cgroup_out_of_memory` in `mm/memcontrol.c`) rather than refuse the swap-off. So this
//! looks first. Memory as a whole needs no look: there the kernel takes the process that swaps off.

use std::fs;
use std::path::{Path, PathBuf};

use compcache_host::cgroup::{Hierarchies, Usage, Version};

use super::{Entry, active};

/// A cgroup whose swapped pages do not fit under its limit. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "its pages do not fit back into memory: the cgroup {group:?} has {swapped} bytes of swap and \
     room for {room} more below its limit of {limit}, and other swap has {elsewhere} free; the \
     kernel would kill a program there to make room. Raise its limit, stop programs or add other \
     swap"
)]
pub struct NoRoom {
    group: PathBuf,
    swapped: u64,
    room: u64,
    limit: u64,
    elsewhere: u64,
}

/// Looks whether the pages in the swap area `own` fit back into the cgroups that have any in swap.
///
/// What can't be read is ignored: the kernel has the last word.
///
/// # Errors
/// [`NoRoom`] for the first cgroup in which they do not fit.
pub(crate) fn check(own: &Entry) -> Result<(), NoRoom> {
    if own.used_bytes == 0 {
        return Ok(());
    }
    let areas = active().unwrap_or_default();
    let elsewhere = areas
        .iter()
        .filter(|area| area.path != own.path)
        .map(|area| area.size_bytes.saturating_sub(area.used_bytes))
        .sum();
    for hierarchy in Hierarchies::of_this_process().iter() {
        walk(&hierarchy.top, hierarchy.version, own.used_bytes, elsewhere)?;
    }
    Ok(())
}

fn walk(group: &Path, version: Version, on_device: u64, elsewhere: u64) -> Result<(), NoRoom> {
    if let Some(found) = Usage::read(group, version) {
        fits(group, found, on_device, elsewhere)?;
    }
    let Ok(entries) = fs::read_dir(group) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), version, on_device, elsewhere)?;
        }
    }
    Ok(())
}

/// Whether the cgroup's share of the device's `on_device` bytes fits. Which swap area a page lies
/// in is not known for a cgroup, so all of its swap counts, as far as the device holds that much.
fn fits(group: &Path, found: Usage, on_device: u64, elsewhere: u64) -> Result<(), NoRoom> {
    let room = found.room();
    let swapped = found.swapped.min(on_device);
    if swapped <= room.saturating_add(elsewhere) {
        return Ok(());
    }
    Err(NoRoom {
        group: group.to_owned(),
        swapped,
        room,
        limit: found.limit,
        elsewhere,
    })
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_group_at_its_limit_deep_in_the_tree_is_named() {
        let top = tempfile::tempdir().unwrap();
        v1(top.path(), u64::MAX, 500 * MIB, 64 * MIB, 0);
        let group = top.path().join("a/b");
        v1(&top.path().join("a"), u64::MAX, 400 * MIB, 64 * MIB, 0);
        v1(&group, 32 * MIB, 31 * MIB, 64 * MIB, 3 * MIB);
        let refused = walk(top.path(), Version::V1, 100 * MIB, 0).unwrap_err();
        assert_eq!(refused.group, group);
        assert_eq!((refused.swapped, refused.room), (64 * MIB, 4 * MIB));
        assert!(refused.to_string().contains("67108864 bytes of swap"));
    }

    #[test]
    fn what_fits_below_the_limit_or_elsewhere_is_not_refused() {
        let top = tempfile::tempdir().unwrap();
        v1(top.path(), 100 * MIB, 36 * MIB, 64 * MIB, 0);
        assert_eq!(walk(top.path(), Version::V1, 100 * MIB, 0), Ok(()));
        v1(top.path(), 99 * MIB, 36 * MIB, 64 * MIB, 0);
        assert!(walk(top.path(), Version::V1, 100 * MIB, 0).is_err());
        assert_eq!(walk(top.path(), Version::V1, 100 * MIB, MIB), Ok(()));
        // No more can come back than the device holds.
        assert_eq!(walk(top.path(), Version::V1, 63 * MIB, 0), Ok(()));
    }
}
