//! Mounting, unmounting, and `fusermount3` for those who may do neither.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;

use fuser::{Config, MountOption, Session, SessionACL};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use super::aside::{Aside, SUBTYPE};
use super::flags::Flags;
use super::point::{Directory, Mounted};
use crate::error::FilesError;
use crate::fs::Service;

/// The program that mounts for those who are not root.
const FUSERMOUNT: &str = "fusermount3";

/// Mounts as root; `beneath` the mount whose root the directory is, if the kernel can, on top of it otherwise.
pub(super) fn mount(
    service: Service,
    directory: &Directory,
    name: &OsStr,
    flags: Flags,
    config: Config,
    beneath: bool,
) -> Result<(Session<Service>, Mounted), FilesError> {
    let mountpoint = directory.path();
    let device = open_device()?;
    let failed = |e, remedy| FilesError::system("mount on", mountpoint, e, remedy);
    let refused = |e: io::Error| {
        let remedy = match e.raw_os_error() {
            Some(libc::EPERM) => Some("CAP_SYS_ADMIN is needed, which containers lack"),
            Some(libc::ENODEV) => Some("load the kernel's fuse module (modprobe fuse)"),
            _ => None,
        };
        failed(e, remedy)
    };
    let others = config.acl == SessionACL::All;
    let made = Aside::make(&device, name, &flags, others).map_err(refused)?;
    let acl = config.acl;
    let session = Session::from_fd(service, device, acl, config).map_err(|e| failed(e, None))?;
    let put = || match beneath.then(|| made.put_beneath(directory.fd())) {
        None | Some(Err(Errno::INVAL)) => made.put_on(directory.fd()),
        Some(put) => put,
    };
    match put() {
        // What was dead has been removed since.
        Err(Errno::INVAL) if beneath && !directory.is_in_tree() => {
            made.put_on(Directory::open("mount on", mountpoint)?.fd())
        }
        put => put,
    }
    .map_err(|e| refused(e.into()))?;
    let mounted = directory.mounted_as(&made);
    let mounted = mounted.inspect_err(|_| made.take_back())?;
    Ok((session, mounted))
}

fn open_device() -> Result<OwnedFd, FilesError> {
    let opened = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_CLOEXEC)
        .open("/dev/fuse");
    opened.map(OwnedFd::from).map_err(|e| {
        let remedy = match e.kind() {
            io::ErrorKind::PermissionDenied => "give this user access to it",
            _ => "load the kernel's fuse module (modprobe fuse)",
        };
        FilesError::system("open", Path::new("/dev/fuse"), e, remedy)
    })
}

/// Mounts by `fusermount3`, which takes a path, and checks itself that the user may write to what it leads to.
pub(super) fn fusermount(
    service: Service,
    directory: &Directory,
    name: &OsStr,
    flags: Flags,
    mut config: Config,
) -> Result<(Session<Service>, Mounted), FilesError> {
    let mountpoint = directory.path();
    let failed = |e, remedy| FilesError::system("mount on", mountpoint, e, remedy);
    drop(open_device()?);
    if let Err(e) = Command::new(FUSERMOUNT).arg("--version").output() {
        return Err(failed(e, Some(NO_FUSERMOUNT)));
    }
    // It reads options apart at commas.
    let name = name.to_string_lossy();
    let name = name.replace('\\', "\\\\").replace(',', "\\,");
    config.mount_options = vec![
        MountOption::FSName(name),
        MountOption::Subtype(SUBTYPE.to_owned()),
        MountOption::DefaultPermissions,
    ];
    for (flag, option) in [
        (MountFlags::RDONLY, MountOption::RO),
        (MountFlags::NOEXEC, MountOption::NoExec),
        (MountFlags::NOATIME, MountOption::NoAtime),
    ] {
        if flags.0.contains(flag) {
            config.mount_options.push(option);
        }
    }
    let session = Session::new(service, mountpoint, &config).map_err(|e| {
        let others = config.acl != SessionACL::Owner;
        let remedy = (e.kind() == io::ErrorKind::PermissionDenied && others)
            .then_some("set user_allow_other in /etc/fuse.conf, or mount without allow_other");
        failed(e, remedy)
    })?;
    // If it is elsewhere, the session takes it away as it goes.
    let mounted = directory.mounted()?;
    Ok((session, mounted))
}

/// What to do if `fusermount3` is missing.
const NO_FUSERMOUNT: &str =
    "without root the program fusermount3 is needed: install the package fuse3";

/// Unmounts; `lazy` even if it is in use. EINVAL if it is not mounted any more.
pub(super) fn unmount(mounted: &Mounted, lazy: bool, root: bool) -> Result<(), FilesError> {
    let found = mounted.locate()?;
    if !root {
        return unmount_by_fusermount(&found.path, lazy);
    }
    // Not MNT_FORCE: it ends the connection, and with it what programs have not written yet.
    let mut flags = UnmountFlags::NOFOLLOW;
    if lazy {
        flags |= UnmountFlags::DETACH;
    }
    match rustix::mount::unmount(&found.reach, flags) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::BUSY) => Err(FilesError::Busy(found.path)),
        Err(e) => Err(FilesError::system("unmount", &found.path, e.into(), None)),
    }
}

fn unmount_by_fusermount(mountpoint: &Path, lazy: bool) -> Result<(), FilesError> {
    let mut command = Command::new(FUSERMOUNT);
    command.arg("-u");
    if lazy {
        command.arg("-z");
    }
    let done = command
        .arg("--")
        .arg(mountpoint)
        .env("LC_ALL", "C")
        .output()
        .map_err(|e| FilesError::system("unmount", mountpoint, e, NO_FUSERMOUNT))?;
    if done.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&done.stderr);
    if stderr.contains("busy") {
        return Err(FilesError::Busy(mountpoint.to_owned()));
    }
    let error = if stderr.contains("not found") || stderr.contains("Invalid argument") {
        io::Error::from_raw_os_error(libc::EINVAL)
    } else {
        io::Error::other(stderr.trim().to_owned())
    };
    Err(FilesError::system("unmount", mountpoint, error, None))
}

/// Aborts the connection of a mount, as far as this user may, and takes it out of the tree if it is there:
/// programs get errors in place of answers.
pub(super) fn abort(mounted: &Mounted, root: bool) {
    if let Some((_, connection)) = mounted.device.split_once(':') {
        let path = format!("/sys/fs/fuse/connections/{connection}/abort");
        if let Err(e) = std::fs::write(&path, "1") {
            tracing::debug!("{path}: {e}");
        }
    }
    if !mounted.is_in_tree() {
        return;
    }
    let taken_out = mounted.locate().and_then(|found| {
        if !root {
            return unmount_by_fusermount(&found.path, true);
        }
        // If fusectl is not mounted, this aborts it.
        let flags = UnmountFlags::FORCE | UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        rustix::mount::unmount(&found.reach, flags)
            .map_err(|e| FilesError::system("unmount", &found.path, e.into(), None))
    });
    if let Err(e) = taken_out {
        tracing::error!("{e}");
    }
}

/// Takes away a mount that nobody will serve.
pub(super) fn abandon(mounted: &Mounted, root: bool) {
    if let Err(e) = unmount(mounted, true, root) {
        tracing::error!("{e}");
    }
}
