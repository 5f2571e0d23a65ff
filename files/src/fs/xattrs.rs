//! Extended attributes, ACLs among them.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use fuser::Request;
use rustix::fs::XattrFlags;

use super::Passthrough;
use crate::inode::source::proc_path;

/// The longest list of names, and the longest value, that Linux has (`XATTR_LIST_MAX`,
/// `XATTR_SIZE_MAX`), in bytes.
const MAX: usize = 65_536;

/// Names that only root may see.
const TRUSTED: &[u8] = b"trusted.";

/// Names of ACLs.
const ACL: &[u8] = b"system.posix_acl_";

impl Passthrough {
    /// SETXATTR. The kernel has checked who may.
    pub(super) fn setxattr(
        &self,
        node: u64,
        name: &OsStr,
        value: &[u8],
        flags: i32,
    ) -> io::Result<()> {
        let inode = self.table.get(node)?;
        let fd = inode.fd(&self.source)?;
        let flags = XattrFlags::from_bits_retain(flags as u32);
        self.keeping_stamp(&inode, &fd, || {
            Ok(rustix::fs::setxattr(proc_path(&fd), name, value, flags)?)
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
        let inode = self.table.get(node)?;
        let fd = inode.fd(&self.source)?;
        self.keeping_stamp(&inode, &fd, || {
            Ok(rustix::fs::removexattr(proc_path(&fd), name)?)
        })
    }
}
