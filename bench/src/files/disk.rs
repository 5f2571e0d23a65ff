//! The disk beneath a directory.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use compcache_host::proc;
use fs_err as fs;
use rustix::fs::{major, minor};

/// The numbers, major and minor, of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    major: u32,
    minor: u32,
}

impl Disk {
    /// The whole disk that a directory is on: the kernel throttles no partitions.
    pub(crate) fn beneath(directory: &Path) -> Result<Disk> {
        let device = fs::metadata(directory)?.dev();
        let disk = Disk {
            major: major(device),
            minor: minor(device),
        };
        let entry = Path::new("/sys/dev/block").join(disk.to_string());
        ensure!(
            entry.exists(),
            "{} is not on one disk, which could be throttled: choose another --source, or \
             --throttle none",
            directory.display()
        );
        if !entry.join("partition").exists() {
            return Ok(disk);
        }
        let whole = fs::canonicalize(&entry)?.join("../dev");
        let (major, minor) =
            proc::device_numbers(&proc::read(&whole)?).context("no numbers of a disk")?;
        Ok(Disk { major, minor })
    }
}

impl std::fmt::Display for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}
