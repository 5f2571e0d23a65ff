//! The kernel's switch for FUSE over io_uring, a parameter of its `fuse` module.
//!
//! It is off by default, and looked at in the handshake of a connection only: a connection
//! that has agreed on io_uring keeps it. While it is on, the kernel offers io_uring to every
//! new FUSE mount of the machine; servers that did not ask for it go on as ever.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use compcache_host::remedy;
use rustix::fs::FlockOperation;

use crate::error::DeviceError;

const PATH: &str = "/sys/module/fuse/parameters/enable_uring";

/// The error if the kernel does not speak FUSE over io_uring.
pub(in super::super) fn unsupported(reason: &str) -> DeviceError {
    DeviceError::system(
        "use FUSE over io_uring",
        std::io::Error::new(std::io::ErrorKind::Unsupported, reason),
        "it needs Linux 6.14 or later with CONFIG_FUSE_IO_URING: choose the transport fuse",
    )
}

/// Whether the parameter is on.
pub(crate) fn is_on() -> bool {
    std::fs::read(PATH).is_ok_and(|value| value.starts_with(b"Y"))
}

/// Whether the kernel has the parameter.
pub(crate) fn exists() -> bool {
    Path::new(PATH).exists()
}

/// Keeps the parameter on during a handshake. When it is dropped, the parameter is as it was
/// before.
pub(in super::super) struct Handshake {
    /// The parameter, locked, if this value has switched it on.
    switched: Option<File>,
}

impl Handshake {
    /// Switches the parameter on if it is off and `switch_on` allows it. Processes that do
    /// this wait for each other, so that none takes the other's value for the former one.
    pub(in super::super) fn begin(switch_on: bool) -> Result<Self, DeviceError> {
        if !switch_on {
            return Ok(Handshake { switched: None });
        }
        if !exists() {
            return Err(unsupported("the kernel does not have it"));
        }
        let failed = |e| {
            DeviceError::system(
                format!("switch on {PATH}"),
                e,
                &*format!(
                    "{}, or choose the transport fuse",
                    remedy::root("access to it")
                ),
            )
        };
        let mut file = File::options()
            .read(true)
            .write(true)
            .open(PATH)
            .map_err(failed)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
        let mut value = [0];
        file.read_exact(&mut value).map_err(failed)?;
        if value == *b"Y" {
            return Ok(Handshake { switched: None });
        }
        file.write_all(b"Y").map_err(failed)?;
        Ok(Handshake {
            switched: Some(file),
        })
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        if let Some(file) = &mut self.switched
            && let Err(error) = file.write_all(b"N")
        {
            tracing::error!("{PATH} stays on: {error}");
        }
    }
}
