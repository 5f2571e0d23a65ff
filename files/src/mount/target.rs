//! What is to be taken away of a mount: shared with threads that may wait for SOURCE for ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use compcache_host::mountinfo;

use super::ended::Ended;
use super::kernel;
use crate::content::Contents;
use crate::error::FilesError;

/// A mount that is in the kernel's tree, and what writes out its dirty pages.
pub(super) struct Target {
    pub(super) mountpoint: PathBuf,
    pub(super) contents: Arc<Contents>,
    pub(super) ended: Arc<Ended>,
    root: bool,
    /// Its device number, `MAJOR:MINOR`, if the kernel's table of mounts could be read.
    device: Option<String>,
}

impl Target {
    /// Of the mount that is at `mountpoint` now.
    pub(super) fn new(
        mountpoint: PathBuf,
        root: bool,
        contents: Arc<Contents>,
        ended: Arc<Ended>,
    ) -> Self {
        Target {
            device: device_at(&mountpoint),
            mountpoint,
            contents,
            ended,
            root,
        }
    }

    /// Writes all dirty pages out to SOURCE.
    ///
    /// # Errors
    /// The first failure; the pages stay dirty.
    pub(super) fn sync(&self) -> Result<(), FilesError> {
        self.contents.sync().map_err(|e| {
            let remedy = "they are kept: see that SOURCE can be written to, then try again";
            FilesError::system("write out the dirty pages of", &self.mountpoint, e, remedy)
        })
    }

    /// Takes it out of the tree; `lazy` even if it is in use. No error if it is out already.
    ///
    /// # Errors
    /// [`FilesError::Busy`], and those of the system.
    pub(super) fn take_out(&self, lazy: bool) -> Result<(), FilesError> {
        if !self.is_in_tree() {
            return Ok(());
        }
        match kernel::unmount(&self.mountpoint, lazy, self.root) {
            // Somebody else was faster: its end is near.
            Err(FilesError::System { source, .. })
                if matches!(source.raw_os_error(), Some(libc::EINVAL)) => {}
            other => other?,
        }
        Ok(())
    }

    /// Whether it is what is seen at its path: it may be out of the tree, and another one be there. Asks no
    /// file system.
    pub(super) fn is_in_tree(&self) -> bool {
        self.device.is_none() || device_at(&self.mountpoint) == self.device
    }

    /// Ends its connection to the kernel: programs get errors, and nobody waits for this process.
    pub(super) fn abort(&self) {
        let at = self.is_in_tree().then_some(self.mountpoint.as_path());
        kernel::abort(self.device.as_deref(), at, self.root);
    }
}

/// The device number of the file system that is mounted at a path.
fn device_at(mountpoint: &Path) -> Option<String> {
    let table = mountinfo::read().ok()?;
    let found = mountinfo::find(&table, mountpoint)?;
    Some(String::from_utf8_lossy(found.device).into_owned())
}
