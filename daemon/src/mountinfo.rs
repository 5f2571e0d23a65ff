//! Lines of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// Where the kernel tells of the mounts that this process sees.
pub(crate) const PATH: &str = "/proc/self/mountinfo";

/// A mount.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The directory of the file system that is its root.
    pub root: PathBuf,
    /// Where it is mounted.
    pub mountpoint: PathBuf,
    /// Type of the file system, with its subtype: `ext4`, `fuse.sshfs`.
    pub kind: &'a str,
    /// Options of the file system, with commas between them.
    pub super_options: &'a str,
}

/// A line; `None` where it is not as the kernel writes them.
pub(crate) fn parse(line: &str) -> Option<Entry<'_>> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, mountpoint) = (unescape(mount.next()?), unescape(mount.next()?));
    let mut file_system = file_system.split(' ');
    Some(Entry {
        root,
        mountpoint,
        kind: file_system.next()?,
        super_options: file_system.nth(1)?,
    })
}

/// Undoes the kernel's `\ooo` escapes of blanks and backslashes.
fn unescape(field: &str) -> PathBuf {
    let bytes = field.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = bytes
            .get(at + 1..at + 4)
            .filter(|_| bytes[at] == b'\\')
            .and_then(|digits| {
                digits.iter().try_fold(0u8, |value, digit| match digit {
                    b'0'..=b'7' => value.checked_mul(8)?.checked_add(digit - b'0'),
                    _ => None,
                })
            });
        out.push(octal.unwrap_or(bytes[at]));
        at += if octal.is_some() { 4 } else { 1 };
    }
    PathBuf::from(OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_line_with_optional_fields_and_blanks() {
        let line = "53 28 0:47 /a /mnt/b\\040c rw,nosuid shared:9 - fuse.compcache /s rw,user_id=7";
        let entry = parse(line).unwrap();
        assert_eq!(entry.root, PathBuf::from("/a"));
        assert_eq!(entry.mountpoint, PathBuf::from("/mnt/b c"));
        assert_eq!(entry.kind, "fuse.compcache");
        assert_eq!(entry.super_options, "rw,user_id=7");
    }

    #[test]
    fn what_is_no_line_is_none() {
        for line in [
            "",
            "53 28 0:47 / /mnt",
            "53 28 0:47 / /mnt rw - ext4",
            "a - b c d",
        ] {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape(r"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescape(r"/a\9zz\04"), Path::new(r"/a\9zz\04"));
        assert_eq!(unescape(r"/\777"), Path::new(r"/\777"));
    }
}
