//! The control group of all processes of a run: so much memory, and a disk of such a speed.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use compcache::cgroup::{Group, Parent};
use compcache_host::cgroup::Version;
use compcache_host::{mountinfo, proc};
use fs_err::{self as fs, OpenOptions};

use super::disk::Disk;
use super::throttle::Throttle;
use crate::report::complain;

/// More memory than any machine has.
const UNLIMITED: u64 = 1 << 50;

/// A memory cgroup and, if the disk is throttled by another one (version 1), that.
#[derive(Debug)]
pub(crate) struct Cgroup {
    memory: Group,
    blkio: Option<DiskGroup>,
    throttle: Vec<Limit>,
}

/// What is written to a file to throttle a disk, and not to.
#[derive(Debug)]
struct Limit {
    file: PathBuf,
    on: String,
    off: String,
}

impl Cgroup {
    /// A cgroup with `limit` bytes of memory for everything in it, and no swap; `None` for no limit.
    pub(crate) fn new(
        limit: Option<u64>,
        throttle: Throttle,
        disk: Option<Disk>,
    ) -> Result<Cgroup> {
        let parent = Parent::find()?;
        if parent.version == Version::V2 && throttle != Throttle::None {
            enable_io(&parent.directory)?;
        }
        let memory = Group::create(&parent, limit.unwrap_or(UNLIMITED))?;
        // Swap would be more memory than the limit says.
        let (file, value) = match parent.version {
            Version::V1 => ("memory.swappiness", "0"),
            Version::V2 => ("memory.swap.max", "0"),
        };
        let file = memory.directory().join(file);
        if file.exists() {
            fs::write(file, value)?;
        }
        let mut cgroup = Cgroup {
            memory,
            blkio: None,
            throttle: Vec::new(),
        };
        if let Throttle::At { bytes, operations } = throttle {
            let disk = disk.context("no disk to throttle")?;
            cgroup.throttle = match parent.version {
                Version::V1 => {
                    let group = cgroup.blkio.insert(DiskGroup::create()?);
                    group.limits(disk, bytes, operations)
                }
                Version::V2 => vec![Limit {
                    file: cgroup.memory.directory().join("io.max"),
                    on: format!(
                        "{disk} rbps={bytes} wbps={bytes} riops={operations} wiops={operations}"
                    ),
                    off: format!("{disk} rbps=max wbps=max riops=max wiops=max"),
                }],
            };
        }
        cgroup.throttle(true)?;
        Ok(cgroup)
    }

    /// Throttles its disk, or lets it be as fast as it is. Without a throttle there is nothing to
    /// do.
    pub(crate) fn throttle(&self, on: bool) -> Result<()> {
        for limit in &self.throttle {
            fs::write(&limit.file, if on { &limit.on } else { &limit.off })?;
        }
        Ok(())
    }

    /// Has a program run in it, from its first instruction.
    pub(crate) fn hold(&self, command: &mut Command) -> Result<()> {
        let mut entrances = vec![self.memory.entrance()?];
        entrances.extend(self.blkio.as_ref().map(DiskGroup::entrance).transpose()?);
        // SAFETY: between fork and exec the closure only calls write(2), which is async-signal-safe,
        // on descriptors that it owns; it allocates nothing.
        unsafe {
            command.pre_exec(move || {
                entrances
                    .iter()
                    .try_for_each(|entrance| rustix::io::write(entrance, b"0").map(drop))
                    .map_err(io::Error::from)
            });
        }
        Ok(())
    }

    /// Bytes of memory that everything in it takes now, page cache included.
    pub(crate) fn used(&self) -> Result<u64> {
        self.memory.usage().memory.context("no usage of the cgroup")
    }

    /// Processes that the kernel ended because there was no memory left.
    pub(crate) fn killed(&self) -> u64 {
        self.memory.usage().oom_kills
    }

    /// Ends all that runs in it, but for some processes: children that a program has left. Nor does
    /// Ctrl-C end this: the mount must not be in use when it is taken down.
    pub(crate) fn end_others(&self, spared: &[u32]) -> Result<()> {
        Ok(self.memory.end_others(spared)?)
    }

    /// Takes it down; what still runs in it is ended.
    pub(crate) fn remove(self) -> Result<()> {
        self.memory.remove()?;
        Ok(())
    }
}

/// Lets groups below `parent` have the io controller (version 2).
fn enable_io(parent: &Path) -> Result<()> {
    let control = parent.join("cgroup.subtree_control");
    if proc::words(&proc::read_or_empty(&control)).any(|name| name == b"io") {
        return Ok(());
    }
    fs::write(control, "+io").context("a disk cannot be throttled here: use --throttle none")
}

/// A group of version 1 that throttles a disk; removed when it is dropped, empty by then.
#[derive(Debug)]
struct DiskGroup(PathBuf);

impl DiskGroup {
    fn create() -> Result<DiskGroup> {
        let Some(top) = blkio(&mountinfo::read()?) else {
            bail!("no blkio cgroup (version 1) is mounted: use --throttle none");
        };
        let directory = top.join(format!("compcache-bench-{}", std::process::id()));
        fs::create_dir(&directory)?;
        Ok(DiskGroup(directory))
    }

    /// What sets the speed of a disk; 0 is no limit.
    fn limits(&self, disk: Disk, bytes: u64, operations: u64) -> Vec<Limit> {
        let files = [
            ("read_bps", bytes),
            ("write_bps", bytes),
            ("read_iops", operations),
            ("write_iops", operations),
        ];
        let limit = |(file, value)| Limit {
            file: self.0.join(format!("blkio.throttle.{file}_device")),
            on: format!("{disk} {value}"),
            off: format!("{disk} 0"),
        };
        files.map(limit).into()
    }

    fn entrance(&self) -> Result<std::fs::File> {
        let mut options = OpenOptions::new();
        Ok(options
            .write(true)
            .open(self.0.join("cgroup.procs"))?
            .into())
    }
}

impl Drop for DiskGroup {
    fn drop(&mut self) {
        complain(fs::remove_dir(&self.0).map_err(Into::into));
    }
}

/// Where the blkio controller of version 1 is mounted.
fn blkio(table: &[u8]) -> Option<PathBuf> {
    mountinfo::parse(table)
        .find(|mount| mount.fstype == b"cgroup" && mount.has_super_option("blkio"))
        .map(|mount| mount.mountpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blkio_controller_is_found() {
        let lines = b"29 22 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                     30 22 0:27 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio\n";
        assert_eq!(blkio(lines), Some("/sys/fs/cgroup/blkio".into()));
        assert_eq!(blkio(b"30 22 0:27 / /sys rw - cgroup2 none rw\n"), None);
    }
}
