//! What a cache's lock guards.

use super::balance::Balance;
use super::counts::Counts;
use super::index::Index;

/// What the lock guards. While it is free, with the names of [`List`](super::block::List):
///
/// 1. A slot on `Inactive` or `Active` holds its page; on `Shadows` it is a shadow, on `None` empty.
/// 2. On `Reserved` it does not hold its page; on `Pinned` it may not hold it yet.
/// 3. A block that is in use has a slot that is not on `None`.
/// 4. `held` and `known` of a file count its slots on lists that hold pages, and on any list.
pub(super) struct Guarded {
    pub(super) index: Index,
    pub(super) balance: Balance,
    pub(super) counts: Counts,
    /// Pages had to be dropped for others, and there is not much room since.
    pub(super) full: bool,
}
