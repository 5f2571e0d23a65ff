//! The real devices.

use std::sync::Arc;

use compcache_device::{Device, DeviceError, Env};

use crate::backend::DeviceBackend;
use crate::protocol::{ErrorCode, Refusal};
use crate::types::{DeviceStatus, ParamsUpdate};
use crate::{room, swapoff};

/// A ramzswap device of this process.
pub struct Ramzswap {
    device: Device,
}

impl Ramzswap {
    /// The device of this number, not initialised.
    #[must_use]
    pub fn new(number: u32, env: Arc<Env>) -> Ramzswap {
        Ramzswap {
            device: Device::new(number, env),
        }
    }
}

impl DeviceBackend for Ramzswap {
    fn configure(&self, params: &ParamsUpdate) -> Result<Vec<String>, Refusal> {
        Ok(self.device.configure(params)?)
    }

    fn init(&self) -> Result<Vec<String>, Refusal> {
        Ok(self.device.init()?)
    }

    fn reset(&self) -> Result<(), Refusal> {
        Ok(self.device.reset()?)
    }

    fn set(&self, params: &ParamsUpdate) -> Result<Vec<String>, Refusal> {
        Ok(self.device.set(params)?)
    }

    fn status(&self) -> DeviceStatus {
        self.device.status()
    }

    fn memory(&self) -> u64 {
        self.device.memory()
    }

    fn swap_on(&self, priority: Option<i32>) -> Result<i32, Refusal> {
        Ok(self.device.swap_on(priority)?)
    }

    fn swap_off(&self) -> Result<(), Refusal> {
        let number = self.device.number();
        let Some(block_device) = self.device.status().block_device else {
            return Err(DeviceError::NotInitialised { number }.into());
        };
        room::check(&block_device).map_err(|no_room| {
            Refusal::new(
                ErrorCode::Enomem,
                format!("device ramzswap{number} stays swapped on: {no_room}"),
            )
        })?;
        swapoff::in_child(&block_device).map_err(|source| match source.raw_os_error() {
            Some(libc::ENOMEM) => DeviceError::SwapoffNoMemory { number, source }.into(),
            errno => Refusal::new(
                errno.map_or(ErrorCode::Eio, ErrorCode::from_errno),
                format!("swapoff of ramzswap{number} failed: {source}; the device stays in use"),
            ),
        })
    }
}

impl From<DeviceError> for Refusal {
    fn from(error: DeviceError) -> Refusal {
        Refusal::new(ErrorCode::from_errno(error.errno()), error.to_string())
    }
}
