//! What SOURCE says of a file, as the kernel and the cache want to hear it.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fuser::{FileAttr, FileType, INodeNo};
use rustix::fs::{AtFlags, Statx, StatxFlags, StatxTimestamp, makedev};

use crate::content::{FileKey, Stamp};

/// Asks of the file that `fd` is open on.
///
/// # Errors
/// Those of statx(2).
pub(crate) fn stat(fd: impl AsFd) -> io::Result<Statx> {
    stat_at(fd, "", AtFlags::EMPTY_PATH)
}

/// Asks of the file that has the name `name` in `directory`; symbolic links are not followed.
///
/// # Errors
/// Those of statx(2).
pub(crate) fn stat_name(directory: impl AsFd, name: &Path) -> io::Result<Statx> {
    stat_at(directory, name, AtFlags::SYMLINK_NOFOLLOW)
}

fn stat_at(fd: impl AsFd, path: impl rustix::path::Arg, flags: AtFlags) -> io::Result<Statx> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    Ok(rustix::fs::statx(fd, path, flags, wanted)?)
}

fn nanoseconds(time: StatxTimestamp) -> i128 {
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

/// Which file it is.
pub(crate) fn key(stat: &Statx) -> FileKey {
    let born = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
    FileKey {
        dev: makedev(stat.stx_dev_major, stat.stx_dev_minor),
        ino: stat.stx_ino,
        birth: if born { nanoseconds(stat.stx_btime) } else { 0 },
    }
}

/// What tells that its content was changed.
pub(crate) fn stamp(stat: &Statx) -> Stamp {
    Stamp {
        size: stat.stx_size,
        mtime: nanoseconds(stat.stx_mtime),
        ctime: nanoseconds(stat.stx_ctime),
    }
}

/// A stamp in one word that is never 0. That two differ and have the same word does not happen
/// in practice (2^-64).
pub(crate) fn digest(stamp: Stamp) -> u64 {
    let mut word = 0_u64;
    for part in [stamp.size, stamp.mtime as u64, stamp.ctime as u64] {
        word = mix(word ^ part);
    }
    word.max(1)
}

/// Spreads every bit over the word (SplitMix64's finaliser, a bijection).
pub(crate) fn mix(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The type in a mode.
pub(crate) fn kind(mode: u32) -> FileType {
    match mode & libc::S_IFMT {
        libc::S_IFDIR => FileType::Directory,
        libc::S_IFLNK => FileType::Symlink,
        libc::S_IFIFO => FileType::NamedPipe,
        libc::S_IFSOCK => FileType::Socket,
        libc::S_IFCHR => FileType::CharDevice,
        libc::S_IFBLK => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

/// Whether it is a directory.
pub(crate) fn is_directory(stat: &Statx) -> bool {
    u32::from(stat.stx_mode) & libc::S_IFMT == libc::S_IFDIR
}

/// The attributes for the kernel; size and mtime as `stamp` has them.
pub(crate) fn attributes(node: u64, stat: &Statx, stamp: Stamp) -> FileAttr {
    let mode = u32::from(stat.stx_mode);
    FileAttr {
        ino: INodeNo(node),
        size: stamp.size,
        blocks: stat.stx_blocks,
        atime: time(nanoseconds(stat.stx_atime)),
        mtime: time(stamp.mtime),
        ctime: time(stamp.ctime),
        crtime: SystemTime::UNIX_EPOCH,
        kind: kind(mode),
        perm: (mode & 0o7777) as u16,
        nlink: stat.stx_nlink,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        rdev: encode_device(stat.stx_rdev_major, stat.stx_rdev_minor),
        blksize: stat.stx_blksize,
        flags: 0,
    }
}

/// Attributes of which only the number and the type mean anything.
pub(crate) fn bare_attributes(node: u64, kind: FileType) -> FileAttr {
    FileAttr {
        ino: INodeNo(node),
        size: 0,
        blocks: 0,
        atime: SystemTime::UNIX_EPOCH,
        mtime: SystemTime::UNIX_EPOCH,
        ctime: SystemTime::UNIX_EPOCH,
        crtime: SystemTime::UNIX_EPOCH,
        kind,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

fn time(nanoseconds: i128) -> SystemTime {
    let length = Duration::new(
        (nanoseconds.unsigned_abs() / 1_000_000_000) as u64,
        (nanoseconds.unsigned_abs() % 1_000_000_000) as u32,
    );
    let time = if nanoseconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(length)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(length)
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A device number as the kernel's `new_encode_dev` makes it.
fn encode_device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// The device number that `new_encode_dev` was given, as mknod(2) wants it.
pub(crate) fn decode_device(device: u32) -> u64 {
    let major = (device & 0xf_ff00) >> 8;
    let minor = (device & 0xff) | ((device >> 12) & 0xf_ff00);
    makedev(major, minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_survive() {
        for (major, minor) in [(0, 0), (8, 1), (259, 70_000), (4095, (1 << 20) - 1)] {
            let encoded = encode_device(major, minor);
            assert_eq!(decode_device(encoded), makedev(major, minor));
        }
    }

    #[test]
    fn times_before_1970_keep_their_nanoseconds() {
        let before = time(-1_500_000_000);
        let span = SystemTime::UNIX_EPOCH.duration_since(before).unwrap();
        assert_eq!(span, Duration::from_millis(1500));
    }

    #[test]
    fn a_stamp_that_differs_has_another_digest() {
        let a = Stamp {
            size: 1,
            mtime: 2,
            ctime: 3,
        };
        let b = Stamp { mtime: 3, ..a };
        let c = Stamp { ctime: 2, ..b };
        assert_eq!(digest(a), digest(a));
        assert_ne!(digest(a), digest(b));
        assert_ne!(digest(b), digest(c));
    }
}
