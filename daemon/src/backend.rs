//! What the daemon needs of a device: the one seam between the server and the devices.
//!
//! [`Ramzswap`](crate::ramzswap::Ramzswap) is the real one; tests of the server put their own
//! in its place and need no root.

use crate::protocol::Refusal;
use crate::types::{DeviceStatus, ParamsUpdate};

/// One device, initialised or not. Its caller never runs two of the methods that take it from
/// one state to another at once; [`status`](DeviceBackend::status) may run beside any of them.
pub trait DeviceBackend: Send + Sync {
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

    /// Swaps on an initialised device, with discard; gives the priority that it has.
    ///
    /// # Errors
    /// Those of `swapon(2)`.
    fn swap_on(&self, priority: Option<i32>) -> Result<i32, Refusal>;

    /// Swaps the device off: returns when all its pages are back in memory.
    ///
    /// # Errors
    /// Those of `swapoff(2)`. The device is then still swapped on.
    fn swap_off(&self) -> Result<(), Refusal>;
}
