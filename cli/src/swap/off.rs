//! `compcache swap off`, for devices of both drivers.

use std::path::PathBuf;

use compcache_device::DeviceStatus;
use compcache_device::swap;
use compcache_host::printable;
use compcached::lease::in_use;
use compcached::protocol::{KernelLease, Refusal, Request, Response};
use compcached::size::human;
use compcached::{Client, ClientError};

use super::{OffArgs, device};
use crate::env::{Places, print, warn};
use crate::error::CliError;
use crate::{left_behind, progress};

/// Swaps off the device that was named, or all.
pub(super) fn main(args: &OffArgs, places: &Places) -> Result<(), CliError> {
    match device(args.device.as_deref(), places)? {
        Some(number) if places.is_kernels(number)? => {
            print(&kernel_device(number, places)?.report())
        }
        Some(number) => print(&daemons(daemon(places)?, Some(number))?.report()),
        None => all(places),
    }
}

/// Swaps off every device of both drivers that is not leased.
fn all(places: &Places) -> Result<(), CliError> {
    let kernel = places.driver(false)?.is_kernel();
    let client = match daemon(places) {
        // Then the kernel driver's are all that there are.
        Err(CliError::Client(ClientError::NoDaemon(_))) if kernel => None,
        client => Some(client?),
    };
    let mut done = InUse::default();
    if kernel {
        done = kernel_devices(places)?;
    }
    if let Some(client) = client {
        done.0.extend(daemons(client, None)?.0);
    }
    print(&done.report())
}

/// Connects to the daemon.
fn daemon(places: &Places) -> Result<Client, CliError> {
    let client = places.connect();
    left_behind::warn_of_them(&client, places);
    client
}

/// Has the daemon swap off one device, or all that are its own.
fn daemons(mut client: Client, number: Option<u32>) -> Result<InUse, CliError> {
    let mut in_use = match client.request(&Request::Status { device: number })? {
        Response::Status { devices, .. } => InUse::of(devices),
        _ => return Err(CliError::Answer),
    };
    // A device that was named is asked for in any case: the daemon says what is wrong with it.
    if number.is_none() && in_use.0.is_empty() {
        return Ok(in_use);
    }
    // The daemon answers when all pages are back, which may take minutes.
    let request = move || client.request(&Request::SwapOff { device: number });
    match in_use.wait(request)?? {
        Response::Done { warnings } => {
            warn("compcache", &warnings);
            // What is leased stays on.
            in_use
                .0
                .retain(|(_, block)| matches!(swap::find(block), Ok(None)));
            Ok(in_use)
        }
        _ => Err(CliError::Answer),
    }
}

/// Swaps off a device of the kernel driver.
fn kernel_device(number: u32, places: &Places) -> Result<InUse, CliError> {
    if let Some(refusal) = leased(number, places.kernel_lease()?) {
        return Err(refusal.into());
    }
    let devices = places.kernel_devices();
    let in_use = InUse::of(devices.statuses(Some(number))?);
    in_use.wait(move || devices.swap_off(number))??;
    Ok(in_use)
}

/// Swaps off all devices of the kernel driver that are not leased.
fn kernel_devices(places: &Places) -> Result<InUse, CliError> {
    let lease = places.kernel_lease()?;
    let mut devices = places.kernel_devices().statuses(None)?;
    devices.retain(|device| device.swap.is_some());
    let mut done = InUse::default();
    let mut failed = Vec::new();
    for device in devices {
        let number = device.number;
        if let Some(refusal) = leased(number, lease) {
            warn("compcache", &[refusal.message]);
            continue;
        }
        let devices = places.kernel_devices();
        let in_use = InUse::of(vec![device]);
        match in_use.wait(move || devices.swap_off(number))? {
            Ok(()) => done.0.extend(in_use.0),
            Err(refusal) => failed.push(refusal),
        }
    }
    match Refusal::join(failed) {
        None => Ok(done),
        Some(refusal) => {
            // Those that went must be known anyway.
            if !done.0.is_empty() {
                print(&done.report())?;
            }
            Err(refusal.into())
        }
    }
}

/// Why a device is not swapped off, if a daemon holds it for programs.
fn leased(number: u32, lease: Option<KernelLease>) -> Option<Refusal> {
    let lease = lease.filter(|lease| lease.device == number)?;
    Some(in_use(number, lease.holders))
}

/// Devices that are to be swapped off: node and block device.
#[derive(Default)]
struct InUse(Vec<(PathBuf, PathBuf)>);

impl InUse {
    /// Those of these that are swapped on.
    fn of(devices: Vec<DeviceStatus>) -> InUse {
        let swapped_on = devices.into_iter().filter(|device| device.swap.is_some());
        InUse(
            swapped_on
                .filter_map(|device| Some((device.node, device.block_device?)))
                .collect(),
        )
    }

    /// Waits for a swap-off of them, with progress.
    fn wait<T: Send + 'static>(
        &self,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CliError> {
        let first = self.used();
        progress::wait(task, || {
            let left = human(self.used());
            Some(format!("swapping off: {left} of {} left", human(first)))
        })
    }

    /// Bytes of swap in use on them.
    fn used(&self) -> u64 {
        self.0
            .iter()
            .filter_map(|(_, block_device)| swap::find(block_device).ok().flatten())
            .map(|entry| entry.used_bytes)
            .sum()
    }

    fn report(&self) -> String {
        match self.0.as_slice() {
            [] => "no ramzswap device was swapped on\n".to_owned(),
            devices => devices
                .iter()
                .map(|(node, _)| format!("{}: swapped off\n", printable::path(node)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_programs_lease_is_left_to_them() {
        let lease = Some(KernelLease {
            device: 1,
            holders: 2,
        });
        assert_eq!(leased(0, lease), None);
        let refusal = leased(1, lease).unwrap();
        assert!(
            refusal.message.contains("leased by 2 program(s)"),
            "{refusal}"
        );
        let orphan = KernelLease {
            device: 1,
            holders: 0,
        };
        let refusal = leased(1, Some(orphan)).unwrap();
        assert!(
            refusal.message.contains("as soon as its pages fit"),
            "{refusal}"
        );
        assert_eq!(leased(1, None), None);
    }
}
