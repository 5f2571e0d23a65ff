//! Where a mount's pages go.

use crate::options::WritePolicy;

/// Where a mount's pages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// To SOURCE at once.
    Through,
    /// To SOURCE, later.
    Back,
    /// Nowhere: they are here only.
    Memory,
}

impl Mode {
    pub(super) fn of(source: bool, write: WritePolicy) -> Self {
        match (source, write) {
            (false, _) => Mode::Memory,
            (true, WritePolicy::Through) => Mode::Through,
            (true, WritePolicy::Back) => Mode::Back,
        }
    }
}
