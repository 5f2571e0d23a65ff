//! Where groups can be made: version 2 if the memory controller is there, else version 1.

use std::fs;
use std::path::{Path, PathBuf};

use compcache_host::cgroup::{Hierarchies, Hierarchy, Version};
use compcache_host::proc;

use super::error::CgroupError;

/// The directory in which new groups are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The directory.
    pub directory: PathBuf,
    /// The interface of groups made there.
    pub version: Version,
}

impl Parent {
    /// Finds where this process may make a group with a memory limit.
    ///
    /// # Errors
    /// [`CgroupError::NoController`] if there is no memory controller,
    /// [`CgroupError::Io`] if the controller can't be enabled.
    pub fn find() -> Result<Self, CgroupError> {
        Self::choose(&Hierarchies::of_this_process())
    }

    fn choose(hierarchies: &Hierarchies) -> Result<Self, CgroupError> {
        if let Some(unified) = &hierarchies.v2
            && let Some(directory) = nearest_with_memory(unified)?
        {
            return Ok(Parent {
                directory,
                version: Version::V2,
            });
        }
        match &hierarchies.v1 {
            // The group may be gone from the visible tree, or be that of another namespace.
            Some(memory) => Ok(Parent {
                directory: if memory.own.is_dir() {
                    memory.own.clone()
                } else {
                    memory.top.clone()
                },
                version: Version::V1,
            }),
            None => Err(CgroupError::NoController),
        }
    }
}

/// The nearest group, from our own upwards, whose children get the memory controller.
///
/// Our own group has processes in it, so that (but for the root) it may not have children with
/// controllers ("no internal processes", cgroups(7)). A machine whose init set up nothing gets the
/// controller enabled at the top of the tree, if the kernel allows it.
fn nearest_with_memory(unified: &Hierarchy) -> Result<Option<PathBuf>, CgroupError> {
    let has_memory = |directory: &Path, file: &str| {
        let controllers = proc::read_or_empty(&directory.join(file));
        proc::words(&controllers).any(|controller| controller == b"memory")
    };
    for directory in unified.groups() {
        if has_memory(directory, "cgroup.subtree_control") {
            return Ok(Some(directory.to_owned()));
        }
    }
    if !has_memory(&unified.top, "cgroup.controllers") {
        return Ok(None);
    }
    let control = unified.top.join("cgroup.subtree_control");
    fs::write(&control, "+memory").map_err(|source| {
        CgroupError::io("cannot enable the memory controller in", &control, source)
    })?;
    Ok(Some(unified.top.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn hierarchy(version: Version, root: &Path, own: &str) -> Hierarchy {
        Hierarchy {
            version,
            top: root.to_owned(),
            own: root.join(own),
        }
    }

    #[test]
    fn v2_group_is_made_in_the_nearest_delegated_group() {
        let root = tree(&[
            ("cgroup.subtree_control", "cpu memory pids\n"),
            ("cgroup.controllers", "cpu memory pids\n"),
            ("user.slice/cgroup.subtree_control", "memory pids\n"),
            ("user.slice/session/cgroup.subtree_control", "\n"),
        ]);
        let hierarchies = Hierarchies {
            v2: Some(hierarchy(Version::V2, root.path(), "user.slice/session")),
            v1: None,
        };
        let parent = Parent::choose(&hierarchies).unwrap();
        assert_eq!(parent.version, Version::V2);
        assert_eq!(parent.directory, root.path().join("user.slice"));
    }

    #[test]
    fn v2_controller_is_enabled_at_the_top_where_nobody_did() {
        let root = tree(&[
            ("cgroup.subtree_control", "\n"),
            ("cgroup.controllers", "memory\n"),
        ]);
        let hierarchies = Hierarchies {
            v2: Some(hierarchy(Version::V2, root.path(), "")),
            v1: None,
        };
        assert_eq!(Parent::choose(&hierarchies).unwrap().directory, root.path());
        let control = fs::read_to_string(root.path().join("cgroup.subtree_control")).unwrap();
        assert_eq!(control, "+memory");
    }

    #[test]
    fn v1_is_used_where_v2_has_no_memory_controller() {
        let v2 = tree(&[
            ("cgroup.subtree_control", "\n"),
            ("cgroup.controllers", "\n"),
        ]);
        let v1 = tree(&[("own/memory.limit_in_bytes", "1\n")]);
        let hierarchies = Hierarchies {
            v2: Some(hierarchy(Version::V2, v2.path(), "")),
            v1: Some(hierarchy(Version::V1, v1.path(), "own")),
        };
        let parent = Parent::choose(&hierarchies).unwrap();
        assert_eq!(
            parent,
            Parent {
                directory: v1.path().join("own"),
                version: Version::V1
            }
        );
    }

    #[test]
    fn own_group_out_of_sight_falls_back_to_the_top() {
        let v1 = tree(&[("memory.limit_in_bytes", "1\n")]);
        let hierarchies = Hierarchies {
            v2: None,
            v1: Some(hierarchy(Version::V1, v1.path(), "gone")),
        };
        assert_eq!(Parent::choose(&hierarchies).unwrap().directory, v1.path());
    }

    #[test]
    fn no_controller_says_what_to_do() {
        let error = Parent::choose(&Hierarchies::default()).unwrap_err();
        assert!(error.to_string().contains("mount -t cgroup2"), "{error}");
    }
}
