//! A file that the kernel has open.

use std::sync::Arc;

use crate::content::Reported;
use crate::inode::{Inode, Open};

/// A file that the kernel has open.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) inode: Arc<Inode>,
    pub(super) open: Arc<Open>,
    pub(super) reported: Reported,
    pub(super) writes: bool,
    /// Who has opened it.
    pub(super) uid: u32,
}
