//! Which driver the user wants.

use super::choice::choice;

choice! {
    "driver",
    /// Which driver is to serve devices.
    pub enum DriverChoice {
        /// The kernel's if it is loaded or can be, otherwise the one in userspace.
        #[default]
        Auto = "auto",
        /// The kernel driver, or failure.
        Kernel = "kernel",
        /// The devices in userspace.
        User = "user",
    }
}
