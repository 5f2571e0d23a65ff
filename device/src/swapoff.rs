//! Swapping off a ramzswap device, the kernel driver's or one in userspace.

use std::io;
use std::path::Path;

use crate::error::DeviceError;
use crate::swap::{find, room};

/// Calls `swapoff(2)` for a block device and gives what it said.
///
/// [`swap::off`](crate::swap::off) is one that calls it in this process. Who serves the device must not do so:
/// while a process is in `swapoff(2)`, the kernel's OOM killer takes it before any other.
pub type Executor<'a> = dyn Fn(&Path) -> io::Result<()> + 'a;

/// Swaps off `block_device`, which is that of `ramzswap<number>`: returns when all its pages are
/// back in memory or in other swap, which may take long. One that is not swapped on stays as it is.
///
/// # Errors
/// The device is then still swapped on: [`DeviceError::SwapoffNoRoom`] if the kernel would kill
/// a program to make room, [`DeviceError::SwapoffNoMemory`] if the pages do not fit back,
/// [`DeviceError::Busy`] while another process swaps it off, [`DeviceError::System`] if the
/// kernel refuses otherwise, or if `/proc/swaps` can't be read.
pub(crate) fn swap_off(
    number: u32,
    block_device: &Path,
    executor: &Executor<'_>,
) -> Result<(), DeviceError> {
    let area = || {
        find(block_device).map_err(|e| DeviceError::system("read /proc/swaps", e, "mount /proc"))
    };
    let Some(own) = area()? else {
        return Ok(());
    };
    room::check(&own).map_err(|source| DeviceError::SwapoffNoRoom { number, source })?;
    let Err(source) = executor(block_device) else {
        tracing::info!(device = %format_args!("ramzswap{number}"), "swapped off");
        return Ok(());
    };
    let remedy = match source.raw_os_error() {
        Some(libc::ENOMEM) => return Err(DeviceError::SwapoffNoMemory { number, source }),
        // Another process was faster. From its first moment on the kernel says that this is not a
        // swap area, but its pages are back only when it has left the table.
        Some(libc::EINVAL) if area()?.is_none() => return Ok(()),
        Some(libc::EINVAL) => {
            return Err(DeviceError::Busy {
                number,
                reason: "another process is swapping it off; try again when that has ended".into(),
            });
        }
        Some(libc::EPERM) => "the device stays in use; only root may swap it off",
        _ => "the device stays in use; try again",
    };
    let action = format!("swap off ramzswap{number}");
    Err(DeviceError::system(action, source, remedy))
}
