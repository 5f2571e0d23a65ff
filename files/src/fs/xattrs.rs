//! Extended attributes, ACLs among them.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use compcache_host::descriptor;
use rustix::fs::XattrFlags;

use super::passthrough::Passthrough;
use crate::identity::Caller;

/// The longest list of names, and the longest value, that Linux has (`XATTR_LIST_MAX`,
/// `XATTR_SIZE_MAX`), in bytes.
const MAX: usize = 65_536;

/// Names whose meaning is the file system's own.
const SYSTEM: &[u8] = b"system.";

/// The attribute that the kernel removes itself when anybody writes to the file. It lets only those who
/// may remove it otherwise.
const CAPABILITY: &[u8] = b"security.capability";

/// Names of ACLs.
const ACL: &[u8] = b"system.posix_acl_";

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
        caller: Caller,
        node: u64,
        name: &OsStr,
        value: &[u8],
        flags: i32,
    ) -> io::Result<()> {
        may_change(name)?;
        let inode = self.table.get(node)?;
        let fd = inode.fd(&self.source)?;
        let flags = XattrFlags::from_bits_retain(flags as u32);
        if name.as_bytes() == CAPABILITY
            && let Some(content) = self.content(&inode)
        {
            // Or writing out what is dirty would remove it.
            content.write_dirty()?;
        }
        self.keeping_stamp(&inode, &fd, || {
            let _acting = caller.act()?;
            Ok(rustix::fs::setxattr(
                descriptor::path(&fd),
                name,
                value,
                flags,
            )?)
        })
    }

    /// GETXATTR.
    pub(super) fn getxattr(&self, caller: Caller, node: u64, name: &OsStr) -> io::Result<Vec<u8>> {
        let inode = self.table.get(node)?;
        let fd = inode.fd(&self.source)?;
        let is_acl = name.as_bytes().starts_with(ACL);
        // By ACLs the kernel judges everybody.
        let _acting = if is_acl { None } else { Some(caller.act()?) };
        let mut value = Vec::with_capacity(256);
        match rustix::fs::getxattr(
            descriptor::path(&fd),
            name,
            rustix::buffer::spare_capacity(&mut value),
        ) {
            Ok(_) => Ok(value),
            Err(rustix::io::Errno::RANGE) => {
                value.reserve(MAX);
                let room = rustix::buffer::spare_capacity(&mut value);
                rustix::fs::getxattr(descriptor::path(&fd), name, room)?;
                Ok(value)
            }
            // The kernel would refuse access to a file whose ACL it can't learn.
            Err(rustix::io::Errno::OPNOTSUPP) if is_acl => {
                Err(io::Error::from_raw_os_error(libc::ENODATA))
            }
            Err(e) => Err(e.into()),
        }
    }

    /// LISTXATTR: the names, each ended by NUL.
    pub(super) fn listxattr(&self, caller: Caller, node: u64) -> io::Result<Vec<u8>> {
        let inode = self.table.get(node)?;
        let fd = inode.fd(&self.source)?;
        let mut names = Vec::with_capacity(MAX);
        let _acting = caller.act()?;
        rustix::fs::listxattr(
            descriptor::path(&fd),
            rustix::buffer::spare_capacity(&mut names),
        )?;
        Ok(names)
    }

    /// REMOVEXATTR.
    pub(super) fn removexattr(&self, caller: Caller, node: u64, name: &OsStr) -> io::Result<()> {
        may_change(name)?;
        let inode = self.table.get(node)?;
        let fd = inode.fd(&self.source)?;
        self.keeping_stamp(&inode, &fd, || {
            let by_kernel = name.as_bytes() == CAPABILITY;
            let _acting = if by_kernel { None } else { Some(caller.act()?) };
            Ok(rustix::fs::removexattr(descriptor::path(&fd), name)?)
        })
    }
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
