//! The store against a model, and under many threads at once.

mod model;
#[cfg(feature = "zstd")]
mod recompress;
mod rules;
mod stage;
mod stress;
mod transit;

use std::boxed::Box;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

use super::*;
use compcache_random::Random;

use crate::backing::{Backing, BackingAccess, BackingError, Transfer, Unread};
use crate::codec::{CodecId, CodecSpec, Codecs as _};
use crate::host::heap::{HeapFrames, HeapSlots};
use crate::host::testing::TestHost;
use crate::page::{PAGE_SIZE, Page};
use crate::slot::{self, Slot};
use crate::stats::Stats;

type TestStore = Store<TestHost, HeapFrames, HeapSlots>;

const CONFIG: StoreConfig = StoreConfig {
    memlimit: None,
    codec: CodecSpec::LZ4,
    arenas: 2,
    reserve_bytes: 1 << 20,
};

/// A backing store in memory that can be made to fail.
#[derive(Clone, Debug, Default)]
struct MemoryBacking(Arc<MemoryBackingState>);

#[derive(Debug, Default)]
struct MemoryBackingState {
    pages: Mutex<HashMap<u64, Box<Page>>>,
    fail_reads: AtomicBool,
    fail_writes: AtomicBool,
    verifies: AtomicBool,
    /// What the next reads answer, the last one first.
    answers: Mutex<Vec<Unread>>,
}

impl Backing for MemoryBacking {
    fn read(&self, first: u64, pages: &mut [Page]) -> Result<(), Unread> {
        if self.0.fail_reads.load(Relaxed) {
            return Err(Unread::Failed(BackingError {
                transfer: Transfer::Read,
                index: first,
                errno: 5,
            }));
        }
        if let Some(answer) = self.0.answers.lock().pop() {
            return Err(answer);
        }
        let held = self.0.pages.lock();
        for (index, page) in (first..).zip(pages) {
            *page = **held
                .get(&index)
                .expect("only pages that were written are read");
        }
        Ok(())
    }

    fn verifies(&self) -> bool {
        self.0.verifies.load(Relaxed)
    }

    fn write(&self, first: u64, pages: &[Page]) -> Result<(), BackingError> {
        assert_ne!(first, 0, "page 0 is the backing swap's header");
        if self.0.fail_writes.load(Relaxed) {
            return Err(BackingError {
                transfer: Transfer::Write,
                index: first,
                errno: 28,
            });
        }
        let mut held = self.0.pages.lock();
        held.extend(
            (first..)
                .zip(pages)
                .map(|(index, page)| (index, Box::new(*page))),
        );
        Ok(())
    }
}

/// A page of one of several kinds, told apart by `seed`.
fn page(kind: usize, seed: u64) -> Page {
    let mut page = [0; PAGE_SIZE];
    let mut random = Random::new(seed);
    match kind % 6 {
        // Zeros; a word that fits into the slot; one that does not.
        0 => {}
        1 => crate::page::fill(&mut page, seed & 0xffff),
        2 => crate::page::fill(&mut page, random.next_u64() | 1 << 60 | 1),
        // A few random words among zeros: compresses well.
        3 => {
            for _ in 0..40 {
                let at = random.index(512) * 8;
                page[at..at + 8].copy_from_slice(&random.next_u64().to_ne_bytes());
            }
        }
        // Half random: compresses to somewhat more than a half.
        4 => random.fill(&mut page[..2100]),
        // Random: does not compress.
        _ => random.fill(&mut page),
    }
    page
}
