//! Backing swaps that the driver's devices have.

use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use super::attributes::{BACKING_DEV, NONE};
use super::{KernelDevice, Root};
use crate::swap;

impl Root {
    /// The number of the initialised device whose backing swap this file or partition is, however
    /// it is named.
    #[must_use]
    pub fn backed_by(&self, path: &Path) -> Option<u32> {
        let serves = |device: &KernelDevice| {
            let backing = device.backing_swap().ok().flatten();
            device.is_ready() && backing.is_some_and(|backing| swap::same_file(&backing, path))
        };
        let devices = self.devices();
        devices.iter().find(|d| serves(d)).map(KernelDevice::number)
    }
}

impl KernelDevice {
    /// The path of its backing swap, byte for byte.
    ///
    /// # Errors
    /// Those of reading the attribute.
    pub fn backing_swap(&self) -> io::Result<Option<PathBuf>> {
        let mut path = self.read_bytes(BACKING_DEV)?;
        // The line's end, and not what a path may end with.
        path.pop_if(|byte| *byte == b'\n');
        let set = !path.is_empty() && path != NONE.as_bytes();
        Ok(set.then(|| PathBuf::from(std::ffi::OsString::from_vec(path))))
    }
}
