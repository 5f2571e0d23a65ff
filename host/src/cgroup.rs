//! Memory cgroups, version 1 and 2: where they are mounted, where this process is in them, and what
//! they limit and use (cgroups(7); `Documentation/admin-guide/cgroup-v2.rst` and
//! `cgroup-v1/memory.rst` in the kernel).

mod counted;
pub mod names;
pub mod walk;

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use crate::{mountinfo, proc};
pub use counted::Counted;
use names::STATISTICS;

/// The memory controller, as version 1 calls it.
const MEMORY: &str = "memory";

/// Where the kernel says in which groups a process is.
const OWN: &str = "/proc/self/cgroup";

/// Which interface a group has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Version 1: `memory.limit_in_bytes` and its like.
    V1,
    /// Version 2: `memory.max` and its like.
    V2,
}

/// A mounted hierarchy that may have the memory controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its interface.
    pub version: Version,
    /// The directory where it is mounted.
    pub top: PathBuf,
    /// The directory of this process's own group, `top` or below it.
    pub own: PathBuf,
}

/// The hierarchies of a machine: one version, or both beside each other.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Hierarchies {
    /// The unified hierarchy, with or without the memory controller.
    pub v2: Option<Hierarchy>,
    /// The version 1 hierarchy of the memory controller.
    pub v1: Option<Hierarchy>,
}

impl Hierarchies {
    /// Those of this machine. None if /proc is not mounted.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::first_of(&hierarchies_of_this_process(&[MEMORY]))
    }

    /// Those of this machine, for whoever must not take "none" for an answer.
    ///
    /// # Errors
    /// If /proc is not mounted.
    pub fn read() -> io::Result<Self> {
        let table = mountinfo::read()?;
        let own = proc::read_or_empty(Path::new(OWN));
        Ok(Self::find(&table, &own))
    }

    /// Finds them in the texts of `/proc/self/mountinfo` and `/proc/self/cgroup`. Of several mounts
    /// of one hierarchy the first one counts.
    #[must_use]
    pub fn find(mount_table: &[u8], self_cgroup: &[u8]) -> Self {
        Self::first_of(&hierarchies(mount_table, self_cgroup, &[MEMORY]))
    }

    fn first_of(all: &[Hierarchy]) -> Self {
        let first = |version| all.iter().find(|one| one.version == version).cloned();
        Hierarchies {
            v2: first(Version::V2),
            v1: first(Version::V1),
        }
    }

    /// Each hierarchy that there is.
    pub fn iter(&self) -> impl Iterator<Item = &Hierarchy> {
        self.v1.iter().chain(&self.v2)
    }

    /// The smallest limit of memory, in bytes, of this process's groups and those above them, which
    /// all hold; `None` if none of them has one.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        self.iter()
            .flat_map(|hierarchy| {
                let version = hierarchy.version;
                hierarchy
                    .groups()
                    .filter_map(move |group| limit(group, version))
            })
            .min()
    }
}

/// The unified hierarchy, and those of version 1 that have one of these controllers. None if
/// /proc is not mounted.
#[must_use]
pub fn hierarchies_of_this_process(controllers: &[&str]) -> Vec<Hierarchy> {
    let table = mountinfo::read().unwrap_or_default();
    let own = proc::read_or_empty(Path::new(OWN));
    hierarchies(&table, &own, controllers)
}

fn hierarchies(mount_table: &[u8], self_cgroup: &[u8], controllers: &[&str]) -> Vec<Hierarchy> {
    let found = mountinfo::parse(mount_table).filter_map(|mount| {
        let (version, controller) = match mount.fstype {
            b"cgroup2" => (Version::V2, None),
            b"cgroup" => {
                let has = |name: &&&str| mount.has_super_option(name);
                (Version::V1, Some(controllers.iter().find(has)?.as_bytes()))
            }
            _ => return None,
        };
        let path = Path::new(OsStr::from_bytes(
            own_path(self_cgroup, controller).unwrap_or(b"/"),
        ));
        Some(Hierarchy {
            version,
            own: own_directory(&mount.mountpoint, &mount.root, path),
            top: mount.mountpoint,
        })
    });
    found.collect()
}

impl Hierarchy {
    /// The directories of this process's own group and of those above it, up to where the hierarchy
    /// is mounted.
    pub fn groups(&self) -> impl Iterator<Item = &Path> {
        self.own
            .ancestors()
            .take_while(|group| group.starts_with(&self.top))
    }
}

/// The path of this process in the hierarchy of `controller` (`None`: the unified one).
fn own_path<'a>(self_cgroup: &'a [u8], controller: Option<&[u8]>) -> Option<&'a [u8]> {
    proc::lines(self_cgroup).find_map(|line| {
        let mut fields = line.splitn(3, |byte| *byte == b':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let wanted = match controller {
            Some(name) => controllers.split(|byte| *byte == b',').any(|c| c == name),
            None => controllers.is_empty(),
        };
        wanted.then_some(path)
    })
}

/// Where the group `path` is below the mount of `root` at `top`. In a container the mount's root
/// is often the container's own group; a group outside of it can't be seen, so `top` stands in.
fn own_directory(top: &Path, root: &Path, path: &Path) -> PathBuf {
    let below = path.strip_prefix(root).unwrap_or(Path::new(""));
    let climbs = below.components().any(|part| part == Component::ParentDir);
    if climbs || below.as_os_str().is_empty() {
        top.to_owned()
    } else {
        top.join(below)
    }
}

/// What version 1 says if nobody has set a limit: 2^63 rounded down to whole pages, of 4 to
/// 64 KiB.
const UNLIMITED: u64 = (1 << 63) - (64 << 10);

/// The limit of a group itself, in bytes; `None` if it has none, or none that can be read.
#[must_use]
pub fn limit(group: &Path, version: Version) -> Option<u64> {
    limit_by(version, &|file| std::fs::read(group.join(file))).ok()?
}

fn limit_by(
    version: Version,
    read: &impl Fn(&str) -> io::Result<Vec<u8>>,
) -> io::Result<Option<u64>> {
    let file = version.limit_file();
    match existing(read(file))? {
        Some(text) if text.trim_ascii() != b"max" => {
            Ok(Some(number(file, &text)?).filter(|limit| *limit < UNLIMITED))
        }
        _ => Ok(None),
    }
}

/// What was read, or `None` if the group was removed or has no such file.
fn existing(text: io::Result<Vec<u8>>) -> io::Result<Option<Vec<u8>>> {
    match text {
        Ok(text) => Ok(Some(text)),
        Err(e) if walk::vanished(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

fn number(file: &str, text: &[u8]) -> io::Result<u64> {
    let bad = || format!("{file} is no number: {}", text.escape_ascii());
    proc::number(text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, bad()))
}

/// What a group with a limit, and those below it, use. In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Most memory that they may have.
    pub limit: u64,
    /// Memory that they have, page cache included.
    pub memory: u64,
    /// Pages of files in it, which make room when memory is short.
    pub file: u64,
    /// What they have in swap and nowhere else.
    pub swapped: u64,
}

impl Usage {
    /// Reads it; `None` of a group without a limit, without the memory controller, or that can't be
    /// read. Swap counts as 0 on a kernel that does not account for it.
    #[must_use]
    pub fn read(group: &Path, version: Version) -> Option<Usage> {
        Self::by(version, |file| std::fs::read(group.join(file)))
            .ok()
            .flatten()
    }

    /// The same of a group whose directory is open; `None` also of one that was removed.
    ///
    /// # Errors
    /// If it can't be read, or is not as the kernel writes it.
    pub fn read_at(group: BorrowedFd<'_>, version: Version) -> io::Result<Option<Usage>> {
        Self::by(version, |file| proc::read_at(group, file))
    }

    fn by(
        version: Version,
        read: impl Fn(&str) -> io::Result<Vec<u8>>,
    ) -> io::Result<Option<Usage>> {
        let Some(limit) = limit_by(version, &read)? else {
            return Ok(None);
        };
        let number = |file| {
            existing(read(file))?
                .map(|text| number(file, &text))
                .transpose()
        };
        let memory = number(version.memory_file())?;
        let swap = match version {
            // The statistics have it.
            Version::V1 => 0,
            Version::V2 => number(version.swap_file())?.unwrap_or(0),
        };
        let (Some(memory), Some(stat)) = (memory, existing(read(STATISTICS))?) else {
            return Ok(None);
        };
        let value = |key| proc::value(&stat, key).unwrap_or(0);
        Ok(Some(match version {
            Version::V1 => Usage {
                limit,
                memory,
                file: value("total_inactive_file") + value("total_active_file"),
                swapped: value("total_swap"),
            },
            Version::V2 => Usage {
                limit,
                memory,
                file: value("inactive_file") + value("active_file"),
                // Pages that were swapped in and kept their place in swap count twice otherwise.
                swapped: swap.saturating_sub(value("swapcached")),
            },
        }))
    }

    /// Bytes of memory that they keep once pages of files have made room.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.memory.saturating_sub(self.file)
    }

    /// Bytes that these groups may have more, once pages of files have made room.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.limit.saturating_sub(self.kept())
    }
}

#[cfg(test)]
mod tests;
