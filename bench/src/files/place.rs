//! Where the files of a case are.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use compcache_engine::CodecSpec;
use fs_err as fs;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::data::{DataSet, Store};
use crate::report::complain;
use crate::zram::Zram;
use crate::{directory, process};

/// What stands between a program and the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// Nothing but the kernel: the directory itself.
    Bare,
    /// No disk: all files are in memory that nobody counts.
    Tmpfs,
    /// No disk: ext4 on a zram device with this algorithm, whose memory counts.
    Zram(String),
    Ours(Policy),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) codec: CodecSpec,
    /// Whether writes are kept and written out later.
    pub(crate) write_back: bool,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backend::Bare => f.write_str("bare directory"),
            Backend::Tmpfs => f.write_str("tmpfs (no limit)"),
            Backend::Zram(algorithm) => write!(f, "ext4 on zram {algorithm}"),
            Backend::Ours(policy) if policy.write_back => {
                write!(f, "ours {}, write-back", policy.codec)
            }
            Backend::Ours(policy) => write!(f, "ours {}", policy.codec),
        }
    }
}

/// A directory with the files of a data set. It is taken down when this is dropped, the fields in
/// their order.
#[derive(Debug)]
pub(crate) struct Place {
    directory: PathBuf,
    copy: Option<Copied>,
    /// What a copy is kept in, if its memory counts.
    zram: Option<Zram>,
}

/// What is removed with a copy: its directory on a disk, or what is mounted there.
type Copied = Box<dyn fmt::Debug>;

impl Place {
    /// A directory that holds what `data` holds. `copied` says that it will be written to.
    pub(crate) fn new(
        backend: &Backend,
        data: &DataSet,
        store: &Store,
        copied: bool,
    ) -> Result<Place> {
        let source = data.source();
        let mut place = Place {
            directory: source.clone(),
            copy: None,
            zram: None,
        };
        match backend {
            Backend::Bare | Backend::Ours(_) if copied => {
                let directory = tempfile::Builder::new()
                    .prefix("compcache-bench-")
                    .tempdir_in(store.directory())?;
                place.directory = directory.path().to_owned();
                place.copy = Some(Box::new(directory));
            }
            Backend::Bare | Backend::Ours(_) => {}
            Backend::Tmpfs => place.mount("tmpfs".as_ref(), "tmpfs")?,
            Backend::Zram(algorithm) => {
                let bytes = directory::bytes_in(&source);
                // Room for the file system's own structures.
                let zram = Zram::new(algorithm, bytes + bytes / 8 + (16 << 20))?;
                make_ext4(&zram.node())?;
                let node = place.zram.insert(zram).node();
                place.mount(&node, "ext4")?;
                fs::remove_dir(place.directory.join("lost+found"))?;
            }
        }
        if place.copy.is_some() {
            directory::copy(&source, &place.directory)?;
        }
        drop_caches()?;
        Ok(place)
    }

    /// Mounts a file system of its own.
    fn mount(&mut self, device: &Path, kind: &str) -> Result<()> {
        let mounted = Mounted::new(device, kind)?;
        self.directory = mounted.0.path().to_owned();
        self.copy = Some(Box::new(mounted));
        Ok(())
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Bytes of memory that it takes beside those that a cgroup counts.
    pub(crate) fn memory(&self) -> Result<u64> {
        let zram = self.zram.as_ref();
        zram.map_or(Ok(0), |zram| zram.held().map(|held| held.all))
    }
}

/// An empty directory to mount on, which others may reach. Only the directory itself is removed
/// when this is dropped: should something still be mounted there, its files are somebody's.
#[derive(Debug)]
pub(super) struct MountPoint(PathBuf);

impl MountPoint {
    pub(super) fn new() -> Result<MountPoint> {
        let directory = tempfile::Builder::new()
            .prefix("compcache-bench-")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir()?;
        let path = fs::canonicalize(directory.path())?;
        // From now on it is not removed with all that is in it.
        let _ = directory.keep();
        Ok(MountPoint(path))
    }

    /// Where it is; no link leads there.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        complain(fs::remove_dir(&self.0).map_err(Into::into));
    }
}

fn make_ext4(node: &Path) -> Result<()> {
    let mut command = Command::new("mkfs.ext4");
    // No journal and no structures that are written later: memory of zram for nothing.
    command
        .args(["-q", "-F", "-O", "^has_journal", "-E", "lazy_itable_init=0"])
        .args(["-m", "0", "-i", "8192"])
        .arg(node);
    process::output(&mut command).map(drop)
}

/// Writes everything out and has the kernel forget what it holds of files, so that what follows
/// starts cold and is paid for by whoever reads it.
fn drop_caches() -> Result<()> {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").context("cannot drop the kernel's caches")
}

/// A file system mounted by us, which is unmounted before its mount point goes.
#[derive(Debug)]
pub(crate) struct Mounted(MountPoint);

impl Mounted {
    fn new(device: &Path, kind: &str) -> Result<Mounted> {
        let directory = MountPoint::new()?;
        mount(device, directory.path(), kind, MountFlags::NOATIME, None)
            .with_context(|| format!("cannot mount {kind} on {}", directory.path().display()))?;
        Ok(Mounted(directory))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let path = self.0.path();
        let why = || format!("cannot unmount {}, do it with umount(8)", path.display());
        complain(unmount(path, UnmountFlags::empty()).with_context(why));
    }
}
