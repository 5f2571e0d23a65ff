//! What the daemon needs of devices and mounts: the seams between the server and them.
//!
//! [`Ramzswap`](crate::ramzswap::Ramzswap), [`Kernel`](crate::kernel::Kernel) and
//! [`MountProcess`](crate::worker::mounts::MountProcess) are the real ones, and in the process of the mounts
//! [`FileSystem`](crate::file_system::FileSystem); tests of the server put their own in their place and need no root.

use std::path::Path;
use std::sync::Arc;

use compcache_device::{SwapDevice, Warning};
use compcache_files::{Budget, MountOptions};

use crate::protocol::Refusal;
use crate::swapoff::{self, Program, Room};
use crate::types::{DeviceStatus, Ending, Loss, MountStatus, ParamsUpdate};

/// One device, initialised or not. Its caller never runs two of the methods that take it from
/// one state to another at once; [`status`](DeviceBackend::status) may run beside any of them.
pub trait DeviceBackend: Send + Sync {
    /// The `N` of `ramzswapN`.
    fn number(&self) -> u32;

    /// Why there is no such device now, if there is none: the kernel driver has its name, or
    /// does not have it.
    fn obstacle(&self) -> Option<Refusal> {
        None
    }

    /// Sets parameters of a device that is not initialised; gives warnings.
    ///
    /// # Errors
    /// Nothing is changed then.
    fn configure(&self, params: &ParamsUpdate) -> Result<Vec<String>, Refusal>;

    /// Makes the block device; gives warnings.
    ///
    /// # Errors
    /// The device is then not initialised and keeps its parameters.
    fn init(&self) -> Result<Vec<String>, Refusal>;

    /// Removes the block device, its pages and its parameters. Does nothing to a new device but
    /// forget its parameters.
    ///
    /// # Errors
    /// `EBUSY` while it is swapped on.
    fn reset(&self) -> Result<(), Refusal>;

    /// Changes parameters of a device that may be in use; gives warnings.
    ///
    /// # Errors
    /// Nothing is changed then.
    fn set(&self, params: &ParamsUpdate) -> Result<Vec<String>, Refusal>;

    /// The device as it is now. Does not wait for a swap-off.
    fn status(&self) -> DeviceStatus;

    /// Bytes of memory that it takes now: pool and table. Does not wait for a swap-off.
    fn memory(&self) -> u64;

    /// Swaps on an initialised device, with discard; gives the priority that it has.
    ///
    /// # Errors
    /// Those of `swapon(2)`.
    fn swap_on(&self, priority: Option<i32>) -> Result<i32, Refusal>;

    /// Swaps the device off: returns when all its pages are back in memory. One that is not swapped
    /// on stays as it is.
    ///
    /// # Errors
    /// `ENOMEM` if its pages do not fit back, `EBUSY` while another process swaps it off, those
    /// of `swapoff(2)`. The device is then still swapped on.
    fn swap_off(&self) -> Result<(), Refusal>;
}

/// A device that exists, which is most of a backend.
pub(crate) trait RealDevice: Send + Sync {
    fn device(&self) -> &dyn SwapDevice;

    /// The program that swaps it off, in a process of its own.
    fn program(&self) -> Program;

    /// As [`DeviceBackend::obstacle`].
    fn obstacle(&self) -> Option<Refusal>;
}

impl<T: RealDevice> DeviceBackend for T {
    fn number(&self) -> u32 {
        self.device().number()
    }

    fn obstacle(&self) -> Option<Refusal> {
        RealDevice::obstacle(self)
    }

    fn configure(&self, params: &ParamsUpdate) -> Result<Vec<String>, Refusal> {
        Ok(texts(&self.device().configure(params)?))
    }

    fn init(&self) -> Result<Vec<String>, Refusal> {
        Ok(texts(&self.device().init()?))
    }

    fn reset(&self) -> Result<(), Refusal> {
        Ok(self.device().reset()?)
    }

    fn set(&self, params: &ParamsUpdate) -> Result<Vec<String>, Refusal> {
        Ok(texts(&self.device().set(params)?))
    }

    fn status(&self) -> DeviceStatus {
        self.device().status()
    }

    fn memory(&self) -> u64 {
        self.device().memory()
    }

    fn swap_on(&self, priority: Option<i32>) -> Result<i32, Refusal> {
        Ok(self.device().swap_on(priority)?)
    }

    fn swap_off(&self) -> Result<(), Refusal> {
        let in_child =
            |block_device: &Path| swapoff::in_child(self.program(), block_device, Room::Needed);
        Ok(self.device().swap_off(&in_child)?)
    }
}

/// Warnings of a device as they are sent to clients and printed.
fn texts(warnings: &[Warning]) -> Vec<String> {
    warnings.iter().map(Warning::to_string).collect()
}

/// Makes mounts.
pub trait MountBackend: Send + Sync {
    /// Mounts. `on_end` is called, once and by any thread, when the mount is over, whoever has
    /// unmounted it; it neither waits nor looks at the mount.
    ///
    /// # Errors
    /// Nothing is mounted then.
    fn start(
        &self,
        options: MountOptions,
        on_end: Box<dyn FnOnce() + Send>,
    ) -> Result<Box<dyn Mounted>, Refusal>;

    /// What swap devices and mounts take of their common limit has changed.
    fn limit_changed(&self, _budget: &Budget) {}

    /// What a user should know of how mounts are served, one sentence each.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether something that programs have written to a mount was lost with the process that served it.
    fn lost(&self) -> bool {
        false
    }

    /// The process that serves mounts, if that is another one and there is one now.
    fn pid(&self) -> Option<u32> {
        None
    }

    /// All mounts have to end, or that is over: then those that are on their way are not waited for without a bound.
    fn must_end(&self, _ending: bool) {}

    /// Ends what serves mounts, as this process is about to exit.
    fn stop(&self) {}
}

/// A mount. Its caller never runs two [`unmount`](Mounted::unmount)s at once; all else may run
/// beside it.
pub trait Mounted: Send + Sync {
    /// The mount as it is now. Does not wait for pages being written out.
    fn status(&self) -> MountStatus;

    /// Writes dirty pages out to the source.
    ///
    /// # Errors
    /// The first failure; the pages stay dirty.
    fn sync(&self) -> Result<(), Refusal>;

    /// Writes dirty pages out and unmounts; returns when both is done. With `lazy` it is taken out
    /// of the tree, and is over when it is not in use any more.
    ///
    /// # Errors
    /// `EBUSY` while it is in use, unless `lazy`; those of writing out. It stays mounted then.
    fn unmount(&self, lazy: bool) -> Result<(), Refusal>;

    /// Writes dirty pages out and unmounts, lazily if it is in use; what the source does not take in
    /// time is given up. Returns even if the source never answers, and may run beside
    /// [`unmount`](Mounted::unmount).
    fn end(&self) -> Ending;

    /// What was given up, at its end or after somebody else has unmounted it.
    fn loss(&self) -> Option<Arc<Loss>>;

    /// Whether it was reported already why it has ended: with the process that served it.
    fn is_explained(&self) -> bool {
        false
    }
}
