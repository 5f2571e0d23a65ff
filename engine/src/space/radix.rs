//! The address space of a file: a radix tree from the number of a block of pages to its slots.
//!
//! Inner nodes have 64 children each; the height is as small as the highest number allows, so
//! that a file of one block has no node at all. All trees share one set of [`Nodes`]; a node
//! whose last child goes is freed, and a root with nothing but a first child gives way to it.
//! Modelled on the page cache's tree in Linux (`lib/radix-tree.c`, 2.6).

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Children of a node.
const CHILDREN: usize = 64;

/// Bits of a key that one level takes.
const BITS: u32 = CHILDREN.trailing_zeros();

/// Levels that every key fits into.
const MAX_HEIGHT: u32 = u64::BITS.div_ceil(BITS);

/// No child, or an empty tree.
const NONE: u32 = u32::MAX;

/// There is no memory for another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory for a node of the index")]
pub struct NoNode;

/// An inner node.
#[derive(Debug)]
struct Node {
    children: [u32; CHILDREN],
    used: u32,
}

impl Node {
    const EMPTY: Node = Node {
        children: [NONE; CHILDREN],
        used: 0,
    };
}

/// The inner nodes of all trees.
#[derive(Debug, Default)]
pub struct Nodes {
    // Each in a box of its own, so that growing moves none: they are held under a lock.
    #[allow(clippy::vec_box)]
    nodes: Vec<Box<Node>>,
    free: Vec<u32>,
}

impl Nodes {
    fn allocate(&mut self) -> Result<u32, NoNode> {
        if let Some(number) = self.free.pop() {
            return Ok(number);
        }
        let number = u32::try_from(self.nodes.len()).ok().filter(|n| *n != NONE);
        let number = number.ok_or(NoNode)?;
        self.nodes.try_reserve(1).map_err(|_| NoNode)?;
        // Room for every number, so that freeing never needs memory.
        self.free
            .try_reserve(self.nodes.len() + 1)
            .map_err(|_| NoNode)?;
        self.nodes.push(Box::new(Node::EMPTY));
        Ok(number)
    }

    fn free(&mut self, number: u32) {
        debug_assert_eq!(self.nodes[number as usize].used, 0, "the node is empty");
        self.free.push(number);
    }

    fn child(&self, node: u32, at: usize) -> u32 {
        self.nodes[node as usize].children[at]
    }

    /// Sets a child and returns how many the node has then.
    fn set(&mut self, node: u32, at: usize, child: u32) -> u32 {
        let node = &mut self.nodes[node as usize];
        node.used += u32::from(child != NONE);
        node.used -= u32::from(node.children[at] != NONE);
        node.children[at] = child;
        node.used
    }

    /// Nodes in use.
    pub fn used(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// Bytes of memory that they take, those not in use included.
    pub fn bytes(&self) -> u64 {
        (self.nodes.len() * Self::EACH) as u64
    }

    /// Bytes of memory that those in use take.
    pub fn used_bytes(&self) -> u64 {
        (self.used() * Self::EACH) as u64
    }

    /// Bytes of a node and of what leads to it.
    const EACH: usize = size_of::<Node>() + size_of::<Box<Node>>() + size_of::<u32>();
}

/// A tree from keys to leaves, both chosen by the caller; a leaf is below `u32::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    root: u32,
    height: u32,
}

impl Default for Tree {
    fn default() -> Self {
        Tree {
            root: NONE,
            height: 0,
        }
    }
}

/// Which child a key goes to in a node of that height, 1 or more.
fn at(key: u64, height: u32) -> usize {
    (key >> (BITS * (height - 1))) as usize % CHILDREN
}

/// Whether a tree of that height has room for a key.
fn fits(key: u64, height: u32) -> bool {
    height >= MAX_HEIGHT || key >> (BITS * height) == 0
}

impl Tree {
    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.root == NONE
    }

    /// The leaf of a key.
    #[must_use]
    pub fn get(&self, nodes: &Nodes, key: u64) -> Option<u32> {
        if !fits(key, self.height) {
            return None;
        }
        let mut node = self.root;
        for height in (1..=self.height).rev() {
            if node == NONE {
                return None;
            }
            node = nodes.child(node, at(key, height));
        }
        (node != NONE).then_some(node)
    }

    /// Sets the leaf of a key that has none.
    ///
    /// # Errors
    /// [`NoNode`]; the tree then holds what it held before.
    pub fn insert(&mut self, nodes: &mut Nodes, key: u64, leaf: u32) -> Result<(), NoNode> {
        debug_assert!(leaf != NONE && self.get(nodes, key).is_none());
        if self.is_empty() {
            self.height = (0..MAX_HEIGHT)
                .find(|h| fits(key, *h))
                .unwrap_or(MAX_HEIGHT);
        }
        while !fits(key, self.height) {
            let root = nodes.allocate()?;
            nodes.set(root, 0, self.root);
            self.root = root;
            self.height += 1;
        }
        let made = self.grow_to(nodes, key, leaf);
        if made.is_err() {
            // Takes away what was made on the way, and what the tree grew by.
            self.prune(nodes, key);
        }
        made
    }

    fn grow_to(&mut self, nodes: &mut Nodes, key: u64, leaf: u32) -> Result<(), NoNode> {
        if self.height == 0 {
            self.root = leaf;
            return Ok(());
        }
        if self.is_empty() {
            self.root = nodes.allocate()?;
        }
        let mut node = self.root;
        for height in (2..=self.height).rev() {
            let mut child = nodes.child(node, at(key, height));
            if child == NONE {
                child = nodes.allocate()?;
                nodes.set(node, at(key, height), child);
            }
            node = child;
        }
        nodes.set(node, at(key, 1), leaf);
        Ok(())
    }

    /// Takes away the leaf of a key and returns it.
    pub fn remove(&mut self, nodes: &mut Nodes, key: u64) -> Option<u32> {
        let leaf = self.get(nodes, key)?;
        if self.height == 0 {
            *self = Tree::default();
            return Some(leaf);
        }
        let mut node = self.root;
        for height in (2..=self.height).rev() {
            node = nodes.child(node, at(key, height));
        }
        nodes.set(node, at(key, 1), NONE);
        self.prune(nodes, key);
        Some(leaf)
    }

    /// Frees the nodes without children on the way to a key, and roots with nothing but a first
    /// child.
    fn prune(&mut self, nodes: &mut Nodes, key: u64) {
        let mut path = [NONE; MAX_HEIGHT as usize + 1];
        let mut node = self.root;
        for height in (1..=self.height).rev() {
            if node == NONE {
                break;
            }
            path[height as usize] = node;
            node = nodes.child(node, at(key, height));
        }
        for height in 1..=self.height {
            let node = path[height as usize];
            if node == NONE {
                continue;
            }
            if nodes.nodes[node as usize].used > 0 {
                break;
            }
            nodes.free(node);
            if height == self.height {
                *self = Tree::default();
                return;
            }
            nodes.set(path[height as usize + 1], at(key, height + 1), NONE);
        }
        while self.height > 0 && self.root != NONE {
            let (first, used) = (
                nodes.child(self.root, 0),
                nodes.nodes[self.root as usize].used,
            );
            if used != 1 || first == NONE {
                break;
            }
            nodes.set(self.root, 0, NONE);
            nodes.free(self.root);
            self.root = first;
            self.height -= 1;
        }
    }

    /// The first key from `from` on that has a leaf, and that leaf.
    #[must_use]
    pub fn next(&self, nodes: &Nodes, from: u64) -> Option<(u64, u32)> {
        if self.is_empty() || !fits(from, self.height) {
            return None;
        }
        Self::next_below(nodes, self.root, self.height, from)
    }

    fn next_below(nodes: &Nodes, node: u32, height: u32, from: u64) -> Option<(u64, u32)> {
        if height == 0 {
            return Some((from, node));
        }
        let shift = BITS * (height - 1);
        let first = at(from, height);
        let base = from & !((CHILDREN as u64 - 1) << shift) & !((1 << shift) - 1);
        for i in first..CHILDREN {
            let child = nodes.child(node, i);
            if child == NONE {
                continue;
            }
            let start = base | (i as u64) << shift;
            let from = if i == first { from } else { start };
            if let Some(found) = Self::next_below(nodes, child, height - 1, from) {
                return Some(found);
            }
        }
        None
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u64),
        Remove(u64),
        Next(u64),
    }

    fn key() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..200_u64,
            (0..64_u32).prop_map(|bit| 1 << bit),
            (0..64_u32).prop_map(|bit| u64::MAX >> bit),
            any::<u64>()
        ]
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => key().prop_map(Op::Insert),
            2 => key().prop_map(Op::Remove),
            2 => key().prop_map(Op::Next)
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_map(ops in prop::collection::vec(op(), 1..300)) {
            let (mut nodes, mut tree) = (Nodes::default(), Tree::default());
            let mut model = BTreeMap::new();
            for (leaf, op) in (0..).zip(ops) {
                match op {
                    Op::Insert(key) => {
                        if let std::collections::btree_map::Entry::Vacant(entry) = model.entry(key) {
                            entry.insert(leaf);
                            tree.insert(&mut nodes, key, leaf).unwrap();
                        }
                    }
                    Op::Remove(key) => {
                        prop_assert_eq!(tree.remove(&mut nodes, key), model.remove(&key));
                    }
                    Op::Next(key) => {
                        let next = model.range(key..).next().map(|(k, l)| (*k, *l));
                        prop_assert_eq!(tree.next(&nodes, key), next);
                        prop_assert_eq!(tree.get(&nodes, key), model.get(&key).copied());
                    }
                }
            }
            for key in model.keys() {
                prop_assert!(tree.remove(&mut nodes, *key).is_some());
            }
            prop_assert!(tree.is_empty());
            prop_assert_eq!(nodes.used(), 0, "every node is freed");
        }
    }

    #[test]
    fn small_files_need_no_node() {
        let (mut nodes, mut tree) = (Nodes::default(), Tree::default());
        tree.insert(&mut nodes, 0, 9).unwrap();
        assert_eq!((tree.get(&nodes, 0), nodes.used()), (Some(9), 0));
        tree.insert(&mut nodes, 63, 8).unwrap();
        assert_eq!(nodes.used(), 1);
        tree.insert(&mut nodes, 64, 7).unwrap();
        assert_eq!(nodes.used(), 3);
        tree.remove(&mut nodes, 64);
        assert_eq!((tree.get(&nodes, 63), nodes.used()), (Some(8), 1));
    }
}
