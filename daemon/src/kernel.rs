//! The devices of the kernel driver, with the registry's rules: all of a change or nothing, the
//! first free device, clear refusals. Who sets them up needs no daemon; the daemon does it for
//! its leases and its configuration.

use compcache_device::kernel::{MAX_DEVICES, Root};
use compcache_device::{KernelDevice, SwapDevice};

use crate::backend::{DeviceBackend, RealDevice};
use crate::protocol::{ErrorCode, Refusal};
use crate::registry::Registry;
use crate::swapoff::Program;

/// A device of the kernel driver.
pub struct Kernel {
    device: KernelDevice,
    root: Root,
    program: Program,
}

/// The driver's devices, those that it has now and those that it may get by being loaded.
#[must_use]
pub fn registry(root: &Root, program: Program) -> Registry {
    let device = |number| {
        Box::new(Kernel {
            device: KernelDevice::new(number, root.clone()),
            root: root.clone(),
            program,
        }) as Box<dyn DeviceBackend>
    };
    Registry::of_kernel(root.clone(), (0..MAX_DEVICES).map(device).collect())
}

/// Bytes of memory that all devices of the driver take now.
#[must_use]
pub fn memory(root: &Root) -> u64 {
    if !root.is_loaded() {
        return 0;
    }
    KernelDevice::all(root).iter().map(SwapDevice::memory).sum()
}

impl RealDevice for Kernel {
    fn device(&self) -> &dyn SwapDevice {
        &self.device
    }

    fn program(&self) -> Program {
        self.program
    }

    fn obstacle(&self) -> Option<Refusal> {
        let number = self.device.number();
        if !self.device.exists() {
            return Some(Refusal::new(ErrorCode::Enodev, self.no_such_device()));
        }
        let to = self.device.hidden_by()?;
        let message = format!(
            "the kernel driver's ramzswap{number} can't be reached: {} is a link to {}, a device \
             in userspace that was there first; swap that off first",
            self.device.node().display(),
            to.display()
        );
        Some(Refusal::new(ErrorCode::Ebusy, message))
    }
}

impl Kernel {
    fn no_such_device(&self) -> String {
        let number = self.device.number();
        let numbers = self.root.numbers();
        let has = match numbers.as_slice() {
            [] if !self.root.is_loaded() => {
                return format!(
                    "no such device: ramzswap{number}; the kernel driver is not loaded"
                );
            }
            [] => "no device".to_owned(),
            [one] => format!("1 (ramzswap{one})"),
            [first, .., last] => {
                format!("{} (ramzswap{first} to ramzswap{last})", numbers.len())
            }
        };
        format!(
            "no such device: ramzswap{number}; the kernel driver has {has}: load it with a larger \
             num_devices (rmmod ramzswap; modprobe ramzswap num_devices={})",
            number.saturating_add(1).min(MAX_DEVICES)
        )
    }
}
