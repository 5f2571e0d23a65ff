//! A worker's batch: chunks that wait in the worker's own memory to be placed together.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::limits::STORED_AS_IT_IS_ABOVE;
use crate::codec::CodecId;
use crate::fallible::{NoMemory, collect, reserved};
use crate::page::PAGE_SIZE;
use crate::pool::Placed;
use crate::slot::Slot;

/// Pages of a batch, at most.
pub(super) const BATCH: usize = 8;

/// Bytes for chunks that wait: with chunks of usual length a batch is not cut short by it.
const STAGING: usize = 4 * PAGE_SIZE;

/// A page of a batch.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) index: u64,
    /// What it took so far.
    pub(super) took_ns: u64,
    pub(super) content: Content,
}

/// What a page of a batch became.
#[derive(Debug)]
pub(super) enum Content {
    /// Its slot will hold it.
    Slot(Slot),
    /// A chunk in the staging memory.
    Chunk {
        codec: CodecId,
        start: usize,
        length: usize,
        placed: Option<Placed>,
    },
}

/// A worker's batch, and the memory into which it compresses.
#[derive(Debug)]
pub(super) struct Staging {
    pub(super) waiting: Vec<Waiting>,
    // Boxed: workers are handed from thread to thread, some with small stacks.
    pub(super) bytes: Box<[u8]>,
    /// Bytes of chunks that wait. Behind them there is always room for one that does not.
    pub(super) filled: usize,
}

impl Staging {
    pub(super) fn try_new() -> Result<Self, NoMemory> {
        Ok(Staging {
            waiting: reserved(BATCH)?,
            bytes: collect(STAGING, |_| 0)?,
            filled: 0,
        })
    }

    /// Memory for the chunk of a page: `most` bytes, of [`STORED_AS_IT_IS_ABOVE`] at most.
    #[inline]
    pub(super) fn room(&mut self, most: usize) -> &mut [u8] {
        &mut self.bytes[self.filled..self.filled + most]
    }

    /// Whether one more page may wait, even as it is, and leave room for a chunk behind it.
    pub(super) fn has_room(&self) -> bool {
        let longest = PAGE_SIZE + STORED_AS_IT_IS_ABOVE;
        self.waiting.len() < BATCH && self.filled + longest <= STAGING
    }
}
