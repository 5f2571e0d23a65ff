//! By which channel requests come from the kernel.

use super::choice::choice;

choice! {
    "transport",
    /// By which channel requests come.
    pub enum Channel {
        /// io_uring if the kernel offers it by itself (`/sys/module/fuse/parameters/enable_uring`
        /// is `Y`) and it works, otherwise the classic channel.
        #[default]
        Auto = "auto",
        /// The classic channel: `/dev/fuse` is read and written.
        Fuse = "fuse",
        /// io_uring, or failure. The kernel's parameter is switched on for the moment in which a
        /// device is initialised.
        FuseUring = "fuse-uring",
    }
}
