//! When dead slots are to be freed.

use super::choice::choice;

choice! {
    "way to free dead slots",
    /// When dead slots are to be freed.
    pub enum DeadSlots {
        /// At once if the kernel allows it, otherwise by cluster.
        #[default]
        Auto = "auto",
        /// By cluster: when the kernel discards 512 of them together.
        Clusters = "clusters",
    }
}
