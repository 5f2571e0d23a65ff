//! Reading and writing a device's attributes, and the errors if the driver refuses.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use super::KernelDevice;
use crate::error::DeviceError;
use crate::kernel::attributes::{BACKING_DEV, DISKSIZE, IN_USE, RESET, Setting, chosen};
use crate::swap_device::SwapDevice;

impl KernelDevice {
    /// Reads an attribute, without the line's end.
    ///
    /// # Errors
    /// Those of reading the file: `ENOENT` if the driver has no such device.
    pub fn read(&self, attribute: &str) -> io::Result<String> {
        let text = self.read_bytes(attribute)?;
        Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
    }

    /// Reads an attribute as it is.
    pub(super) fn read_bytes(&self, attribute: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.root.block(self.number).join(attribute))
    }

    /// Reads a number; 0 if there is none.
    pub(super) fn read_number(&self, attribute: &str) -> u64 {
        let text = self.read(attribute).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Writes an attribute.
    pub(super) fn write(&self, setting: &Setting) -> Result<(), DeviceError> {
        // Not created, if it is not there.
        let file = std::fs::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(self.root.block(self.number).join(setting.attribute))
            .map_err(|source| self.not_opened(setting, source))?;
        write_line(file, &setting.value).map_err(|source| self.refused(setting, source))
    }

    /// Writes all of these, or none: if one is refused, those before it are set back.
    pub(super) fn write_all(&self, settings: &[Setting]) -> Result<(), DeviceError> {
        let mut before = Vec::new();
        for setting in settings {
            let old = self.setting(setting.attribute);
            if let Err(error) = self.write(setting) {
                // Initialised by somebody else meanwhile: then it is theirs.
                if matches!(error, DeviceError::AlreadyInitialised { .. }) {
                    return Err(error);
                }
                for old in before.iter().rev() {
                    if let Err(error) = self.write(old) {
                        tracing::error!("could not undo a failed change: {error}");
                    }
                }
                return Err(error);
            }
            before.extend(old.ok());
        }
        Ok(())
    }

    /// What an attribute is set to now.
    fn setting(&self, attribute: &'static str) -> io::Result<Setting> {
        if attribute == BACKING_DEV {
            return Ok(Setting::backing_swap(self.backing_swap()?.as_deref()));
        }
        let text = self.read(attribute)?;
        Ok(Setting::new(attribute, chosen(&text)))
    }

    /// The error if an attribute's file can't be opened.
    fn not_opened(&self, setting: &Setting, source: io::Error) -> DeviceError {
        let remedy = match source.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => "only root may do this".to_owned(),
            Some(libc::ENOENT | libc::ENODEV) => {
                "the driver has no such device or attribute: is another version of ramzswap.ko \
                 loaded?"
                    .to_owned()
            }
            _ => self.log(),
        };
        DeviceError::system(self.action(setting), source, &*remedy)
    }

    /// The error if the driver did not take a value. Those that open the backing swap give back
    /// its errors.
    fn refused(&self, setting: &Setting, source: io::Error) -> DeviceError {
        let code = source.raw_os_error().unwrap_or(0);
        match (setting.attribute, code) {
            (RESET, libc::EBUSY) => self
                .busy("it is swapped on, mounted or open in a program; swapoff first, or free it"),
            (BACKING_DEV, libc::EBUSY) if !self.is_ready() => DeviceError::BackingBusy {
                path: OsStr::from_bytes(&setting.value).into(),
                user: IN_USE.to_owned(),
            },
            (DISKSIZE, libc::EBUSY) => self.taken("initialise it again"),
            (_, libc::EBUSY) => self.already("change its parameters"),
            (BACKING_DEV | DISKSIZE, libc::EACCES | libc::EPERM) => {
                let remedy = format!("only root may do this; if you are, {}", self.log());
                DeviceError::system(self.action(setting), source, &*remedy)
            }
            (_, libc::EACCES | libc::EPERM) => {
                DeviceError::system(self.action(setting), source, "only root may do this")
            }
            (_, libc::ENOMEM) => {
                let remedy = "give a smaller size, or free memory";
                DeviceError::system(self.action(setting), source, remedy)
            }
            _ => DeviceError::system(self.action(setting), source, &*self.log()),
        }
    }

    fn action(&self, setting: &Setting) -> String {
        let Setting { attribute, value } = setting;
        let value = String::from_utf8_lossy(value);
        format!("set {attribute} of ramzswap{} to \"{value}\"", self.number)
    }
}

/// Writes in one call, as sysfs wants it.
fn write_line(mut file: std::fs::File, value: &[u8]) -> io::Result<()> {
    use std::io::Write as _;

    let line = [value, b"\n"].concat();
    match file.write(&line)? {
        n if n == line.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::attributes::{INITSTATE, MEM_LIMIT};
    use crate::kernel::tests::tree;

    #[test]
    fn an_error_of_the_backing_swap_is_not_one_of_the_device() {
        let (_dir, root) = tree(1);
        let device = KernelDevice::new(0, root.clone());
        let put = |name: &str, text: &str| {
            std::fs::write(root.sys.join("block/ramzswap0").join(name), text).unwrap();
        };
        put(BACKING_DEV, "/set\n");
        let message_for = |ready: bool, attribute, code| {
            put(INITSTATE, if ready { "1\n" } else { "0\n" });
            let source = io::Error::from_raw_os_error(code);
            let error = device.refused(&Setting::new(attribute, "/given"), source);
            error.to_string()
        };
        let log = "dmesg | grep ramzswap0";
        for (ready, attribute, code, words) in [
            (false, BACKING_DEV, libc::EBUSY, "swap /given is in use by"),
            (true, BACKING_DEV, libc::EBUSY, "already initialised"),
            (false, BACKING_DEV, libc::ENOENT, log),
            (false, BACKING_DEV, libc::EPERM, log),
            (false, DISKSIZE, libc::EBUSY, "swap /set is in use by"),
            (true, DISKSIZE, libc::EBUSY, "to initialise it again"),
            (false, DISKSIZE, libc::EACCES, log),
            (false, DISKSIZE, libc::ENOMEM, "free memory"),
            (false, MEM_LIMIT, libc::EPERM, "only root may do this"),
            (true, RESET, libc::EBUSY, "ramzswap0 is busy"),
        ] {
            let message = message_for(ready, attribute, code);
            assert!(message.contains(words), "{attribute} {code}: {message}");
        }
    }
}
