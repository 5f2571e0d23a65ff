//! Where the memory controller is mounted and where this process stands in it.
//!
//! Reads `/proc/self/mountinfo` and `/proc/self/cgroup` as proc(5) and cgroups(7) describe them.

use std::path::{Path, PathBuf};

use crate::mountinfo;

/// A mounted cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The directory where it is mounted.
    pub top: PathBuf,
    /// The directory of this process's own group, `top` or below it.
    pub own: PathBuf,
}

/// The hierarchies that may have a memory controller.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Mounts {
    /// The unified hierarchy, with or without the memory controller.
    pub v2: Option<Mount>,
    /// The version 1 hierarchy of the memory controller.
    pub v1: Option<Mount>,
}

/// Finds the hierarchies in the texts of `/proc/self/mountinfo` and `/proc/self/cgroup`.
/// Lines that can't be read are passed over; of several mounts the first one counts.
#[must_use]
pub fn find(mount_table: &str, self_cgroup: &str) -> Mounts {
    let mut found = Mounts::default();
    for line in mount_table.lines() {
        let Some(mount) = mountinfo::parse(line) else {
            continue;
        };
        let mut options = mount.super_options.split(',');
        let (place, own) = match mount.kind {
            "cgroup2" => (&mut found.v2, own_path(self_cgroup, None)),
            "cgroup" if options.any(|option| option == "memory") => {
                (&mut found.v1, own_path(self_cgroup, Some("memory")))
            }
            _ => continue,
        };
        if place.is_none() {
            let own = own_directory(&mount.mountpoint, &mount.root, own.unwrap_or("/"));
            *place = Some(Mount {
                top: mount.mountpoint,
                own,
            });
        }
    }
    found
}

/// The process's path in the hierarchy of `controller` (`None`: the unified one).
fn own_path<'a>(self_cgroup: &'a str, controller: Option<&str>) -> Option<&'a str> {
    self_cgroup.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let wanted = match controller {
            Some(name) => controllers.split(',').any(|c| c == name),
            None => controllers.is_empty(),
        };
        wanted.then_some(path)
    })
}

/// Where the group `path` is below the mount of `root` at `top`. In a container the mount's root
/// is often the container's own group; a group outside of it can't be seen, so `top` stands in.
fn own_directory(top: &Path, root: &Path, path: &str) -> PathBuf {
    let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
    let climbs = below
        .components()
        .any(|c| matches!(c, std::path::Component::ParentDir));
    if climbs || below.as_os_str().is_empty() {
        top.to_owned()
    } else {
        top.join(below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
23 22 0:21 / / rw,relatime - ext4 /dev/vda1 rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn hybrid_machine() {
        let found = find(HYBRID, "8:pids:/\n4:cpuset,memory:/a/b\n0::/\n");
        let v1 = Mount {
            top: "/sys/fs/cgroup/memory".into(),
            own: "/sys/fs/cgroup/memory/a/b".into(),
        };
        let v2 = Mount {
            top: "/sys/fs/cgroup/unified".into(),
            own: "/sys/fs/cgroup/unified".into(),
        };
        assert_eq!(
            found,
            Mounts {
                v1: Some(v1),
                v2: Some(v2)
            }
        );
    }

    #[test]
    fn systemd_machine() {
        let mountinfo =
            "35 25 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = find(mountinfo, "0::/user.slice/user-0.slice/session-1.scope\n");
        assert_eq!(found.v1, None);
        let v2 = found.v2.unwrap();
        assert_eq!(v2.top, Path::new("/sys/fs/cgroup"));
        assert_eq!(
            v2.own,
            Path::new("/sys/fs/cgroup/user.slice/user-0.slice/session-1.scope")
        );
    }

    #[test]
    fn container_sees_only_its_part() {
        let line = "35 25 0:30 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let own = |cgroup: &str| find(line, cgroup).v1.unwrap().own;
        assert_eq!(
            own("4:memory:/docker/abc\n"),
            Path::new("/sys/fs/cgroup/memory")
        );
        assert_eq!(
            own("4:memory:/docker/abc/x\n"),
            Path::new("/sys/fs/cgroup/memory/x")
        );
        assert_eq!(
            own("4:memory:/elsewhere\n"),
            Path::new("/sys/fs/cgroup/memory")
        );
    }

    #[test]
    fn group_above_the_namespace_is_its_top() {
        let line = "35 25 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let own = find(line, "0::/../../x\n").v2.unwrap().own;
        assert_eq!(own, Path::new("/sys/fs/cgroup"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(a in "[ -~\n]{0,200}", b in "[ -~\n]{0,80}") {
            let _ = find(&a, &b);
        }
    }
}
