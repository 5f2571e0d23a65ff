//! The real mounts.

use std::sync::Arc;

use compcache_files::{FilesError, MountOptions};

use crate::backend::{MountBackend, Mounted};
use crate::mounts::{dead, paths};
use crate::protocol::{ErrorCode, Refusal};
use crate::types::CpuLatency;

/// Makes mounts of this process.
#[derive(Default)]
pub struct FileSystem {
    cpu_latency: Option<Arc<CpuLatency>>,
}

impl FileSystem {
    /// Mounts whose requests `cpu_latency` is told of.
    #[must_use]
    pub fn new(cpu_latency: Option<Arc<CpuLatency>>) -> FileSystem {
        FileSystem { cpu_latency }
    }
}

impl MountBackend for FileSystem {
    fn start(
        &self,
        options: MountOptions,
        _on_end: Box<dyn FnOnce() + Send>,
    ) -> Result<Box<dyn Mounted>, Refusal> {
        let (source, mountpoint) = paths::check(options.source.as_deref(), &options.mountpoint)?;
        let _ = (&self.cpu_latency, source, dead::clean(&mountpoint));
        Err(Refusal::new(
            ErrorCode::Enodev,
            "no file system in this build",
        ))
    }
}

impl From<FilesError> for Refusal {
    fn from(error: FilesError) -> Refusal {
        let code = match &error {
            FilesError::System { source, .. } => source
                .raw_os_error()
                .map_or(ErrorCode::Eio, ErrorCode::from_errno),
            FilesError::Memory { .. } => ErrorCode::Enomem,
            FilesError::Invalid(_) => ErrorCode::Einval,
            FilesError::Busy(_) => ErrorCode::Ebusy,
        };
        Refusal::new(code, error.to_string())
    }
}
