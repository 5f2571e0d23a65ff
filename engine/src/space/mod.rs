//! Address spaces: from a page's index to its slot.

pub mod radix;
mod table;

pub use table::{NoSlot, Table};
