//! What can be done with a device of either driver.

use std::path::PathBuf;

use crate::error::DeviceError;
use crate::params::ParamsUpdate;
use crate::status::DeviceStatus;
use crate::swapoff::Executor;
use crate::warning::Warning;

/// A `ramzswapN`: a [`Device`](crate::Device) of this process or a
/// [`KernelDevice`](crate::KernelDevice). Both have the same parameters and rules.
pub trait SwapDevice: Send + Sync {
    /// The `N` of `ramzswapN`.
    fn number(&self) -> u32;

    /// The path by which users name it. That of a device of this process is a symlink, which
    /// exists while the device is ready.
    fn node(&self) -> PathBuf;

    /// The device of somebody else to which the node leads: while it does, this one can't be
    /// reached or initialised.
    fn hidden_by(&self) -> Option<PathBuf>;

    /// Whether it is initialised.
    fn is_ready(&self) -> bool;

    /// Sets parameters. They are checked as far as they can be now, and take effect with
    /// [`init`](SwapDevice::init). Returns warnings for the user.
    ///
    /// # Errors
    /// [`DeviceError`] if a value, a rule or the driver refuses them, if the backing swap is
    /// unfit, or if the device is initialised already. Nothing is changed then.
    fn configure(&self, update: &ParamsUpdate) -> Result<Vec<Warning>, DeviceError>;

    /// Makes the device ready: memory is reserved, the swap header written, the block device
    /// there. Returns warnings for the user.
    ///
    /// # Errors
    /// [`DeviceError`]; the device is then not initialised and keeps its parameters, and nothing
    /// is left behind.
    fn init(&self) -> Result<Vec<Warning>, DeviceError>;

    /// Takes the block device away, frees all memory, and forgets all parameters. Pages that
    /// were written are lost. Of a device that is not initialised, it forgets the parameters.
    ///
    /// # Errors
    /// [`DeviceError::Busy`] while the device is swapped on, mounted or open; nothing is changed
    /// then. Other errors of a device of this process say what could not be cleaned away; it is
    /// reset anyway.
    fn reset(&self) -> Result<(), DeviceError>;

    /// Changes parameters, on a live device too: the codec for new pages, what becomes of cold
    /// ones, and the memory limit of a device of the kernel driver. Pages stored before stay as
    /// they are and readable. Returns warnings for the user.
    ///
    /// # Errors
    /// [`DeviceError`] if a value, a rule or the driver refuses them, or if the device is
    /// initialised and one of them can then not be changed. Nothing is changed then.
    fn set(&self, update: &ParamsUpdate) -> Result<Vec<Warning>, DeviceError>;

    /// Swaps on the device, with discard unless the kernel notifies the driver of each slot that
    /// it frees. `None` takes a priority above every active swap. Returns the priority.
    ///
    /// # Errors
    /// [`DeviceError`] if the device is not initialised, is swapped on already, or if the kernel
    /// refuses.
    fn swap_on(&self, priority: Option<i32>) -> Result<i32, DeviceError>;

    /// Swaps off the device by `executor`: its pages go back to memory or to other swap, which may
    /// take long. A device that is not swapped on, or not initialised, stays as it is.
    ///
    /// # Errors
    /// The device is then still swapped on: [`DeviceError::SwapoffNoRoom`] if the kernel would
    /// kill a program to make room, [`DeviceError::SwapoffNoMemory`] if the pages do not fit
    /// back, [`DeviceError::System`] if the kernel refuses otherwise.
    fn swap_off(&self, executor: &Executor<'_>) -> Result<(), DeviceError>;

    /// The device as it is now; one that the driver does not have is new. Does not wait for a
    /// swap-off.
    fn status(&self) -> DeviceStatus;

    /// Bytes of memory that it takes now: its pool, the reserve included, and its slot table.
    fn memory(&self) -> u64;
}
