//! What is known of a page beside its slot, for eight neighbouring pages of a file at once.

/// Slots of a block.
pub(super) const SLOTS: u32 = 8;

/// No slot: the end of a list.
pub(super) const NONE: u32 = u32::MAX;

/// On which list a slot is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum List {
    /// On none: the slot is empty.
    #[default]
    None,
    /// Held, and not accessed since it was inserted.
    Inactive,
    /// Held, and accessed again.
    Active,
    /// Evicted or bypassed; a shadow is left.
    Shadows,
    /// Held, and not to be evicted: dirty, or a file's only copy. On no list.
    Pinned,
    /// Not held, but a thread is about to store the page: see [`Ccache::insert`](super::Ccache::insert).
    /// On no list.
    Reserved,
}

impl List {
    /// Whether the page is held.
    pub(super) fn holds(self) -> bool {
        matches!(self, List::Inactive | List::Active | List::Pinned)
    }
}

/// Neighbours on a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    pub(super) next: u32,
    pub(super) prev: u32,
}

impl Default for Links {
    fn default() -> Self {
        Links {
            next: NONE,
            prev: NONE,
        }
    }
}

/// What is known of eight neighbouring pages of a file.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) file: u32,
    /// Index of its first page in the file, divided by 8.
    pub(super) key: u64,
    pub(super) links: [Links; SLOTS as usize],
    /// The access clock when each page was last accessed, modulo 2^32.
    pub(super) last_access: [u32; SLOTS as usize],
    pub(super) list: [List; SLOTS as usize],
}
