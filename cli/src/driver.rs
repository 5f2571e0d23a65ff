//! The two roads to a swap device: the kernel driver, or the daemon.

use compcache_device::{KernelDevice, SwapDevice as _};
use compcached::ClientError;
use compcached::args::DEFAULT_NUM_DEVICES;
use compcached::config::Config;
use compcached::driver::{self, Chosen};
use compcached::protocol::{KernelLease, Request, Response};
use compcached::registry::Registry;
use compcached::swapoff::Program;
use compcached::types::DriverChoice;

use crate::env::Places;
use crate::error::CliError;

/// The driver that was wanted and the one that is used.
#[derive(Clone, Debug)]
pub(crate) struct Driver {
    /// What the user or the configuration says.
    pub choice: DriverChoice,
    /// What that comes to.
    pub chosen: Chosen,
}

impl Places {
    /// Which driver serves new devices. It is loaded if it is not, can be and this user may, and
    /// `load`.
    ///
    /// # Errors
    /// [`CliError::NoKernelDriver`] if it was asked for and is not there;
    /// [`CliError::Config`].
    pub(crate) fn driver(&self, load: bool) -> Result<Driver, CliError> {
        let config = self.config()?;
        let choice = self.choice_by(&config);
        let load = load.then(|| config.num_devices.unwrap_or(DEFAULT_NUM_DEVICES));
        let chosen = driver::choose(&self.kernel, choice, &self.dev_dir, load)?;
        Ok(Driver { choice, chosen })
    }

    /// The system's configuration, which a user without root does not have.
    fn config(&self) -> Result<Config, CliError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Config::default());
        }
        Ok(Config::load(None)?)
    }

    /// The kernel driver's devices.
    pub(crate) fn kernel_devices(&self) -> Registry {
        compcached::kernel::registry(&self.kernel, Program::Command)
    }

    fn choice_by(&self, config: &Config) -> DriverChoice {
        self.choice.unwrap_or(config.driver)
    }

    /// Whether the device that is named by this number is the kernel driver's: by the choice, or
    /// by whose it is.
    ///
    /// # Errors
    /// [`CliError::Config`].
    pub(crate) fn is_kernels(&self, number: u32) -> Result<bool, CliError> {
        Ok(match self.choice_by(&self.config()?) {
            DriverChoice::Auto => self.has_kernel_device(number),
            DriverChoice::Kernel => true,
            DriverChoice::User => false,
        })
    }

    /// Whether the kernel driver has the device that users know by this number.
    pub(crate) fn has_kernel_device(&self, number: u32) -> bool {
        let device = KernelDevice::new(number, self.kernel.clone());
        self.dev_dir == self.kernel.dev && device.exists() && device.hidden_by().is_none()
    }

    /// The lease on a device of the kernel driver that a daemon holds, if one does.
    ///
    /// # Errors
    /// [`CliError::Client`] if a daemon runs and does not answer.
    pub(crate) fn kernel_lease(&self) -> Result<Option<KernelLease>, CliError> {
        let mut client = match self.connect_now() {
            Err(CliError::Client(ClientError::NoDaemon(_))) => return Ok(None),
            client => client?,
        };
        match client.request(&Request::Status { device: None })? {
            Response::Status { daemon, .. } => Ok(daemon.kernel_lease),
            _ => Err(CliError::Answer),
        }
    }
}

impl Driver {
    /// Whether it is the kernel's.
    pub(crate) fn is_kernel(&self) -> bool {
        self.chosen == Chosen::Kernel
    }

    /// Why the kernel driver is not used, if the user left that open.
    pub(crate) fn why_not(&self) -> Option<&str> {
        match &self.chosen {
            Chosen::User { why } => why.as_deref(),
            Chosen::Kernel => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use compcache_device::kernel::Root;

    /// Places whose kernel driver has one device, in a tree of files.
    fn places(directory: &std::path::Path) -> Places {
        let root = Root::below(directory, "6.1.0-test");
        std::fs::create_dir_all(root.sys.join("module/ramzswap")).unwrap();
        std::fs::create_dir_all(root.sys.join("block/ramzswap0")).unwrap();
        std::fs::create_dir_all(&root.dev).unwrap();
        let mut places = Places::new(Some(directory.join("run")), Some(root.dev.clone()));
        places.kernel = root;
        places.choice = Some(DriverChoice::Auto);
        places
    }

    #[test]
    fn a_number_is_of_the_kernel_driver_if_its_node_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut places = places(dir.path());
        assert!(places.driver(false).unwrap().is_kernel());
        assert!(places.has_kernel_device(0) && !places.has_kernel_device(1));
        places.choice = Some(DriverChoice::Kernel);
        assert!(places.is_kernels(1).unwrap(), "its refusal is to be shown");
        places.choice = Some(DriverChoice::Auto);
        std::os::unix::fs::symlink("/dev/loop0", places.kernel.node(0)).unwrap();
        assert!(
            !places.is_kernels(0).unwrap(),
            "a device in userspace has the name"
        );
        std::fs::remove_file(places.kernel.node(0)).unwrap();
        places.choice = Some(DriverChoice::User);
        assert!(!places.is_kernels(0).unwrap());
        assert_eq!(places.driver(false).unwrap().why_not(), None);
        places.choice = Some(DriverChoice::Auto);
        places.dev_dir = dir.path().join("other");
        assert!(!places.is_kernels(0).unwrap());
        let driver = places.driver(false).unwrap();
        assert!(driver.why_not().unwrap().contains("other was given"));
    }

    #[test]
    fn without_a_daemon_nothing_is_leased() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(places(dir.path()).kernel_lease().unwrap(), None);
    }
}
