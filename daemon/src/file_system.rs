//! The real mounts.

use std::path::Path;
use std::sync::Arc;

use compcache_files::{FilesError, Hooks, Mount, MountOptions, RequestHook};

use crate::backend::{MountBackend, Mounted};
use crate::mounts::{dead, paths};
use crate::protocol::{ErrorCode, Refusal};
use crate::types::{CpuLatency, Ending, Loss, MountStatus};

/// Makes mounts of this process.
#[derive(Default)]
pub struct FileSystem {
    cpu_latency: Option<Arc<CpuLatency>>,
}

impl FileSystem {
    /// Mounts whose requests are reported to `cpu_latency`.
    #[must_use]
    pub fn new(cpu_latency: Option<Arc<CpuLatency>>) -> FileSystem {
        FileSystem { cpu_latency }
    }
}

impl MountBackend for FileSystem {
    fn start(
        &self,
        options: MountOptions,
        on_end: Box<dyn FnOnce() + Send>,
    ) -> Result<Box<dyn Mounted>, Refusal> {
        let (source, mountpoint) = paths::check(options.source.as_deref(), &options.mountpoint)?;
        if mountpoint != options.mountpoint || source != options.source {
            // The table of mounts knows them by their paths.
            let message = format!(
                "{} or its source is a path through a symbolic link: give {}",
                options.mountpoint.display(),
                mountpoint.display()
            );
            return Err(Refusal::new(ErrorCode::Einval, message));
        }
        let stuck = |e| {
            let message = format!(
                "{}: a mount whose daemon is gone cannot be removed: {e}; try `umount -l`",
                mountpoint.display()
            );
            Refusal::new(ErrorCode::Ebusy, message)
        };
        // One covers the directory until the new mount does.
        let dead = dead::clean_but_one(&mountpoint).map_err(stuck)?;
        let on_end: Box<dyn FnOnce() + Send> = match dead {
            Some(_) => {
                let path = mountpoint.clone();
                Box::new(move || {
                    uncover(&path);
                    on_end();
                })
            }
            None => on_end,
        };
        let latency = self.cpu_latency.clone();
        let on_request =
            latency.map(|latency| -> RequestHook { Arc::new(move || latency.request()) });
        let hooks = Hooks {
            on_end: Some(on_end),
            on_request,
            dead,
            ..Hooks::default()
        };
        let mount = Mount::start(options, hooks)?;
        if dead.is_some() {
            dead::clean(&mountpoint).map_err(stuck)?;
        }
        Ok(Box::new(mount))
    }
}

/// Removes the dead mount that one at `path` had to be made on top of.
fn uncover(path: &Path) {
    if let Err(e) = dead::clean(path) {
        tracing::error!(
            "{}: a dead mount beneath the one that was unmounted cannot be removed: {e}; try `umount -l`",
            path.display()
        );
    }
}

impl Mounted for Mount {
    fn status(&self) -> MountStatus {
        Mount::status(self)
    }

    fn sync(&self) -> Result<(), Refusal> {
        Ok(Mount::sync(self)?)
    }

    fn unmount(&self, lazy: bool) -> Result<(), Refusal> {
        Mount::unmount(self, lazy)?;
        uncover(&self.options().mountpoint);
        Ok(())
    }

    fn end(&self) -> Ending {
        let ending = Mount::end(self);
        uncover(&self.options().mountpoint);
        ending
    }

    fn loss(&self) -> Option<Arc<Loss>> {
        Mount::loss(self)
    }
}

impl From<FilesError> for Refusal {
    fn from(error: FilesError) -> Refusal {
        let code = match &error {
            FilesError::System { source, .. } => source
                .raw_os_error()
                .map_or(ErrorCode::Eio, ErrorCode::from_errno),
            FilesError::Memory { .. } => ErrorCode::Enomem,
            FilesError::Invalid(_) | FilesError::Moved(_) => ErrorCode::Einval,
            FilesError::Busy(_) | FilesError::Covered(_) => ErrorCode::Ebusy,
        };
        Refusal::new(code, error.to_string())
    }
}
