//! Swap files, loop devices and small file systems for backing swaps.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use compcache_test_support::filled_file;

use crate::outcome::Outcome;

/// Writes a file of `bytes` without holes and makes a swap area of it with mkswap(8).
///
/// # Panics
/// If that fails.
pub fn swap_file(path: &Path, bytes: u64) {
    filled_file(path, bytes);
    mkswap(path);
}

fn mkswap(path: &Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    if path.is_file() {
        fs::set_permissions(path, mode).expect("the file's mode");
    }
    Outcome::of(Command::new("mkswap").arg(path)).success();
}

/// Opens a file or block device past the page cache.
///
/// # Panics
/// If that fails.
#[must_use]
pub fn open_direct(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .expect("a file or device that can be read and written directly")
}

/// A loop device over a file: a block device such as a partition is. It is detached when this is
/// dropped.
#[derive(Debug)]
pub struct LoopFile {
    device: PathBuf,
}

impl LoopFile {
    /// A loop device over a new swap area of `bytes` in the file `path`.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn swap(path: &Path, bytes: u64) -> LoopFile {
        filled_file(path, bytes);
        let loop_file = LoopFile::attach(path);
        mkswap(&loop_file.device);
        loop_file
    }

    fn attach(path: &Path) -> LoopFile {
        let out =
            Outcome::of(Command::new("losetup").args(["--find", "--show"]).arg(path)).success();
        LoopFile {
            device: out.trim().into(),
        }
    }

    /// The block device.
    #[must_use]
    pub fn device(&self) -> &Path {
        &self.device
    }
}

impl Drop for LoopFile {
    fn drop(&mut self) {
        // A failure shows as a loop device that is left.
        let _ = Command::new("losetup")
            .arg("--detach")
            .arg(&self.device)
            .status();
    }
}

/// A file system of its own, small enough to be filled. It is unmounted when this is dropped.
#[derive(Debug)]
pub struct SmallFilesystem {
    place: PathBuf,
    _device: LoopFile,
}

impl SmallFilesystem {
    /// An ext4 file system of `bytes`, without a journal, mounted at the new directory `place`.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn new(place: &Path, bytes: u64) -> SmallFilesystem {
        let make = ["mkfs.ext4", "-q", "-F", "-O", "^has_journal"];
        Self::made_by(&make, place, bytes)
    }

    /// A Btrfs file system of `bytes`, 128 MiB at least, mounted at the new directory `place`.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn btrfs(place: &Path, bytes: u64) -> SmallFilesystem {
        Self::made_by(&["mkfs.btrfs", "-q", "--mixed"], place, bytes)
    }

    fn made_by(make: &[&str], place: &Path, bytes: u64) -> SmallFilesystem {
        let file = place.with_extension("disk");
        filled_file(&file, bytes);
        let device = LoopFile::attach(&file);
        Outcome::of(Command::new(make[0]).args(&make[1..]).arg(device.device())).success();
        fs::create_dir(place).expect("a mount point");
        Outcome::of(Command::new("mount").arg(device.device()).arg(place)).success();
        SmallFilesystem {
            place: place.to_owned(),
            _device: device,
        }
    }

    /// Fills it to the last block.
    ///
    /// # Panics
    /// If it does not get full.
    pub fn fill(&self) {
        let mut number = 0;
        // Blocks that wait for their place in memory are given back on their way to the disk: go
        // on until even after that not one page is left.
        for size in [1 << 20, 4096].repeat(4) {
            loop {
                number += 1;
                let path = self.place.join(format!("filler{number}"));
                let written = File::create(path)
                    .and_then(|mut file| file.write_all(&vec![7; size]).and(file.sync_all()));
                if written.is_err() {
                    break;
                }
                assert!(number < 10_000, "{} never gets full", self.place.display());
            }
        }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn place(&self) -> &Path {
        &self.place
    }
}

impl Drop for SmallFilesystem {
    fn drop(&mut self) {
        // A failure shows as a mount that is left.
        let _ = Command::new("umount").arg(&self.place).status();
    }
}
