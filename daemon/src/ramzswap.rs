//! The devices of this process.

use std::sync::Arc;

use compcache_device::kernel::Root;
use compcache_device::{Device, DeviceError, Env, SwapDevice};

use crate::backend::RealDevice;
use crate::protocol::{ErrorCode, Refusal};
use crate::swapoff::Program;

/// A ramzswap device of this process.
pub struct Ramzswap {
    device: Device,
    /// The kernel driver, if its nodes are in the same directory.
    kernel: Option<Root>,
}

impl Ramzswap {
    /// The device of this number, not initialised.
    #[must_use]
    pub fn new(number: u32, env: Arc<Env>) -> Ramzswap {
        let kernel = Some(Root::default()).filter(|root| root.dev == env.dev_dir);
        Ramzswap {
            device: Device::new(number, env),
            kernel,
        }
    }
}

impl RealDevice for Ramzswap {
    fn device(&self) -> &dyn SwapDevice {
        &self.device
    }

    fn program(&self) -> Program {
        Program::Daemon
    }

    fn obstacle(&self) -> Option<Refusal> {
        let number = self.device.number();
        let taken = self.kernel.as_ref().is_some_and(|root| root.has(number));
        // One that was here before the driver was loaded stays.
        if taken && !self.device.is_ready() {
            let message = format!(
                "ramzswap{number} is a device of the kernel driver, and of this daemon there is \
                 none by that name: give it to rzscontrol or compcache as it is, choose another \
                 number, or unload the driver (rmmod ramzswap)"
            );
            return Some(Refusal::new(ErrorCode::Ebusy, message));
        }
        let target = self.device.hidden_by()?;
        let node = self.device.node();
        Some(DeviceError::NodeTaken { node, target }.into())
    }
}

impl From<DeviceError> for Refusal {
    fn from(error: DeviceError) -> Refusal {
        Refusal::new(ErrorCode::from_errno(error.errno()), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::DeviceBackend as _;

    /// Between the registry's look and its request somebody else may have swapped it off.
    #[test]
    fn a_device_that_is_not_swapped_on_needs_no_swap_off() {
        let dir = tempfile::tempdir().unwrap();
        let env = Arc::new(Env::new(dir.path().join("run"), dir.path().join("dev")));
        Ramzswap::new(0, env).swap_off().unwrap();
    }
}
