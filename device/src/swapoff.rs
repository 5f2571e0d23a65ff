//! Swapping off a ramzswap device, the kernel driver's or one in userspace.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::error::DeviceError;
use crate::swap::changes::Changes;
use crate::swap::room::{self, RoomError};
use crate::swap::{self, find};

/// Time between two tries while another process swaps the device off. If that one succeeds, the kernel
/// says so at once; if it fails, nothing does.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// What keeps a swap area swapped on.
#[derive(Debug, thiserror::Error)]
pub enum SwapoffError {
    /// The kernel would kill a program to make room: it was not asked. Says where, and what to do.
    #[error("{0}")]
    NoRoom(String),
    /// Whether there is room can't be determined: the kernel was not asked.
    #[error("{0}")]
    Unchecked(String),
    /// The kernel refused, or could not be asked.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl From<RoomError> for SwapoffError {
    fn from(error: RoomError) -> Self {
        let message = error.to_string();
        match error {
            RoomError::NoRoom { .. } => SwapoffError::NoRoom(message),
            RoomError::Walk(_) | RoomError::Proc(_) => SwapoffError::Unchecked(message),
        }
    }
}

/// Swaps off a block device as [`checked`] does, in this process or in another, and says how it went.
///
/// Who serves the device must leave it to another one: while a process is in `swapoff(2)`, the
/// kernel's OOM killer takes it before any other, and the check goes over what users have built.
pub type Executor<'a> = dyn Fn(&Path) -> Result<(), SwapoffError> + 'a;

/// Calls `swapoff(2)` for a block device in this process, if the kernel would kill no program for it.
///
/// # Errors
/// [`SwapoffError`]; the device is then still swapped on, or was not.
pub fn checked(block_device: &Path) -> Result<(), SwapoffError> {
    if let Some(own) = find(block_device)? {
        room::check(&own)?;
    }
    Ok(swap::off(block_device)?)
}

/// Swaps off `block_device`, which is that of `ramzswap<number>`: returns when all its pages are
/// back in memory or in other swap, which may take long. One that is not swapped on stays as it is;
/// while another process swaps it off, this waits.
///
/// # Errors
/// The device is then still swapped on: [`DeviceError::SwapoffNoRoom`] if the kernel would kill
/// a program to make room, [`DeviceError::SwapoffUnchecked`] if that can't be determined,
/// [`DeviceError::SwapoffNoMemory`] if the pages do not fit back, [`DeviceError::System`] if the kernel
/// refuses otherwise, or if `/proc/swaps` can't be read.
pub(crate) fn swap_off(
    number: u32,
    block_device: &Path,
    executor: &Executor<'_>,
) -> Result<(), DeviceError> {
    let device = || format!("ramzswap{number}");
    let is_on = || match find(block_device) {
        Ok(area) => Ok(area.is_some()),
        Err(e) => Err(swap::errors::unreadable(e)),
    };
    if !is_on()? {
        return Ok(());
    }
    let changes = Changes::watch().map_err(swap::errors::unreadable)?;
    let mut waits = false;
    loop {
        let source = match executor(block_device) {
            Ok(()) => {
                tracing::info!(device = device(), "swapped off");
                return Ok(());
            }
            Err(SwapoffError::NoRoom(reason)) => {
                return Err(DeviceError::SwapoffNoRoom { number, reason });
            }
            Err(SwapoffError::Unchecked(reason)) => {
                return Err(DeviceError::SwapoffUnchecked { number, reason });
            }
            Err(SwapoffError::System(source)) => source,
        };
        let remedy = match source.raw_os_error() {
            Some(libc::ENOMEM) => return Err(DeviceError::SwapoffNoMemory { number, source }),
            // Another process was faster. From its first moment on the kernel says that this is not a
            // swap area, but its pages are back only when it has left the table.
            Some(libc::EINVAL) => {
                if !is_on()? {
                    return Ok(());
                }
                if !waits {
                    tracing::info!(
                        device = device(),
                        "another process is swapping it off: waiting for that"
                    );
                    waits = true;
                }
                changes.wait(BUSY_RETRY).map_err(swap::errors::unreadable)?;
                continue;
            }
            Some(libc::EPERM) => "the device stays in use; only root may swap it off",
            _ => "the device stays in use; try again",
        };
        let action = format!("swap off ramzswap{number}");
        return Err(DeviceError::system(action, source, remedy));
    }
}
