//! Where the driver is looked for, and what its devices are called.

use std::path::{Path, PathBuf};

/// The most devices that the driver makes.
pub const MAX_DEVICES: u32 = 32;

/// What the names of devices begin with, and the module's name.
pub const NAME: &str = "ramzswap";

/// Where the driver is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// sysfs: `/sys`.
    pub sys: PathBuf,
    /// Where the driver's device nodes appear: `/dev`.
    pub dev: PathBuf,
    /// Where modules are, a directory for each kernel's release: `/lib/modules`.
    pub modules: PathBuf,
    /// Where the lock of those who set up devices lies: `/run`.
    pub run: PathBuf,
    /// The release of the kernel that runs, as `uname -r` has it.
    pub release: String,
}

impl Default for Root {
    /// This machine.
    fn default() -> Self {
        let uname = rustix::system::uname();
        Root::below(Path::new("/"), &uname.release().to_string_lossy())
    }
}

impl Root {
    /// The tree below `directory`, under a kernel of this release.
    #[must_use]
    pub fn below(directory: &Path, release: &str) -> Root {
        Root {
            sys: directory.join("sys"),
            dev: directory.join("dev"),
            modules: directory.join("lib/modules"),
            run: directory.join("run"),
            release: release.to_owned(),
        }
    }

    /// Whether the driver is loaded.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.sys.join("module").join(NAME).is_dir()
    }

    /// The numbers of the driver's devices, in order.
    #[must_use]
    pub fn numbers(&self) -> Vec<u32> {
        let entries = std::fs::read_dir(self.sys.join("block"));
        let mut numbers: Vec<_> = entries
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| number(&entry.file_name().to_string_lossy()))
            .collect();
        numbers.sort_unstable();
        numbers
    }

    /// Whether the driver has a device of this number.
    #[must_use]
    pub fn has(&self, number: u32) -> bool {
        self.block(number).is_dir()
    }

    /// The node of a device.
    #[must_use]
    pub fn node(&self, number: u32) -> PathBuf {
        self.dev.join(format!("{NAME}{number}"))
    }

    /// The directory of a device in sysfs.
    pub(crate) fn block(&self, number: u32) -> PathBuf {
        self.sys.join("block").join(format!("{NAME}{number}"))
    }
}

/// The number in a device's name, `ramzswapN` with N in decimal.
#[must_use]
pub fn number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix(NAME)?;
    let number: u32 = digits.parse().ok()?;
    // Neither +1 nor 01.
    (number.to_string() == digits).then_some(number)
}
