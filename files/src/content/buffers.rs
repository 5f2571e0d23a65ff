//! What a thread works with while it serves a request: codecs and room for pages.

use std::alloc::{Layout, handle_alloc_error};

use compcache_engine::store::Worker;
use compcache_engine::{PAGE_SIZE, Page};
use parking_lot::Mutex;

use super::cache::Cache;

/// BufferPool that are kept for the next request.
const KEPT: usize = 16;

/// Codecs and room for pages.
pub(super) struct Buffers {
    pub(super) worker: Worker,
    pages: Vec<Page>,
}

impl Buffers {
    /// The codecs, and room for so many pages, whose bytes are what the last request left.
    pub(super) fn parts(&mut self, pages: usize) -> (&mut Worker, &mut [Page]) {
        if self.pages.len() < pages {
            self.pages.resize(pages, [0; PAGE_SIZE]);
        }
        (&mut self.worker, &mut self.pages[..pages])
    }
}

/// The buffers of a mount that nobody works at.
#[derive(Default)]
pub(super) struct BufferPool(Mutex<Vec<Buffers>>);

impl BufferPool {
    /// Works at a buffers.
    pub(super) fn with<T>(&self, cache: &Cache, work: impl FnOnce(&mut Buffers) -> T) -> T {
        let free = self.0.lock().pop();
        let mut buffers = free.unwrap_or_else(|| Buffers {
            // As when any other allocation of the process fails.
            worker: cache
                .try_worker()
                .unwrap_or_else(|_| handle_alloc_error(Layout::new::<Worker>())),
            pages: Vec::new(),
        });
        let done = work(&mut buffers);
        let mut free = self.0.lock();
        if free.len() < KEPT {
            free.push(buffers);
        }
        done
    }
}
