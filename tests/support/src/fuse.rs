//! FUSE file systems that nobody serves.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use rustix::mount::{MountFlags, mount};

/// Mounts at `path`, as root, what a server that was killed leaves: a FUSE file system of the type `kind`, whose root
/// has this mode.
///
/// # Panics
/// If the kernel refuses.
pub fn mount_dead(path: &Path, kind: &str, root_mode: u32) {
    let fuse = File::options().read(true).write(true).open("/dev/fuse");
    let fuse = fuse.expect("/dev/fuse");
    let options = format!(
        "fd={},rootmode={root_mode:o},user_id=0,group_id=0",
        fuse.as_raw_fd()
    );
    let options = CString::new(options).expect("no NUL");
    let flags = MountFlags::empty();
    mount("test", path, kind, flags, options.as_c_str()).expect("a mount");
}
