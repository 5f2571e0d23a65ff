//! Backing swaps that the driver's devices have.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use compcache_host::proc;

use super::attributes::{BACKING_DEV, INITSTATE, NONE};
use super::root::Root;
use crate::swap;

impl Root {
    /// The path of a device's backing swap, byte for byte.
    ///
    /// # Errors
    /// Those of reading the attribute.
    pub(crate) fn backing_swap_of(&self, number: u32) -> io::Result<Option<PathBuf>> {
        let mut path = std::fs::read(self.block(number).join(BACKING_DEV))?;
        // The line's end, and not what a path may end with.
        path.pop_if(|byte| *byte == b'\n');
        let set = !path.is_empty() && path != NONE.as_bytes();
        Ok(set.then(|| PathBuf::from(OsString::from_vec(path))))
    }

    /// The number of the initialised device whose backing swap this file or partition is, however
    /// it is named.
    #[must_use]
    pub fn backed_by(&self, path: &Path) -> Option<u32> {
        let serves = |number: &u32| {
            let is_ready = proc::number_in(&self.block(*number).join(INITSTATE)) == Some(1);
            let backing = self.backing_swap_of(*number).ok().flatten();
            is_ready && backing.is_some_and(|backing| swap::same_file(&backing, path))
        };
        self.numbers().into_iter().find(serves)
    }
}
