//! What is to be taken away of a mount: shared with threads that may wait for SOURCE for ever.

use std::sync::Arc;

use super::ended::Ended;
use super::kernel;
use super::point::Mounted;
use crate::content::Contents;
use crate::error::FilesError;

/// A mount that is in the kernel's tree, and what writes out its dirty pages.
pub(super) struct Target {
    pub(super) mounted: Arc<Mounted>,
    pub(super) contents: Arc<Contents>,
    pub(super) ended: Arc<Ended>,
    /// Made by mount(2), not by `fusermount3`.
    pub(super) root: bool,
}

impl Target {
    /// Writes all dirty pages out to SOURCE.
    ///
    /// # Errors
    /// The first failure; the pages stay dirty.
    pub(super) fn sync(&self) -> Result<(), FilesError> {
        self.contents.sync().map_err(|e| {
            let remedy = "they are kept: see that SOURCE can be written to, then try again";
            FilesError::system(
                "write out the dirty pages of",
                self.mounted.path(),
                e,
                remedy,
            )
        })
    }

    /// Takes it out of the tree; `lazy` even if it is in use. No error if it is out already.
    ///
    /// # Errors
    /// [`FilesError::Busy`], [`FilesError::Covered`], and those of the system.
    pub(super) fn take_out(&self, lazy: bool) -> Result<(), FilesError> {
        match kernel::unmount(&self.mounted, lazy, self.root) {
            // It is out already, or somebody else was faster: its end is near.
            Err(FilesError::System { source, .. })
                if matches!(source.raw_os_error(), Some(libc::EINVAL)) => {}
            other => other?,
        }
        Ok(())
    }

    /// Ends its connection to the kernel: programs get errors, and nobody waits for this process.
    pub(super) fn abort(&self) {
        kernel::abort(&self.mounted, self.root);
    }
}
