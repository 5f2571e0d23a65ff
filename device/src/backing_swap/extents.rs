//! Where the data of a file lies on its disk (`FS_IOC_FIEMAP`; `Documentation/filesystems/fiemap.rst`
//! in the kernel): swapon(2) takes a file only if each page has a place there that stays, and so do we.
//! A write to any other may need memory or space that there is not, just when it must make memory.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;

use rustix::fs::{IFlags, fstatfs, ioctl_getflags};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, opcode};

/// Types of file systems (`linux/magic.h`).
mod magic {
    pub(super) const BCACHEFS: u64 = 0xca45_1a4e;
    pub(super) const BTRFS: u64 = 0x9123_683e;
    pub(super) const F2FS: u64 = 0xf2f5_2010;
    pub(super) const FUSE: u64 = 0x6573_5546;
    pub(super) const NILFS: u64 = 0x3434;
    pub(super) const ZFS: u64 = 0x2fc1_2fc1;
}

/// Flags of an extent (`linux/fiemap.h`).
mod flag {
    pub(super) const LAST: u32 = 0x1;
    pub(super) const UNKNOWN: u32 = 0x2;
    pub(super) const DELALLOC: u32 = 0x4;
    pub(super) const ENCODED: u32 = 0x8;
    pub(super) const DATA_ENCRYPTED: u32 = 0x80;
    pub(super) const NOT_ALIGNED: u32 = 0x100;
    pub(super) const DATA_INLINE: u32 = 0x200;
    pub(super) const DATA_TAIL: u32 = 0x400;
    pub(super) const SHARED: u32 = 0x2000;
}

/// Writes out what waits for a place, before the answer (`FIEMAP_FLAG_SYNC`).
const SYNC: u32 = 1;

/// Why a file is not to be swapped to, with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// FUSE, of ours or of others.
    Fuse,
    /// The file system never writes in place.
    NeverInPlace(&'static str),
    /// The file system does not write in place unless the file has an attribute.
    CopyOnWrite(&'static str, &'static str),
    /// The file system does not say where data is.
    NoExtents,
    /// There is a hole at this byte.
    Hole(u64),
    /// The extent at this byte is not one to write to in place.
    Extent(u64, &'static str),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Fuse => f.write_str(
                "it lies on a FUSE file system, such as a mount of compcache, whose server needs \
                 memory to write a page: put it on ext4 or XFS, or give a partition",
            ),
            Unfit::NeverInPlace(name) => write!(
                f,
                "it lies on {name}, which never writes in place and so needs space and memory to \
                 write a page: put it on ext4 or XFS, or give a partition"
            ),
            Unfit::CopyOnWrite(name, remedy) => write!(
                f,
                "it lies on {name}, which does not write in place and so needs space and memory to \
                 write a page: {remedy}, or give a partition"
            ),
            Unfit::NoExtents => f.write_str(
                "its file system does not say where on a disk it lies (tmpfs has none): put it on \
                 ext4, XFS or Btrfs, or give a partition",
            ),
            Unfit::Hole(at) => write!(
                f,
                "it has a hole at byte {at}, a write there could fail for lack of space: fill a \
                 new file with dd, not truncate, and prepare it with mkswap"
            ),
            Unfit::Extent(at, what) => write!(
                f,
                "its data at byte {at} {what}, so that it can't be written in place: fill a new file \
                 with dd, without compression, snapshots and reflinks, and prepare it with mkswap"
            ),
        }
    }
}

/// Looks at the file system of a file, which need not be open for more than `O_PATH`.
///
/// # Errors
/// Those of fstatfs(2).
pub(super) fn check_file_system(file: impl AsFd) -> io::Result<Result<(), Unfit>> {
    let kind = fstatfs(file)?.f_type.cast_unsigned();
    // Some architectures have 32 bits for it.
    Ok(match kind & 0xffff_ffff {
        magic::FUSE => Err(Unfit::Fuse),
        magic::BCACHEFS => Err(Unfit::NeverInPlace("bcachefs")),
        magic::NILFS => Err(Unfit::NeverInPlace("NILFS2")),
        magic::ZFS => Err(Unfit::NeverInPlace("ZFS")),
        _ => Ok(()),
    })
}

/// Looks whether the first `length` bytes of a file are written in place.
///
/// # Errors
/// Those of the system calls.
pub(super) fn check_extents(file: &File, length: u64) -> io::Result<Result<(), Unfit>> {
    let copies = match fstatfs(file)?.f_type.cast_unsigned() & 0xffff_ffff {
        magic::BTRFS => Some((
            "Btrfs",
            "make a new file there with `truncate -s 0` and `chattr +C` before it is filled",
        )),
        magic::F2FS => Some(("F2FS", "pin it (`f2fs_io pinfile set`)")),
        _ => None,
    };
    if let Some((name, remedy)) = copies
        && !ioctl_getflags(file)?.contains(IFlags::NOCOW)
    {
        return Ok(Err(Unfit::CopyOnWrite(name, remedy)));
    }
    let mut cover = Cover { at: 0, length };
    loop {
        let mut request = Request::new(cover.at, length - cover.at);
        // SAFETY: `Fiemap` is the ioctl that it says, and `request` what the kernel reads and fills,
        // with room for as many extents as it says.
        match unsafe { rustix::ioctl::ioctl(file, Fiemap(&mut request)) } {
            Ok(()) => {}
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOTTY) => {
                return Ok(Err(Unfit::NoExtents));
            }
            Err(e) => return Err(e.into()),
        }
        let mapped = request.extents.len().min(request.head.mapped as usize);
        let extents = &request.extents[..mapped];
        for extent in extents {
            match cover.add(extent) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return Ok(Ok(())),
                Err(unfit) => return Ok(Err(unfit)),
            }
        }
        let last = extents.last().is_none_or(|e| e.flags & flag::LAST != 0);
        if last {
            return Ok(Err(Unfit::Hole(cover.at)));
        }
    }
}

/// How far a file is covered by extents that are fit.
struct Cover {
    at: u64,
    length: u64,
}

impl Cover {
    /// Takes the next extent. Breaks if all is covered.
    fn add(&mut self, extent: &Extent) -> Result<ControlFlow<()>, Unfit> {
        if extent.logical > self.at {
            return Err(Unfit::Hole(self.at));
        }
        let what = match extent.flags {
            flags if flags & flag::DELALLOC != 0 => "has no place yet",
            flags if flags & flag::DATA_INLINE != 0 => "lies in its inode",
            flags if flags & flag::DATA_TAIL != 0 => "shares a block with other data",
            flags if flags & flag::SHARED != 0 => "is shared with a snapshot or another file",
            flags if flags & (flag::ENCODED | flag::DATA_ENCRYPTED) != 0 => {
                "is compressed or encrypted"
            }
            flags if flags & flag::NOT_ALIGNED != 0 => "does not lie in whole blocks",
            flags if flags & flag::UNKNOWN != 0 || extent.physical == 0 => {
                "has no place that is known"
            }
            _ => {
                let end = extent.logical.saturating_add(extent.length);
                if end <= self.at {
                    // An extent that ends before it begins would be asked for forever.
                    return Err(Unfit::Hole(self.at));
                }
                self.at = end;
                let all = self.at >= self.length;
                return Ok(if all {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                });
            }
        };
        Err(Unfit::Extent(extent.logical, what))
    }
}

/// `struct fiemap` without its extents.
#[repr(C)]
#[derive(Debug, Default)]
struct Head {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    count: u32,
    reserved: u32,
}

/// `struct fiemap_extent`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

/// Extents that are asked for at once.
const AT_ONCE: usize = 64;

/// `struct fiemap` with room for extents.
#[repr(C)]
struct Request {
    head: Head,
    extents: [Extent; AT_ONCE],
}

impl Request {
    fn new(start: u64, length: u64) -> Request {
        Request {
            head: Head {
                start,
                length,
                flags: SYNC,
                count: AT_ONCE as u32,
                ..Head::default()
            },
            extents: [Extent::default(); AT_ONCE],
        }
    }
}

/// `FS_IOC_FIEMAP`.
struct Fiemap<'a>(&'a mut Request);

// SAFETY: the opcode is that of `_IOWR('f', 11, struct fiemap)`; the pointer is to a `Request`, which
// is borrowed mutably for as long as this lives, and the kernel writes into nothing else.
unsafe impl Ioctl for Fiemap<'_> {
    type Output = ();

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        opcode::read_write::<Head>(b'f', 11)
    }

    fn as_ptr(&mut self) -> *mut rustix::ffi::c_void {
        std::ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(
        _result: IoctlOutput,
        _extents: *mut rustix::ffi::c_void,
    ) -> rustix::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(logical: u64, length: u64, flags: u32) -> Extent {
        Extent {
            logical,
            physical: 1 << 20,
            length,
            flags,
            ..Extent::default()
        }
    }

    fn judge(extents: &[Extent]) -> Result<bool, Unfit> {
        let mut cover = Cover {
            at: 0,
            length: 8192,
        };
        for extent in extents {
            if cover.add(extent)?.is_break() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    #[test]
    fn all_must_be_covered() {
        assert_eq!(judge(&[extent(0, 8192, 0)]), Ok(true));
        // Merged and reserved space is as good.
        let parts = [extent(0, 4096, 0x800), extent(4096, 9000, 0x1001)];
        assert_eq!(judge(&parts), Ok(true));
        assert_eq!(judge(&parts[..1]), Ok(false));
        assert_eq!(judge(&parts[1..]), Err(Unfit::Hole(0)));
        let apart = [extent(0, 4096, 0), extent(4097, 9000, 0)];
        assert_eq!(judge(&apart), Err(Unfit::Hole(4096)));
        assert_eq!(judge(&[extent(0, 0, 0)]), Err(Unfit::Hole(0)));
    }

    #[test]
    fn each_must_have_a_place_of_its_own() {
        for (flags, words) in [
            (flag::UNKNOWN, "no place that is known"),
            (flag::UNKNOWN | flag::DELALLOC, "no place yet"),
            (flag::ENCODED, "compressed"),
            (flag::ENCODED | flag::DATA_ENCRYPTED, "encrypted"),
            (flag::NOT_ALIGNED, "whole blocks"),
            (flag::NOT_ALIGNED | flag::DATA_INLINE, "in its inode"),
            (flag::NOT_ALIGNED | flag::DATA_TAIL, "shares a block"),
            (flag::SHARED, "snapshot"),
        ] {
            let unfit = judge(&[extent(0, 8192, flags)]).unwrap_err();
            assert!(matches!(unfit, Unfit::Extent(0, _)), "{unfit}");
            let message = unfit.to_string();
            assert!(
                message.contains(words) && message.contains("dd"),
                "{message}"
            );
        }
        let nowhere = Extent {
            physical: 0,
            ..extent(0, 8192, 0)
        };
        assert!(judge(&[nowhere]).is_err());
    }

    #[test]
    fn the_layout_is_that_of_the_kernel() {
        assert_eq!((size_of::<Head>(), size_of::<Extent>()), (32, 56));
        assert_eq!(std::mem::offset_of!(Request, extents), 32);
        let mut request = Request::new(0, 1);
        assert_eq!(Fiemap(&mut request).opcode(), 0xc020_660b);
    }
}
