//! The mounts that the calling thread sees: `/proc/thread-self/mountinfo` (proc_pid_mountinfo(5)).

use std::io;
use std::path::{Path, PathBuf};

use crate::proc::{self, unescape};

/// Where the kernel has them. A thread may have a namespace of mounts of its own.
const PATH: &str = "/proc/thread-self/mountinfo";

/// A mount.
#[derive(Debug, PartialEq, Eq)]
pub struct Mount<'a> {
    /// Its number, which no other has while it is there ([`crate::descriptor::mount_id`]).
    pub id: u64,
    /// The number of the mount that it lies on.
    pub parent: u64,
    /// Device number of the file system, `MAJOR:MINOR` as sysfs writes it.
    pub device: &'a [u8],
    /// The directory of the file system that is its root.
    pub root: PathBuf,
    /// Where it is mounted.
    pub mountpoint: PathBuf,
    /// Options of this mount, with commas between them.
    pub options: &'a [u8],
    /// Type of the file system, with its subtype: `ext4`, `fuse.sshfs`.
    pub fstype: &'a [u8],
    /// What was mounted, as the file system names it: a device, a directory, or any word.
    pub source: PathBuf,
    /// Options of the file system, with commas between them.
    pub super_options: &'a [u8],
}

impl<'a> Mount<'a> {
    /// A line of the table; `None` if it is not as the kernel writes them.
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        Some(Mount {
            id: proc::number(fields.next()?)?,
            parent: proc::number(fields.next()?)?,
            device: fields.next()?,
            root: unescape(fields.next()?),
            mountpoint: unescape(fields.next()?),
            options: fields.next()?,
            // What stands before the hyphen are tags, as many as there are.
            fstype: fields.find(|field| *field == b"-").and(fields.next())?,
            source: unescape(fields.next()?),
            super_options: fields.next()?,
        })
    }

    /// Whether the file system has an option.
    #[must_use]
    pub fn has_super_option(&self, option: &str) -> bool {
        self.super_options
            .split(|byte| *byte == b',')
            .any(|have| have == option.as_bytes())
    }
}

/// The table's text, for [`parse`].
///
/// # Errors
/// If /proc is not mounted.
pub fn read() -> io::Result<Vec<u8>> {
    proc::read(Path::new(PATH))
}

/// The mounts of a table, the oldest first. Lines that are not as the kernel writes them are left
/// out.
pub fn parse(table: &[u8]) -> impl DoubleEndedIterator<Item = Mount<'_>> {
    proc::lines(table).filter_map(Mount::parse)
}

/// The mount that is seen at a path: the last one there.
#[must_use]
pub fn find<'a>(table: &'a [u8], mountpoint: &Path) -> Option<Mount<'a>> {
    parse(table).rfind(|mount| mount.mountpoint == mountpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_tags_and_blanks() {
        let line = b"53 28 0:47 /a /mnt/b\\040c rw,nosuid shared:9 master:1 - fuse.compcache /s\\040t rw,user_id=7";
        let mount = Mount::parse(line).unwrap();
        let expected = Mount {
            id: 53,
            parent: 28,
            device: b"0:47",
            root: PathBuf::from("/a"),
            mountpoint: PathBuf::from("/mnt/b c"),
            options: b"rw,nosuid",
            fstype: b"fuse.compcache",
            source: PathBuf::from("/s t"),
            super_options: b"rw,user_id=7",
        };
        assert_eq!(mount, expected);
        assert!(mount.has_super_option("user_id=7"));
        assert!(!mount.has_super_option("user_id"));
    }

    #[test]
    fn a_mount_point_may_be_called_like_the_separator() {
        let line = b"53 28 0:47 / /mnt/\\040-\\040 rw - ext4 /dev/vda rw";
        assert_eq!(
            Mount::parse(line).unwrap().mountpoint,
            Path::new("/mnt/ - ")
        );
    }

    #[test]
    fn what_is_no_line_is_left_out() {
        let table = b"\n53 28 0:47 / /mnt\n53 28 0:47 / /mnt rw - ext4\na - b c d\n\xff\n";
        assert_eq!(parse(table).count(), 0);
    }

    #[test]
    fn the_last_mount_at_a_path_counts() {
        let table = b"36 35 98:0 / /mnt rw - ext4 /dev/sda1 rw\n\
            37 35 0:50 / /mnt\\040two rw - fuse.compcache /srv rw\n\
            38 35 0:51 / /mnt rw - fuse.compcache /srv rw\n";
        let device = |path| find(table, Path::new(path)).map(|mount| mount.device);
        assert_eq!(device("/mnt"), Some(&b"0:51"[..]));
        assert_eq!(device("/mnt two"), Some(&b"0:50"[..]));
        assert_eq!(device("/other"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(table in proptest::collection::vec(0u8.., 0..200)) {
            let _ = parse(&table).count();
        }
    }
}
