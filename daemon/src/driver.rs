//! Which driver serves devices: the kernel's or the one in userspace.

use std::path::Path;

use compcache_device::kernel::{Presence, Root, module};

use crate::types::DriverChoice;

/// The driver that is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// The kernel driver; it is loaded and has devices.
    Kernel,
    /// The devices in userspace.
    User {
        /// Why not the kernel driver, if the user left the choice open.
        why: Option<String>,
    },
}

/// The kernel driver was requested and can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kernel driver: {why}; or use devices in userspace (--driver user)")]
pub struct NoKernelDriver {
    why: String,
}

impl NoKernelDriver {
    /// It can't be had for this reason.
    #[must_use]
    pub fn new(why: impl Into<String>) -> NoKernelDriver {
        NoKernelDriver { why: why.into() }
    }

    /// The reason alone.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// Chooses the driver, and loads it if that is needed and `load` says with how many devices.
///
/// # Errors
/// [`NoKernelDriver`] if the user insists on it.
pub fn choose(
    root: &Root,
    choice: DriverChoice,
    dev_dir: &Path,
    load: Option<u32>,
) -> Result<Chosen, NoKernelDriver> {
    if choice == DriverChoice::User {
        return Ok(Chosen::User { why: None });
    }
    match (obstacle(root, dev_dir, load), choice) {
        (None, _) => Ok(Chosen::Kernel),
        (Some(why), DriverChoice::Kernel) => Err(NoKernelDriver { why }),
        (why, _) => Ok(Chosen::User { why }),
    }
}

/// Why the kernel driver can't be used, if it can't.
fn obstacle(root: &Root, dev_dir: &Path, load: Option<u32>) -> Option<String> {
    if dev_dir != root.dev {
        return Some(format!(
            "not used: its devices are in {}, and {} was given",
            root.dev.display(),
            dev_dir.display()
        ));
    }
    let presence = root.presence();
    let has_devices = |devices: &[u32]| match devices {
        [] => Some("loaded, but without a device: load it with num_devices=1 or more".to_owned()),
        _ => None,
    };
    match (&presence, load) {
        (Presence::Loaded { devices }, _) => has_devices(devices),
        (Presence::Loadable { .. }, None) => {
            Some(format!("{presence} (`compcache swap on` loads it)"))
        }
        (Presence::Missing { .. }, _) => Some(presence.to_string()),
        (Presence::Loadable { .. }, Some(num_devices)) => match module::load(root, num_devices) {
            Ok(()) => has_devices(&root.numbers()),
            Err(error) => Some(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(loaded: bool, devices: u32) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::below(dir.path(), "6.1.0-test");
        if loaded {
            std::fs::create_dir_all(root.sys.join("module/ramzswap")).unwrap();
        }
        for number in 0..devices {
            std::fs::create_dir_all(root.sys.join(format!("block/ramzswap{number}"))).unwrap();
        }
        (dir, root)
    }

    fn why(root: &Root, dev_dir: &Path) -> String {
        match choose(root, DriverChoice::Auto, dev_dir, None) {
            Ok(Chosen::User { why: Some(why) }) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_kernel_driver_is_used_if_it_is_there() {
        let (_dir, root) = tree(true, 1);
        for choice in [DriverChoice::Auto, DriverChoice::Kernel] {
            assert_eq!(choose(&root, choice, &root.dev, None), Ok(Chosen::Kernel));
        }
        let user = choose(&root, DriverChoice::User, &root.dev, None);
        assert_eq!(user, Ok(Chosen::User { why: None }));
    }

    #[test]
    fn otherwise_it_is_said_why_not() {
        let (_dir, root) = tree(false, 0);
        assert_eq!(
            why(&root, &root.dev),
            "not loaded: module ramzswap not found for 6.1.0-test"
        );
        let error = choose(&root, DriverChoice::Kernel, &root.dev, Some(4)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "kernel driver: not loaded: module ramzswap not found for 6.1.0-test; or use devices \
             in userspace (--driver user)"
        );
        let (_dir, root) = tree(true, 0);
        assert!(why(&root, &root.dev).contains("num_devices=1"));
        let (_dir, root) = tree(true, 1);
        assert!(why(&root, Path::new("/tmp/dev")).contains("/tmp/dev was given"));
    }

    #[test]
    fn a_driver_that_is_installed_is_not_loaded_by_a_look() {
        let (_dir, root) = tree(false, 0);
        let modules = root.modules.join("6.1.0-test");
        std::fs::create_dir_all(&modules).unwrap();
        std::fs::write(modules.join("modules.dep"), "updates/ramzswap.ko:\n").unwrap();
        let why = why(&root, &root.dev);
        assert!(why.contains("compcache swap on"), "{why}");
    }
}
