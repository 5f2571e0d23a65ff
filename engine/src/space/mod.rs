//! Address spaces: from a page's index to its slot.

mod table;

pub use table::Table;
