//! Removes what a crashed process left behind: swap on a device that nobody serves, its loop
//! device, its mount, its symlink.
//!
//! Call this only while holding whatever lock says that no other process serves devices with
//! the same runtime directory: it would take theirs away.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use compcache_host::{block, descriptor, mountinfo, proc};
use rustix::mount::UnmountFlags;

use crate::device::Env;
use crate::error::DeviceError;
use crate::node;
use crate::swap;
use crate::swapoff::{Executor, SwapoffError};
use crate::transport::fuse::FSTYPE;
use crate::transport::loopdev;

/// What was removed of a device whose server crashed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Removed {
    /// The device's use as swap.
    #[error(
        "swapped off {}, whose server crashed: {} kB of pages are lost, and programs that need \
         them are ended (SIGBUS)", .device.display(), .lost_bytes / 1024
    )]
    Swap {
        /// The loop device.
        device: PathBuf,
        /// What it held.
        lost_bytes: u64,
    },
    /// A loop device.
    #[error("detached {}", .0.display())]
    LoopDevice(PathBuf),
    /// A mount.
    #[error("unmounted {}", .0.display())]
    Mount(PathBuf),
    /// A file or a symlink.
    #[error("removed {}", .0.display())]
    File(PathBuf),
}

/// What became of a crashed process's devices.
#[derive(Debug, Default)]
pub struct Recovery {
    /// What is gone.
    pub removed: Vec<Removed>,
    /// Why swap areas stay swapped on. Their loop devices and mounts stay, too.
    pub kept: Vec<DeviceError>,
}

/// A swap area that nobody serves any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is swapped on, but its daemon has crashed: {} kB of pages are lost, and programs that need \
     them are ended (SIGBUS). Start compcached, which swaps it off, or do that by swapoff {0}",
    .device.display(), .lost_bytes / 1024
)]
pub struct LeftBehind {
    /// The loop device.
    pub device: PathBuf,
    /// What it held.
    pub lost_bytes: u64,
}

/// The swap areas that a process with this runtime directory left. As for [`recover`], no process may be
/// serving devices there.
///
/// # Errors
/// [`DeviceError`] if the kernel's tables can't be read.
pub fn left_behind(runtime_dir: &Path) -> Result<Vec<LeftBehind>, DeviceError> {
    let mut found = Vec::new();
    for (device, _) in loop_devices(&real(runtime_dir)?)? {
        if let Some(area) = swap::find(&device).map_err(swap::errors::unreadable)? {
            found.push(LeftBehind {
                device,
                lost_bytes: area.used_bytes,
            });
        }
    }
    Ok(found)
}

/// Removes what was left under the directories of `env`. Swap areas are swapped off by `executor`, which need
/// not look for room: what cannot be read needs none.
///
/// # Errors
/// [`DeviceError`] if something could not be removed; what came before it is removed.
pub fn recover(env: &Env, executor: &Executor<'_>) -> Result<Recovery, DeviceError> {
    let runtime_dir = real(&env.runtime_dir)?;
    let mut removed = Vec::new();
    let mut kept = Vec::new();
    let mut kept_files = Vec::new();
    for (device, file) in loop_devices(&runtime_dir)? {
        match swap_off(&device, executor) {
            Ok(lost) => {
                removed.extend(lost);
                removed.push(detach(device)?);
            }
            Err(error) => {
                kept.push(error);
                kept_files.push(file);
            }
        }
    }
    for path in mounts(&runtime_dir)? {
        if !kept_files.contains(&path) {
            removed.push(unmount(path)?);
        }
    }
    let files = remove_named(&runtime_dir, |path| {
        let is_file = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
        let is_left = is_file && !kept_files.iter().any(|file| file == path);
        if is_left {
            std::fs::remove_file(path)?;
        }
        Ok(is_left)
    })?;
    removed.extend(files);
    removed.extend(remove_named(&env.dev_dir, node::remove_stale)?);
    Ok(Recovery { removed, kept })
}

/// The runtime directory by its real path, as the kernel names files.
fn real(runtime_dir: &Path) -> Result<PathBuf, DeviceError> {
    let path = std::path::absolute(runtime_dir)
        .map_err(|e| DeviceError::system(format!("resolve {}", runtime_dir.display()), e, None))?;
    Ok(std::fs::canonicalize(&path).unwrap_or(path))
}

/// Whether a file name is that of a device: `ramzswap` and a number.
fn is_device_name(name: &OsStr) -> bool {
    name.as_bytes()
        .strip_prefix(b"ramzswap")
        .is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit))
}

/// Whether `path` is where a device of this runtime directory is mounted.
fn is_ours(path: &Path, runtime_dir: &Path) -> bool {
    path.parent() == Some(runtime_dir) && path.file_name().is_some_and(is_device_name)
}

/// The loop devices whose file lies in the runtime directory, with that file.
///
/// The kernel gives that file's path only, and files of containers and of other mount namespaces have the same ones:
/// so it has to be one of our mounts here, and the loop device's file has to be of that file system.
fn loop_devices(runtime_dir: &Path) -> Result<Vec<(PathBuf, PathBuf)>, DeviceError> {
    let failed = |e| DeviceError::system("list /sys/block", e, "mount /sys");
    let table = mount_table()?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/sys/block").map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let file = block::backing_file(&entry.path()).filter(|file| is_ours(file, runtime_dir));
        let Some(file) = file else { continue };
        let device = Path::new("/dev").join(entry.file_name());
        if is_backed_by_mount(&device, &file, &table) {
            found.push((device, file));
        }
    }
    Ok(found)
}

/// Whether a loop device's file is the mount that is seen at `file`.
fn is_backed_by_mount(device: &Path, file: &Path, table: &[u8]) -> bool {
    let Some(numbers) = mountinfo::find(table, file)
        .filter(|mount| mount.fstype == FSTYPE.as_bytes())
        .and_then(|mount| proc::device_numbers(mount.device))
    else {
        return false;
    };
    match File::open(device).and_then(|device| loopdev::file_system(&device)) {
        Ok(file_system) => file_system == numbers,
        // Nobody serves it: it is what a crashed process left, and nothing of it can be read.
        Err(e) => descriptor::is_of_lost_server(&e),
    }
}

/// Swaps off a loop device, if it is swapped on.
fn swap_off(device: &Path, executor: &Executor<'_>) -> Result<Option<Removed>, DeviceError> {
    let Some(entry) = swap::find(device).map_err(swap::errors::unreadable)? else {
        return Ok(None);
    };
    executor(device).map_err(|e| {
        let source = match e {
            SwapoffError::System(source) => source,
            other => io::Error::other(other),
        };
        DeviceError::system(
            format!("swap off {}, whose server crashed", device.display()),
            source,
            "end the programs that have pages there, or restart the machine",
        )
    })?;
    Ok(Some(Removed::Swap {
        device: device.to_owned(),
        lost_bytes: entry.used_bytes,
    }))
}

fn detach(path: PathBuf) -> Result<Removed, DeviceError> {
    File::open(&path)
        .and_then(|device| loopdev::clear(&device))
        .map_err(|e| {
            DeviceError::system(
                format!("detach {}", path.display()),
                e,
                "detach it by hand (losetup -d)",
            )
        })?;
    Ok(Removed::LoopDevice(path))
}

/// The mount points in the runtime directory.
fn mounts(runtime_dir: &Path) -> Result<Vec<PathBuf>, DeviceError> {
    Ok(of_our_type(&mount_table()?)
        .filter(|path| is_ours(path, runtime_dir))
        .collect())
}

fn mount_table() -> Result<Vec<u8>, DeviceError> {
    mountinfo::read().map_err(|e| DeviceError::system("see the mounts", e, "mount /proc"))
}

/// The mount points of our file system's type.
fn of_our_type(table: &[u8]) -> impl Iterator<Item = PathBuf> {
    mountinfo::parse(table)
        .filter(|mount| mount.fstype == FSTYPE.as_bytes())
        .map(|mount| mount.mountpoint)
}

fn unmount(path: PathBuf) -> Result<Removed, DeviceError> {
    rustix::mount::unmount(&path, UnmountFlags::FORCE | UnmountFlags::DETACH).map_err(|e| {
        let action = format!("unmount {}", path.display());
        DeviceError::system(action, e, "unmount it by hand (umount -l)")
    })?;
    Ok(Removed::Mount(path))
}

/// Has `remove` look at the entries of `dir` that have a device's name; it returns whether it has
/// removed one.
fn remove_named(
    dir: &Path,
    remove: impl Fn(&Path) -> io::Result<bool>,
) -> Result<Vec<Removed>, DeviceError> {
    let mut removed = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(removed),
        Err(e) => {
            return Err(DeviceError::system(
                format!("list {}", dir.display()),
                e,
                None,
            ));
        }
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if !is_device_name(&entry.file_name()) {
            continue;
        }
        let is_removed = remove(&path).map_err(|e| {
            DeviceError::system(format!("remove {}", path.display()), e, "remove it by hand")
        })?;
        if is_removed {
            removed.push(Removed::File(path));
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing_is_swapped_on(device: &Path) -> Result<(), SwapoffError> {
        panic!("{}", device.display());
    }

    #[test]
    fn only_names_of_devices_are_ours() {
        for name in ["ramzswap0", "ramzswap17"] {
            assert!(is_device_name(OsStr::new(name)), "{name}");
        }
        for name in [
            "ramzswap",
            "ramzswap1x",
            "ramzswapx",
            "xramzswap0",
            "loop0",
            "",
        ] {
            assert!(!is_device_name(OsStr::new(name)), "{name}");
        }
        let dir = Path::new("/run/compcache");
        assert!(is_ours(Path::new("/run/compcache/ramzswap0"), dir));
        assert!(!is_ours(Path::new("/run/compcache/x/ramzswap0"), dir));
        assert!(!is_ours(Path::new("/run/compcache2/ramzswap0"), dir));
    }

    #[test]
    fn mounts_of_our_type_are_found() {
        let table = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            42 27 0:39 / /run/my\\040dir/ramzswap0 rw,nosuid shared:7 - fuse.ramzswap ramzswap rw\n\
            43 27 0:40 / /mnt rw - fuse.sshfs ramzswap rw\n\
            44 27 0:41 / /other rw\n\n";
        let found: Vec<_> = of_our_type(table).collect();
        assert_eq!(found, [Path::new("/run/my dir/ramzswap0")]);
    }

    #[test]
    fn leftover_files_and_dangling_links_go_and_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let env = Env::new(dir.path().join("run"), dir.path().join("dev"));
        assert!(
            recover(&env, &nothing_is_swapped_on)
                .unwrap()
                .removed
                .is_empty(),
            "directories that do not exist are clean"
        );
        std::fs::create_dir(&env.runtime_dir).unwrap();
        std::fs::create_dir(&env.dev_dir).unwrap();
        for name in ["ramzswap0", "compcached.log"] {
            std::fs::write(env.runtime_dir.join(name), "").unwrap();
        }
        for (name, to) in [
            ("ramzswap0", "/dev/loop987654"),
            ("ramzswap1", "/dev/null"),
            ("x", "/dev/loop987654"),
        ] {
            std::os::unix::fs::symlink(to, env.dev_dir.join(name)).unwrap();
        }
        let removed = recover(&env, &nothing_is_swapped_on).unwrap().removed;
        let of_env = |dir: &Path, name: &str| Removed::File(dir.join(name));
        assert_eq!(
            removed,
            [
                of_env(&env.runtime_dir, "ramzswap0"),
                of_env(&env.dev_dir, "ramzswap0")
            ]
        );
        assert!(env.runtime_dir.join("compcached.log").exists());
        assert!(!env.runtime_dir.join("ramzswap0").exists());
        assert!(env.dev_dir.join("ramzswap0").symlink_metadata().is_err());
        assert!(env.dev_dir.join("ramzswap1").symlink_metadata().is_ok());
        assert!(env.dev_dir.join("x").symlink_metadata().is_ok());
    }
}
