//! The devices of the configuration, brought up when the daemon starts.

use compcache_device::kernel::Root;

use crate::config::DeviceConfig;
use crate::driver::{self, Chosen, NoKernelDriver};
use crate::protocol::{ErrorCode, Refusal};
use crate::registry::Registry;
use crate::settings::Settings;
use crate::types::{DriverChoice, ParamsUpdate, State};

/// A device that could not be brought up.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) number: u32,
    pub(crate) refusal: Refusal,
}

/// The devices of the kernel driver that were brought up. They need no daemon: they stay when it
/// ends, and are taken down only if its start fails.
#[derive(Debug, Default)]
pub(crate) struct KernelDevices(Vec<u32>);

impl KernelDevices {
    /// Takes them down again.
    pub(crate) fn take_down(&self, kernel: &Registry) -> Vec<Refusal> {
        let down = |number: &u32| kernel.retire(*number).err();
        self.0.iter().filter_map(down).collect()
    }
}

/// Brings up the devices, each by the driver that the settings choose. What was brought up of the
/// kernel driver is added to `done`.
pub(crate) fn devices(
    settings: &Settings,
    own: &Registry,
    kernel: &Registry,
    done: &mut KernelDevices,
) -> Result<(), Failed> {
    let devices = &settings.config.devices;
    let Some((&first, _)) = devices.first_key_value() else {
        return Ok(());
    };
    let root = Root::default();
    let choice = settings.config.driver;
    let chosen = driver::choose(&root, choice, &settings.dev_dir, Some(settings.num_devices))
        .map_err(|error| failed(first, &error))?;
    if let Chosen::User { why: Some(why) } = &chosen {
        tracing::info!("devices in userspace are used; kernel driver: {why}");
    }
    for (&number, device) in devices {
        let by_kernel = chosen == Chosen::Kernel && root.has(number);
        if choice == DriverChoice::Kernel && !by_kernel {
            let why = format!("it has no ramzswap{number}: load it with a larger num_devices");
            return Err(failed(number, &NoKernelDriver::new(why)));
        }
        let warnings = if by_kernel {
            kernel_device(kernel, number, device, done)
        } else {
            bring_up(own, number, device)
        };
        for warning in warnings.map_err(|refusal| Failed { number, refusal })? {
            tracing::warn!("ramzswap{number}: {warning}");
        }
    }
    Ok(())
}

fn failed(number: u32, error: &NoKernelDriver) -> Failed {
    let refusal = Refusal::new(ErrorCode::Enodev, error.to_string());
    Failed { number, refusal }
}

fn bring_up(
    registry: &Registry,
    number: u32,
    device: &DeviceConfig,
) -> Result<Vec<String>, Refusal> {
    if device.swap_on {
        let done = registry.swap_on(Some(number), &device.params, device.priority)?;
        return Ok(done.warnings);
    }
    registry.configure(number, &device.params, true)
}

/// One that is initialised already is left as it is: an earlier daemon may have brought it up.
fn kernel_device(
    kernel: &Registry,
    number: u32,
    device: &DeviceConfig,
    done: &mut KernelDevices,
) -> Result<Vec<String>, Refusal> {
    let status = kernel.statuses(Some(number))?.pop();
    let status = status.filter(|status| status.state == State::Ready);
    let Some(status) = status else {
        let warnings = bring_up(kernel, number, device)?;
        done.0.push(number);
        return Ok(warnings);
    };
    tracing::info!("ramzswap{number} of the kernel driver is initialised already: left as it is");
    if device.swap_on && status.swap.is_none() {
        let params = ParamsUpdate::default();
        kernel.swap_on(Some(number), &params, device.priority)?;
    }
    Ok(Vec::new())
}
