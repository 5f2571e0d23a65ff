//! Extended attributes, ACLs among them.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;

use fuser::Request;
use rustix::fs::{AtFlags, CWD, XattrFlags};

use super::Passthrough;
use super::caller::is_in_group;
use super::names::permissions;
use crate::inode::source::proc_path;
use crate::inode::stat::stat;

/// The longest list of names, and the longest value, that Linux has (`XATTR_LIST_MAX`,
/// `XATTR_SIZE_MAX`), in bytes.
const MAX: usize = 65_536;

/// Names that only root may see.
const TRUSTED: &[u8] = b"trusted.";

/// Names whose meaning is the file system's own.
const SYSTEM: &[u8] = b"system.";

/// Names of ACLs.
const ACL: &[u8] = b"system.posix_acl_";

/// The name of the ACL that the permission bits are a part of.
const ACCESS_ACL: &[u8] = b"system.posix_acl_access";

/// Whether the kernel has checked who may change this attribute. Names of `system.` it passes on
/// unseen, but for POSIX ACLs: a file system checks them itself, by who calls, and that would be root.
fn may_change(name: &OsStr) -> io::Result<()> {
    let name = name.as_bytes();
    if name.starts_with(SYSTEM) && !name.starts_with(ACL) {
        return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    }
    Ok(())
}

impl Passthrough {
    /// SETXATTR.
    pub(super) fn setxattr(
        &self,
        request: &Request,
        node: u64,
        name: &OsStr,
        value: &[u8],
        flags: i32,
    ) -> io::Result<()> {
        may_change(name)?;
        let inode = self.table.get(node)?;
        let fd = inode.fd(&self.source)?;
        let flags = XattrFlags::from_bits_retain(flags as u32);
        self.keeping_stamp(&inode, &fd, || {
            rustix::fs::setxattr(proc_path(&fd), name, value, flags)?;
            if self.root && request.uid() != 0 && name.as_bytes() == ACCESS_ACL {
                drop_set_group_id(request, &fd)?;
            }
            Ok(())
        })
    }

    /// GETXATTR.
    pub(super) fn getxattr(&self, node: u64, name: &OsStr) -> io::Result<Vec<u8>> {
        let inode = self.table.get(node)?;
        let fd = inode.fd(&self.source)?;
        let mut value = Vec::with_capacity(256);
        match rustix::fs::getxattr(
            proc_path(&fd),
            name,
            rustix::buffer::spare_capacity(&mut value),
        ) {
            Ok(_) => Ok(value),
            Err(rustix::io::Errno::RANGE) => {
                value.reserve(MAX);
                let room = rustix::buffer::spare_capacity(&mut value);
                rustix::fs::getxattr(proc_path(&fd), name, room)?;
                Ok(value)
            }
            // The kernel would refuse access to a file whose ACL it can't learn.
            Err(rustix::io::Errno::OPNOTSUPP) if name.as_bytes().starts_with(ACL) => {
                Err(io::Error::from_raw_os_error(libc::ENODATA))
            }
            Err(e) => Err(e.into()),
        }
    }

    /// LISTXATTR: the names, each ended by NUL.
    pub(super) fn listxattr(&self, request: &Request, node: u64) -> io::Result<Vec<u8>> {
        let inode = self.table.get(node)?;
        let fd = inode.fd(&self.source)?;
        let mut names = Vec::with_capacity(MAX);
        rustix::fs::listxattr(proc_path(&fd), rustix::buffer::spare_capacity(&mut names))?;
        if request.uid() == 0 {
            return Ok(names);
        }
        let seen = names
            .split_inclusive(|&byte| byte == 0)
            .filter(|name| !name.starts_with(TRUSTED));
        Ok(seen.flatten().copied().collect())
    }

    /// REMOVEXATTR.
    pub(super) fn removexattr(&self, node: u64, name: &OsStr) -> io::Result<()> {
        may_change(name)?;
        let inode = self.table.get(node)?;
        let fd = inode.fd(&self.source)?;
        self.keeping_stamp(&inode, &fd, || {
            Ok(rustix::fs::removexattr(proc_path(&fd), name)?)
        })
    }
}

/// Clears set-group-id as a change of permissions by somebody outside the group does.
fn drop_set_group_id(request: &Request, fd: impl AsFd) -> io::Result<()> {
    let found = stat(fd.as_fd())?;
    let mode = u32::from(found.stx_mode);
    if mode & libc::S_ISGID != 0 && !is_in_group(request, found.stx_gid) {
        let cleared = permissions(mode & !libc::S_ISGID);
        rustix::fs::chmodat(CWD, proc_path(fd), cleared, AtFlags::empty())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_file_systems_own_attributes_only_acls_are_changed() {
        for name in [
            "system.nfs4_acl",
            "system.cifs_acl",
            "system.ntfs_acl",
            "system.",
            "system.posix",
        ] {
            let refused = may_change(OsStr::new(name)).unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EOPNOTSUPP), "{name}");
        }
        for name in [
            "system.posix_acl_access",
            "system.posix_acl_default",
            "user.system.a",
            "security.selinux",
            "trusted.a",
        ] {
            assert!(may_change(OsStr::new(name)).is_ok(), "{name}");
        }
    }
}
