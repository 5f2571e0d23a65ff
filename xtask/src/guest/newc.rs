//! Writes an archive in the `newc` form of cpio, which the kernel unpacks as its first root
//! file system (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;

const MODE_DIRECTORY: u32 = 0o040_755;
const MODE_FILE: u32 = 0o100_000;
const MODE_LINK: u32 = 0o120_777;

/// An archive that is being written.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    directories: BTreeSet<String>,
    entries: u32,
}

impl Archive {
    /// Adds a directory with those above it.
    pub(super) fn directory(&mut self, path: &str) {
        let mut at = 0;
        let path = path.trim_matches('/');
        while at < path.len() {
            at = path[at..].find('/').map_or(path.len(), |slash| at + slash);
            if self.directories.insert(path[..at].to_string()) {
                self.entry(&path[..at], MODE_DIRECTORY, &[]);
            }
            at += 1;
        }
    }

    /// Adds a file, with the directories above it. `mode` is its permissions.
    pub(super) fn file(&mut self, path: &str, mode: u32, contents: &[u8]) {
        self.parents(path);
        self.entry(path.trim_matches('/'), MODE_FILE | mode, contents);
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, path: &str, to: &str) {
        self.parents(path);
        self.entry(path.trim_matches('/'), MODE_LINK, to.as_bytes());
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.pad(512);
        self.bytes
    }

    fn parents(&mut self, path: &str) {
        if let Some((above, _)) = path.trim_matches('/').rsplit_once('/') {
            let above = above.to_string();
            self.directory(&above);
        }
    }

    fn entry(&mut self, name: &str, mode: u32, contents: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(contents.len()).expect("an initramfs file is below 4 GiB");
        let length = u32::try_from(name.len() + 1).expect("a path is short");
        // Inode, mode, uid, gid, links, time, size, device (2), its own device (2), name, check.
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, length, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad(4);
        self.bytes.extend_from_slice(contents);
        self.pad(4);
    }

    fn pad(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entries of an archive: name, mode, contents.
    fn read(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        loop {
            assert_eq!(&bytes[..6], b"070701");
            let field = |n: usize| {
                let digits = std::str::from_utf8(&bytes[6 + 8 * n..14 + 8 * n]).unwrap();
                u32::from_str_radix(digits, 16).unwrap()
            };
            let (mode, size, length) = (field(1), field(6) as usize, field(11) as usize);
            let name = String::from_utf8(bytes[110..110 + length - 1].to_vec()).unwrap();
            let start = (110 + length).next_multiple_of(4);
            if name == "TRAILER!!!" {
                return entries;
            }
            entries.push((name, mode, bytes[start..start + size].to_vec()));
            bytes = &bytes[(start + size).next_multiple_of(4)..];
        }
    }

    #[test]
    fn directories_come_first_and_once() {
        let mut archive = Archive::default();
        archive.file("/usr/lib/a", 0o644, b"12345");
        archive.file("usr/lib/b", 0o755, b"");
        archive.link("bin/sh", "busybox");
        let entries = read(&archive.finish());
        let names: Vec<&str> = entries.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(
            names,
            ["usr", "usr/lib", "usr/lib/a", "usr/lib/b", "bin", "bin/sh"]
        );
        assert_eq!(entries[0].1, 0o040_755);
        assert_eq!(
            (entries[2].1, entries[2].2.as_slice()),
            (0o100_644, b"12345".as_slice())
        );
        assert_eq!(
            (entries[5].1, entries[5].2.as_slice()),
            (0o120_777, b"busybox".as_slice())
        );
    }

    #[test]
    fn archives_may_follow_each_other() {
        assert_eq!(Archive::default().finish().len() % 512, 0);
    }
}
