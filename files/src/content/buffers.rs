//! Buffers of a thread while it serves a request: the codecs' working memory, and pages.

use std::alloc::{Layout, handle_alloc_error};

use compcache_engine::store::Worker;
use compcache_engine::{PAGE_SIZE, Page};
use parking_lot::Mutex;

use super::cache::Cache;

/// Buffers that are kept for later requests.
const KEPT: usize = 16;

/// The codecs' working memory, and pages.
pub(super) struct Buffers {
    pub(super) worker: Worker,
    pages: Vec<Page>,
}

impl Buffers {
    /// The codecs' working memory, and so many pages, whose contents are undefined.
    pub(super) fn parts(&mut self, pages: usize) -> (&mut Worker, &mut [Page]) {
        if self.pages.len() < pages {
            self.pages.resize(pages, [0; PAGE_SIZE]);
        }
        (&mut self.worker, &mut self.pages[..pages])
    }
}

/// The buffers of a mount that no thread uses at the moment.
#[derive(Default)]
pub(super) struct BufferPool(Mutex<Vec<Buffers>>);

impl BufferPool {
    /// Calls `work` with buffers of its own.
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
