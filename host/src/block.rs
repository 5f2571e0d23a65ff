//! `/sys/block`: the block devices, as the kernel describes them
//! (`Documentation/ABI/stable/sysfs-block`).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The file of the loop device that a directory such as `/sys/block/loop0` describes; `None` if it has
/// none, or is no loop device. The file may have been deleted.
#[must_use]
pub fn backing_file(device: &Path) -> Option<PathBuf> {
    let text = std::fs::read(device.join("loop/backing_file")).ok()?;
    let text = text.strip_suffix(b"\n").unwrap_or(&text);
    let text = text.strip_suffix(b" (deleted)").unwrap_or(text);
    Some(PathBuf::from(OsString::from_vec(text.to_vec())))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_file_of_a_loop_device() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(backing_file(dir.path()), None);
        fs::create_dir(dir.path().join("loop")).unwrap();
        for (text, file) in [
            ("/a b\n", "/a b"),
            ("/run/x (deleted)\n", "/run/x"),
            ("/x (deleted) y", "/x (deleted) y"),
        ] {
            fs::write(dir.path().join("loop/backing_file"), text).unwrap();
            assert_eq!(backing_file(dir.path()), Some(PathBuf::from(file)));
        }
    }
}
