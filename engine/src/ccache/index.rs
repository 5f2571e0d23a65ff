//! The index: which slot a page of a file has, and all that is known of it beside the slot.
//!
//! ```text
//! file ── radix tree ── block: 8 neighbouring pages
//!                         │  slots (in the store's table): chunk, same-filled, shadow, empty
//!                         └─ file and key, and for each slot: list, neighbours, last access
//! ```
//!
//! A block's slots are `8 * number ..` of the store's table, so that a chunk's owner, which is
//! the number of its slot, leads back to the file.

use super::block::{Block, List, SLOTS};
use super::lists::Lists;
use super::slab::Slab;
use super::stream::Usefulness;
use crate::space::radix::{Nodes, Tree};

/// A file of a [`Ccache`](super::Ccache).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub(super) u32);

/// A slot of which something is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) slot: u32,
    /// Index of its page in the file.
    pub(super) page: u64,
    pub(super) list: List,
}

/// A file.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) tree: Tree,
    /// Pages held.
    pub(super) held: u64,
    /// Pages held or remembered.
    pub(super) known: u64,
    pub(super) usefulness: Usefulness,
}

/// The index of all files. One lock guards it.
#[derive(Debug)]
pub(super) struct Index {
    nodes: Nodes,
    pub(super) blocks: Slab<Block>,
    pub(super) files: Slab<Entry>,
    pub(super) lists: Lists,
    /// The access clock: pages accessed so far, modulo 2^32.
    pub(super) access_clock: u32,
    /// The eviction clock, by which shadows are dated: pages evicted or bypassed so far.
    pub(super) eviction_clock: u64,
}

impl Index {
    /// An empty index of at most `blocks` blocks.
    pub(super) fn new(blocks: u32) -> Self {
        Index {
            nodes: Nodes::default(),
            blocks: Slab::new(blocks),
            files: Slab::new(u32::MAX),
            lists: Lists::new(),
            access_clock: 0,
            eviction_clock: 0,
        }
    }

    /// The slot of a page, if anything is known of it.
    pub(super) fn find(&self, file: FileId, page: u64) -> Option<(u32, List)> {
        let block = self.files.get(file.0).tree.get(&self.nodes, page / 8)?;
        let at = (page % 8) as u32;
        let list = self.blocks.get(block).list[at as usize];
        (list != List::None).then_some((block * SLOTS + at, list))
    }

    /// The slot of a page, made if there is none; `None` if there is no room for it. `populate` makes
    /// the memory of a slot and its block's ready, and returns whether there is some.
    pub(super) fn find_or_make(
        &mut self,
        file: FileId,
        page: u64,
        populate: impl FnOnce(u32) -> bool,
    ) -> Option<u32> {
        let (key, at) = (page / 8, (page % 8) as u32);
        let tree = &mut self.files.get_mut(file.0).tree;
        if let Some(block) = tree.get(&self.nodes, key) {
            return Some(block * SLOTS + at);
        }
        let block = self.blocks.allocate()?;
        if !populate(block * SLOTS) || tree.insert(&mut self.nodes, key, block).is_err() {
            self.blocks.free(block);
            return None;
        }
        *self.blocks.get_mut(block) = Block {
            file: file.0,
            key,
            ..Block::default()
        };
        Some(block * SLOTS + at)
    }

    /// Which page a slot is of.
    pub(super) fn page_of(&self, slot: u32) -> (FileId, u64) {
        let block = self.blocks.get(slot / SLOTS);
        (FileId(block.file), block.key * 8 + u64::from(slot % SLOTS))
    }

    /// On which list a slot is.
    pub(super) fn list_of(&self, slot: u32) -> List {
        self.blocks.get(slot / SLOTS).list[(slot % SLOTS) as usize]
    }

    /// Moves a slot to a list, or to the front of the one that it is on, and keeps count. One that
    /// comes to be on [`List::None`] must be empty; its block is freed with the last of its slots (1 and 3 of
    /// [`Guarded`](super::guarded::Guarded)).
    pub(super) fn move_to(&mut self, slot: u32, to: List) {
        let from = self.list_of(slot);
        self.lists.move_to(&mut self.blocks, slot, to);
        let block = self.blocks.get(slot / SLOTS);
        let file = self.files.get_mut(block.file);
        file.held = file.held + u64::from(to.holds()) - u64::from(from.holds());
        file.known = file.known + u64::from(to != List::None) - u64::from(from != List::None);
        if to == List::None && block.list.iter().all(|list| *list == List::None) {
            let removed = file.tree.remove(&mut self.nodes, block.key);
            debug_assert_eq!(removed, Some(slot / SLOTS));
            self.blocks.free(slot / SLOTS);
        }
    }

    /// Pages held that may be evicted.
    pub(super) fn held(&self) -> u64 {
        self.lists.len(List::Inactive) + self.lists.len(List::Active)
    }

    /// The access clock when the page of a slot was last accessed.
    pub(super) fn last_access(&self, slot: u32) -> u32 {
        self.blocks.get(slot / SLOTS).last_access[(slot % SLOTS) as usize]
    }

    /// Notes that the page of a slot was never accessed: longer ago than any other.
    pub(super) fn set_never_accessed(&mut self, slot: u32) {
        self.blocks.get_mut(slot / SLOTS).last_access[(slot % SLOTS) as usize] =
            self.access_clock.wrapping_sub(u32::MAX / 2);
    }

    /// Notes that the page of a slot is accessed now.
    pub(super) fn set_accessed(&mut self, slot: u32) {
        self.blocks.get_mut(slot / SLOTS).last_access[(slot % SLOTS) as usize] = self.access_clock;
    }

    /// Slots of which something is known, of a file's block that is the first from page `from`
    /// on, with the first page after that block; `None` if nothing is known from there on.
    pub(super) fn known_from(
        &self,
        file: FileId,
        from: u64,
    ) -> Option<(impl Iterator<Item = Known> + use<>, u64)> {
        let tree = &self.files.get(file.0).tree;
        let (key, block) = tree.next(&self.nodes, from / 8)?;
        let known = self.blocks.get(block).list;
        let slots = (0..SLOTS)
            .map(move |at| {
                let list = known[at as usize];
                Known {
                    slot: block * SLOTS + at,
                    page: key * 8 + u64::from(at),
                    list,
                }
            })
            .filter(move |known| known.page >= from && known.list != List::None);
        Some((slots, (key + 1).saturating_mul(8)))
    }

    /// Bytes of the blocks that are in use, with the nodes that lead to them and their slots.
    pub(super) fn used_bytes(&self) -> u64 {
        let block = (size_of::<Block>() + SLOTS as usize * 8) as u64;
        self.nodes.used_bytes() + u64::from(self.blocks.used()) * block
    }

    /// Bytes of memory that the index takes, with the slots of its blocks.
    pub(super) fn bytes(&self) -> u64 {
        let slots = self.blocks.made() * u64::from(SLOTS) * 8;
        self.nodes.bytes() + self.blocks.bytes() + self.files.bytes() + slots
    }
}
