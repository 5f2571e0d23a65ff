//! Transports: how the kernel reaches a disk that this process serves.

pub(crate) mod fuse;
pub mod fuse_loop;
pub(crate) mod loopdev;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use compcache_host::remedy;

use crate::disk::Disk;
use crate::error::DeviceError;
use crate::warning::Warning;

pub use fuse::Offline;

/// Opens the node by which a driver of the kernel's is used; `module` is where that driver is.
fn open_driver(node: &str, module: &str) -> Result<File, DeviceError> {
    File::options()
        .read(true)
        .write(true)
        .open(node)
        .map_err(|e| {
            let remedy = match e.kind() {
                io::ErrorKind::PermissionDenied => remedy::root("access to it"),
                _ => format!("load the kernel's {module} module (modprobe {module})"),
            };
            DeviceError::system(format!("open {node}"), e, &*remedy)
        })
}

/// Makes block devices of disks.
pub trait Transport: Send + Sync {
    /// Serves `disk` as a block device until it is detached. `name` (`ramzswap0`) names what
    /// the transport must name: mounts, threads.
    ///
    /// # Errors
    /// [`DeviceError`]; nothing is left behind then.
    fn attach(&self, disk: Arc<dyn Disk>, name: &str) -> Result<Box<dyn Attachment>, DeviceError>;
}

/// A disk that is served as a block device.
pub trait Attachment: Send + Sync {
    /// The block device, such as `/dev/loop3`.
    fn block_device(&self) -> &Path;

    /// What serves it, as users see it.
    fn transport(&self) -> &'static str;

    /// What the user should know of it.
    fn warnings(&self) -> &[Warning];

    /// Whether requests are still answered. Once they are not, they never will be: the connection to
    /// the kernel was aborted, or every thread that serves it has ended.
    fn is_served(&self) -> bool;

    /// Takes the block device away: requests in flight are finished, later ones fail, and
    /// threads, mounts and memory are given back. Call it once; after [`DetachError::Busy`]
    /// it may be called again.
    ///
    /// # Errors
    /// [`DetachError`].
    fn detach(&mut self) -> Result<(), DetachError>;
}

/// A block device that could not be taken away, or not without a trace.
#[derive(Debug, thiserror::Error)]
pub enum DetachError {
    /// Swap or a mount holds it exclusively; it is still served.
    #[error("the block device is in use")]
    Busy,
    /// It is no longer served, but something was left behind.
    #[error("something was left behind: {0}")]
    Leftover(DeviceError),
}
