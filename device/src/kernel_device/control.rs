//! Setting up a device by the [`ioctl`](crate::kernel::ioctl)s of compcache 0.6.2, as its control
//! program `rzscontrol` does.

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;

use compcache_host::remedy;

use super::KernelDevice;
use crate::error::DeviceError;
use crate::kernel::ioctl::{
    GET_STATS, INIT, RESET, SET_BACKING_SWAP, SET_DISKSIZE_KB, SET_MEMLIMIT_KB, Stats, c_name,
};
use crate::params::ParamsUpdate;
use crate::swap_device::SwapDevice;
use crate::warning::Warning;

/// A device that is controlled by ioctls.
#[derive(Debug)]
pub struct Control<'a> {
    device: &'a KernelDevice,
    file: File,
}

impl<'a> Control<'a> {
    /// Opens the device's node as the original did: without waiting.
    ///
    /// # Errors
    /// [`DeviceError::System`] if this user may not, or the node is not there.
    pub fn open(device: &'a KernelDevice) -> Result<Self, DeviceError> {
        let node = device.node();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
            .open(&node)
            .map_err(|e| {
                DeviceError::system(
                    format!("open {}", node.display()),
                    e,
                    "run this as root; the node must be the driver's own",
                )
            })?;
        Ok(Control { device, file })
    }

    /// Sets parameters (backing swap, memory limit, disk size, in the original's order), then
    /// initialises the device if `init`. Returns warnings for the user.
    ///
    /// # Errors
    /// [`DeviceError`] if a value or a rule refuses them, or the driver. The device is then
    /// as it was.
    pub fn configure(
        &self,
        update: &ParamsUpdate,
        init: bool,
    ) -> Result<Vec<Warning>, DeviceError> {
        let before = self.device.set_so_far();
        if self.device.is_ready() {
            let action = if update.is_empty() {
                "initialise it again"
            } else {
                "change its parameters"
            };
            return Err(self.device.already(action));
        }
        let params = self.device.params(&update.clone().or(before.clone()))?;
        let warnings = self.device.resolve(&params)?.1;
        let done = self.set(update).and_then(|()| match init {
            true => self.init(),
            false => Ok(()),
        });
        if let Err(error) = done {
            // Initialised by somebody else meanwhile: then it is theirs.
            if matches!(error, DeviceError::AlreadyInitialised { .. }) {
                return Err(error);
            }
            let undone = self.reset().and_then(|()| self.set(&before));
            if let Err(error) = undone {
                tracing::error!("could not undo a failed change: {error}");
            }
            return Err(error);
        }
        Ok(warnings)
    }

    /// Initialises it, and gives it the swap header with which the original came.
    fn init(&self) -> Result<(), DeviceError> {
        self.call(INIT, std::ptr::null_mut(), "initialise")?;
        self.device.ensure_swap_header()
    }

    fn set(&self, update: &ParamsUpdate) -> Result<(), DeviceError> {
        if let Some(path) = &update.backing_swap {
            let mut name = c_name(path)?;
            let name = std::ptr::from_mut(&mut name).cast();
            self.call(SET_BACKING_SWAP, name, "set the backing swap of")?;
        }
        for (request, bytes, action) in [
            (SET_MEMLIMIT_KB, update.memlimit, "set the memory limit of"),
            (SET_DISKSIZE_KB, update.disksize, "set the size of"),
        ] {
            let Some(bytes) = bytes else { continue };
            // Not over 2^34: the rules have been asked.
            let mut kb = usize::try_from(bytes / 1024).unwrap_or(usize::MAX);
            self.call(request, std::ptr::from_mut(&mut kb).cast(), action)?;
        }
        Ok(())
    }

    /// Takes the device back to its state before it was initialised.
    ///
    /// # Errors
    /// [`DeviceError::Busy`] while it is swapped on or held.
    pub fn reset(&self) -> Result<(), DeviceError> {
        self.call(RESET, std::ptr::null_mut(), "reset")
    }

    /// The device's statistics; `None` if it is not initialised.
    ///
    /// # Errors
    /// [`DeviceError::System`] if the driver does not know the call.
    pub fn stats(&self) -> Result<Option<Stats>, DeviceError> {
        // SAFETY: integers and arrays of them: all zeros is a value of this type.
        let mut stats: Stats = unsafe { std::mem::zeroed() };
        if !self.device.is_ready() {
            return Ok(None);
        }
        let into = std::ptr::from_mut(&mut stats).cast();
        self.call(GET_STATS, into, "read the statistics of")?;
        Ok(Some(stats))
    }

    fn call(
        &self,
        request: u32,
        argument: *mut c_void,
        action: &'static str,
    ) -> Result<(), DeviceError> {
        // SAFETY: each caller passes null, or a pointer to a value that lives through the call and
        // has the size that `request` names; the kernel reads or writes no more than that.
        let done = unsafe { libc::ioctl(self.file.as_raw_fd(), request as libc::Ioctl, argument) };
        if done == 0 {
            return Ok(());
        }
        Err(refused(
            self.device,
            request,
            action,
            io::Error::last_os_error(),
        ))
    }
}

/// What a call that the driver refused comes to.
fn refused(
    device: &KernelDevice,
    request: u32,
    action: &'static str,
    source: io::Error,
) -> DeviceError {
    match (source.raw_os_error(), request) {
        (Some(libc::EBUSY), RESET) => {
            device.busy("it is swapped on, mounted or open in a program; swapoff first")
        }
        (Some(libc::EBUSY), INIT) => device.taken("initialise it again"),
        (Some(libc::EBUSY), _) => device.already("change its parameters"),
        (Some(libc::EPERM | libc::EACCES), request) => {
            // That one opens the backing swap: it may be the file's error.
            let remedy = match request {
                INIT => format!("{}; or {}", remedy::root("CAP_SYS_ADMIN"), device.log()),
                _ => remedy::root("CAP_SYS_ADMIN"),
            };
            let action = format!("{action} ramzswap{}", device.number());
            DeviceError::system(action, source, &*remedy)
        }
        _ => DeviceError::system(
            format!("{action} ramzswap{}", device.number()),
            source,
            &*device.log(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The driver opens the backing swap when it initialises: only `initstate` says whether it is
    /// that or the device that is busy.
    #[test]
    fn what_is_busy_is_told_apart() {
        let (_dir, root) = crate::kernel::tests::tree(1);
        let device = KernelDevice::new(0, root.clone());
        let attribute = |name: &str| root.sys.join("block/ramzswap0").join(name);
        let refused = |request, code| {
            let error = refused(&device, request, "do", io::Error::from_raw_os_error(code));
            error.to_string()
        };
        std::fs::write(attribute("backing_dev"), "/swap\n").unwrap();
        let message = refused(INIT, libc::EBUSY);
        assert!(
            message.starts_with("backing swap /swap is in use by"),
            "{message}"
        );
        std::fs::write(attribute("initstate"), "1\n").unwrap();
        for (request, code, words) in [
            (INIT, libc::EBUSY, "already initialised: reset it first to"),
            (SET_DISKSIZE_KB, libc::EBUSY, "already initialised"),
            (RESET, libc::EBUSY, "ramzswap0 is busy: it is swapped on"),
            (SET_DISKSIZE_KB, libc::EPERM, &remedy::root("CAP_SYS_ADMIN")),
            (INIT, libc::EPERM, "dmesg | grep ramzswap0"),
            (INIT, libc::ENOENT, "dmesg | grep ramzswap0"),
        ] {
            let message = refused(request, code);
            assert!(message.contains(words), "{message}");
        }
    }
}
