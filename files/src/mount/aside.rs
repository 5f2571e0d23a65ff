//! A mount that is made aside, where no program can reach it, and put into the tree once it is served.
//!
//! It may be put beneath a dead mount, which covers the directory until then: whenever this process ends, one of the
//! two is there.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use compcache_host::descriptor;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};

use super::flags::Flags;

/// The type of such a file system without the part that is every FUSE file system's.
pub(super) const SUBTYPE: &str = "compcache";

/// A mount that is in no tree, or was not when it was made; one that is in none ends with this.
pub(super) struct Aside(OwnedFd);

impl Aside {
    /// A FUSE file system served through `device`, called `name` in the table of mounts; `others`: for all users.
    ///
    /// # Errors
    /// Those of fsopen(2), fsconfig(2) and fsmount(2).
    pub(super) fn make(
        device: &OwnedFd,
        name: &OsStr,
        flags: &Flags,
        others: bool,
    ) -> io::Result<Aside> {
        let context = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
        let context = context.as_fd();
        let user = rustix::process::geteuid().as_raw().to_string();
        let group = rustix::process::getegid().as_raw().to_string();
        fsconfig_set_string(context, "source", name)?;
        fsconfig_set_string(context, "subtype", SUBTYPE)?;
        for (key, value) in [
            ("fd", device.as_raw_fd().to_string()),
            ("rootmode", format!("{:o}", libc::S_IFDIR)),
            ("user_id", user),
            ("group_id", group),
        ] {
            fsconfig_set_string(context, key, value)?;
        }
        fsconfig_set_flag(context, "default_permissions")?;
        if others {
            fsconfig_set_flag(context, "allow_other")?;
        }
        let mut attributes = MountAttrFlags::empty();
        for (flag, attribute) in [
            (MountFlags::RDONLY, MountAttrFlags::MOUNT_ATTR_RDONLY),
            (MountFlags::NOSUID, MountAttrFlags::MOUNT_ATTR_NOSUID),
            (MountFlags::NODEV, MountAttrFlags::MOUNT_ATTR_NODEV),
            (MountFlags::NOEXEC, MountAttrFlags::MOUNT_ATTR_NOEXEC),
            (MountFlags::NOATIME, MountAttrFlags::MOUNT_ATTR_NOATIME),
        ] {
            attributes.set(attribute, flags.0.contains(flag));
        }
        if flags.0.contains(MountFlags::RDONLY) {
            fsconfig_set_flag(context, "ro")?;
        }
        fsconfig_create(context)?;
        Ok(Aside(fsmount(
            context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            attributes,
        )?))
    }

    /// Its number in the kernel's table, once it is in the tree.
    ///
    /// # Errors
    /// If /proc is not mounted.
    pub(super) fn id(&self) -> io::Result<u64> {
        descriptor::mount_id(&self.0)
    }

    /// Puts it on the directory.
    ///
    /// # Errors
    /// Those of move_mount(2).
    pub(super) fn put_on(&self, directory: &OwnedFd) -> Result<(), Errno> {
        self.put(directory, MoveMountFlags::empty())
    }

    /// Puts it beneath the mount whose root the directory is, which covers it from there on.
    ///
    /// # Errors
    /// `EINVAL` before Linux 6.5, and if that mount is not in the tree any more.
    pub(super) fn put_beneath(&self, directory: &OwnedFd) -> Result<(), Errno> {
        self.put(directory, MoveMountFlags::MOVE_MOUNT_BENEATH)
    }

    fn put(&self, directory: &OwnedFd, how: MoveMountFlags) -> Result<(), Errno> {
        let by_descriptor =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(
            self.0.as_fd(),
            "",
            directory.as_fd(),
            "",
            by_descriptor | how,
        )
    }

    /// Takes it out of the tree, and all that lies on it.
    pub(super) fn take_back(&self) {
        // What is unmounted is what lies on top: itself last.
        while unmount(descriptor::path(&self.0), UnmountFlags::DETACH).is_ok() {}
    }
}
