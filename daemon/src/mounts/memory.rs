//! How much memory this process can have.

use std::fs;
use std::path::Path;

use crate::cgroup_mounts::{self, Mount};
use crate::mountinfo;

/// The machine's memory or, where that is less, the limit of a memory cgroup that this process is
/// in; in bytes. Limits that can't be read are none.
#[must_use]
pub fn available() -> u64 {
    let info = rustix::system::sysinfo();
    let ram = u64::from(info.mem_unit).saturating_mul(info.totalram as u64);
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let found = cgroup_mounts::find(&read(mountinfo::PATH), &read("/proc/self/cgroup"));
    [
        (found.v1, "memory.limit_in_bytes"),
        (found.v2, "memory.max"),
    ]
    .into_iter()
    .filter_map(|(mount, file)| limit(&mount?, file))
    .fold(ram, u64::min)
}

/// The smallest limit of a group and those above it. What version 2 calls `max` is none.
fn limit(mount: &Mount, file: &str) -> Option<u64> {
    mount
        .own
        .ancestors()
        .take_while(|group| group.starts_with(&mount.top))
        .filter_map(|group| number(&group.join(file)))
        .min()
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_on_the_way_up_counts() {
        let top = tempfile::tempdir().unwrap();
        let own = top.path().join("a/b");
        fs::create_dir_all(&own).unwrap();
        let mount = Mount {
            top: top.path().to_owned(),
            own: own.clone(),
        };
        assert_eq!(limit(&mount, "memory.max"), None);
        fs::write(own.join("memory.max"), "max\n").unwrap();
        assert_eq!(limit(&mount, "memory.max"), None);
        fs::write(top.path().join("a/memory.max"), "1048576\n").unwrap();
        fs::write(top.path().join("memory.max"), "2097152\n").unwrap();
        assert_eq!(limit(&mount, "memory.max"), Some(1 << 20));
    }

    #[test]
    fn this_process_has_some() {
        assert!(available() > 1 << 20);
    }
}
