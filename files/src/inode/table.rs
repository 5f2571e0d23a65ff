//! All inodes that the kernel knows of, by node.
//!
//! A node is the file's inode number at SOURCE wherever that is possible, because the kernel
//! shows it to programs, and some (git, backups) compare it over days.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock};

use super::node::Inode;
use super::stat::mix;
use crate::content::FileKey;

/// The node of the mount's own directory (`FUSE_ROOT_ID`).
pub(crate) const ROOT: u64 = 1;

/// Marks nodes that are not inode numbers.
const MADE_UP: u64 = 1 << 63;

const SHARDS: usize = 16;

/// Spreads nodes, which nobody can choose freely.
#[derive(Debug, Default)]
struct NodeHasher(u64);

impl Hasher for NodeHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = mix(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, node: u64) {
        self.0 = mix(node);
    }
}

type Nodes = HashMap<u64, Arc<Inode>, BuildHasherDefault<NodeHasher>>;

/// All inodes that the kernel knows of.
#[derive(Debug)]
pub(crate) struct Table {
    root: Arc<Inode>,
    // 1. An inode other than the root is in the shard of its node, and has `lookups` above 0.
    // 2. Its node is in `order`, or about to be; there may be nodes that no shard has, or one twice.
    shards: [RwLock<Nodes>; SHARDS],
    count: AtomicUsize,
    /// Nodes in the order in which the kernel looked them up. Taken before a shard, never under one.
    order: Mutex<VecDeque<u64>>,
    /// Above so many the kernel is asked to forget some.
    most: usize,
}

impl Table {
    /// A table that knows `root` only.
    pub(crate) fn new(root: Inode, most: usize) -> Self {
        Table {
            root: Arc::new(root),
            shards: std::array::from_fn(|_| RwLock::default()),
            count: AtomicUsize::new(0),
            order: Mutex::default(),
            most,
        }
    }

    /// How many inodes the kernel knows of, its root among them.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Relaxed) + 1
    }

    /// By how many there are too many.
    pub(crate) fn excess(&self) -> usize {
        self.len().saturating_sub(self.most)
    }

    /// The most that there should be.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// The node of the file `ino` of the device `dev`.
    pub(crate) fn node(&self, dev: u64, ino: u64) -> u64 {
        if dev == self.root.key.dev {
            if ino == self.root.key.ino {
                return ROOT;
            }
            if ino > ROOT && ino & MADE_UP == 0 {
                return ino;
            }
        }
        mix(mix(dev) ^ ino) | MADE_UP
    }

    fn shard(&self, node: u64) -> &RwLock<Nodes> {
        &self.shards[(mix(node) >> 32) as usize % SHARDS]
    }

    /// The inode of a node.
    ///
    /// # Errors
    /// ESTALE if the kernel does not know it.
    pub(crate) fn get(&self, node: u64) -> io::Result<Arc<Inode>> {
        if node == ROOT {
            return Ok(Arc::clone(&self.root));
        }
        let found = self.shard(node).read().get(&node).cloned();
        found.ok_or_else(|| io::Error::from_raw_os_error(libc::ESTALE))
    }

    /// The inode of a file, if the kernel knows it.
    pub(crate) fn find(&self, key: &FileKey) -> Option<Arc<Inode>> {
        let node = self.node(key.dev, key.ino);
        self.get(node).ok().filter(|inode| inode.key == *key)
    }

    /// The same for a reply that adds one to the kernel's lookup count.
    pub(crate) fn acquire(&self, key: &FileKey) -> Option<Arc<Inode>> {
        let node = self.node(key.dev, key.ino);
        if node == ROOT {
            return Some(Arc::clone(&self.root));
        }
        let shard = self.shard(node).read();
        let inode = shard.get(&node).filter(|inode| inode.key == *key)?;
        inode.lookups.fetch_add(1, Relaxed);
        inode.used.store(true, Relaxed);
        Some(Arc::clone(inode))
    }

    /// Adds an inode for a reply to a lookup. If the file is known already,
    /// gives back that inode; if the node belonged to a file that is gone, the new one takes it
    /// over, with another generation, and the old one's key is returned with it.
    ///
    /// # Errors
    /// EOVERFLOW if two files were given the same made-up node, which does not happen in
    /// practice (2^-63).
    pub(crate) fn insert(&self, mut inode: Inode) -> io::Result<(Arc<Inode>, Option<FileKey>)> {
        let node = inode.node;
        let mut shard = self.shard(node).write();
        if let Some(old) = shard.get(&node) {
            if (old.key.dev, old.key.ino) != (inode.key.dev, inode.key.ino) {
                return Err(io::Error::from_raw_os_error(libc::EOVERFLOW));
            }
            if old.key == inode.key && old.same_place(&inode) {
                old.lookups.fetch_add(1, Relaxed);
                old.used.store(true, Relaxed);
                return Ok((Arc::clone(old), None));
            }
            // What the kernel forgets of the old one is counted on the new one.
            inode.generation = old.generation.wrapping_add(1);
            *inode.lookups.get_mut() += old.lookups.load(Relaxed);
            let gone = old.key;
            let inode = Arc::new(inode);
            shard.insert(node, Arc::clone(&inode));
            return Ok((inode, Some(gone)));
        }
        let inode = Arc::new(inode);
        shard.insert(node, Arc::clone(&inode));
        drop(shard);
        self.count.fetch_add(1, Relaxed);
        self.order.lock().push_back(node);
        Ok((inode, None))
    }

    /// The kernel has forgotten `count` lookups of `node`. Returns the inode if it
    /// knows nothing of it any more.
    pub(crate) fn forget(&self, node: u64, count: u64) -> Option<Arc<Inode>> {
        if node == ROOT {
            return None;
        }
        let mut shard = self.shard(node).write();
        let inode = shard.get(&node)?;
        let left = inode.lookups.load(Relaxed).saturating_sub(count);
        inode.lookups.store(left, Relaxed);
        if left > 0 {
            return None;
        }
        let gone = shard.remove(&node);
        if shard.capacity() > 64 && shard.len() < shard.capacity() / 4 {
            shard.shrink_to_fit();
        }
        drop(shard);
        self.count.fetch_sub(1, Relaxed);
        gone
    }

    /// Up to `count` inodes that were looked up long ago and not used since.
    pub(crate) fn oldest(&self, count: usize) -> Vec<Arc<Inode>> {
        let mut order = self.order.lock();
        let mut found = Vec::with_capacity(count);
        // Each at most twice: the first time it may only be marked as unused.
        for _ in 0..2 * order.len() {
            if found.len() == count {
                break;
            }
            let Some(node) = order.pop_front() else { break };
            let Ok(inode) = self.get(node) else { continue };
            // It stays in the order until the kernel forgets it.
            order.push_back(node);
            // Tried: who has it may wait for SOURCE.
            let busy = inode.open_directories.load(Relaxed) > 0
                || inode.state.try_lock().is_none_or(|s| s.open.is_some());
            if !inode.used.swap(false, Relaxed) && !busy {
                found.push(inode);
            }
        }
        if order.capacity() > 1024 && order.len() < order.capacity() / 4 {
            order.shrink_to_fit();
        }
        found
    }

    /// Takes the nodes out of the order that the kernel has forgotten, if there are many.
    pub(crate) fn tidy(&self) {
        let mut order = self.order.lock();
        if order.len() > 2 * self.len() + 1024 {
            let mut live = std::collections::HashSet::new();
            order.retain(|&node| self.get(node).is_ok() && live.insert(node));
            order.shrink_to_fit();
        }
    }
}
