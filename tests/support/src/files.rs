//! Files and directories that tests begin with.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

/// A temporary directory that every user may look into.
///
/// # Panics
/// If it can't be made.
#[must_use]
pub fn open_directory() -> TempDir {
    tempfile::Builder::new()
        .prefix("compcache-test-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .expect("a temporary directory")
}

/// Writes a file of `bytes` without holes, to its disk. It is its owner's alone, as a file must be
/// that is to be swapped to.
///
/// # Panics
/// If that fails.
pub fn filled_file(path: &Path, bytes: u64) {
    let mut file = File::create(path).expect("a new file");
    let mode = fs::Permissions::from_mode(0o600);
    file.set_permissions(mode).expect("the file's mode");
    let block = vec![0xa5; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let part = left.min(block.len() as u64);
        file.write_all(&block[..part as usize])
            .expect("room for the file");
        left -= part;
    }
    file.sync_all().expect("the file on its disk");
}
