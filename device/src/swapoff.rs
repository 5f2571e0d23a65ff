//! Swapping off a ramzswap device, the kernel driver's or one in userspace.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::error::DeviceError;
use crate::swap::{Changes, find, room};

/// Time between two tries while another process swaps the device off. If that one succeeds, the kernel
/// says so at once; if it fails, nothing does.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// Calls `swapoff(2)` for a block device and gives what it said.
///
/// [`swap::off`](crate::swap::off) is one that calls it in this process. Who serves the device must not do so:
/// while a process is in `swapoff(2)`, the kernel's OOM killer takes it before any other.
pub type Executor<'a> = dyn Fn(&Path) -> io::Result<()> + 'a;

/// Swaps off `block_device`, which is that of `ramzswap<number>`: returns when all its pages are
/// back in memory or in other swap, which may take long. One that is not swapped on stays as it is;
/// while another process swaps it off, this waits.
///
/// # Errors
/// The device is then still swapped on: [`DeviceError::SwapoffNoRoom`] if the kernel would kill
/// a program to make room, [`DeviceError::SwapoffNoMemory`] if the pages do not fit back,
/// [`DeviceError::System`] if the kernel refuses otherwise, or if `/proc/swaps` can't be read.
pub(crate) fn swap_off(
    number: u32,
    block_device: &Path,
    executor: &Executor<'_>,
) -> Result<(), DeviceError> {
    let device = || format!("ramzswap{number}");
    let unreadable = |e| DeviceError::system("read /proc/swaps", e, "mount /proc");
    let area = || find(block_device).map_err(unreadable);
    let Some(mut own) = area()? else {
        return Ok(());
    };
    let changes = Changes::watch().map_err(unreadable)?;
    let mut waits = false;
    loop {
        room::check(&own).map_err(|source| DeviceError::SwapoffNoRoom { number, source })?;
        let Err(source) = executor(block_device) else {
            tracing::info!(device = device(), "swapped off");
            return Ok(());
        };
        let remedy = match source.raw_os_error() {
            Some(libc::ENOMEM) => return Err(DeviceError::SwapoffNoMemory { number, source }),
            // Another process was faster. From its first moment on the kernel says that this is not a
            // swap area, but its pages are back only when it has left the table.
            Some(libc::EINVAL) => {
                let Some(listed) = area()? else {
                    return Ok(());
                };
                if !waits {
                    tracing::info!(
                        device = device(),
                        "another process is swapping it off: waiting for that"
                    );
                    waits = true;
                }
                changes.wait(BUSY_RETRY).map_err(unreadable)?;
                own = listed;
                continue;
            }
            Some(libc::EPERM) => "the device stays in use; only root may swap it off",
            _ => "the device stays in use; try again",
        };
        let action = format!("swap off ramzswap{number}");
        return Err(DeviceError::system(action, source, remedy));
    }
}
