//! Tests of the cache: against a model, under threads, of its policy and of its lock.

mod lock;
mod model;
mod policy;
mod stress;

use super::*;
use compcache_random::Random;

use crate::codec::CodecSpec;
use crate::host::FrameMemory;
use crate::host::heap::{HeapFrames, HeapSlots};
use crate::host::testing::TestHost;
use crate::page::{PAGE_SIZE, Page};
use crate::store::Worker;

type TestCache = Ccache<TestHost, HeapFrames, HeapSlots>;

const MIB: u64 = 1 << 20;

/// A cache of `limit` bytes.
fn cache(limit: u64) -> TestCache {
    cache_in(limit, HeapFrames::new)
}

/// A cache of `limit` bytes, in the frames that `frames` makes so many of.
fn cache_in<F: FrameMemory>(
    limit: u64,
    frames: impl FnOnce(u32) -> F,
) -> Ccache<TestHost, F, HeapSlots> {
    let config = CcacheConfig {
        limit,
        floor: 128 << 10,
        codec: CodecSpec::LZ4,
        arenas: 2,
        reserve_bytes: 64 << 10,
        only_copy: false,
    };
    Ccache::try_new(
        TestHost::default(),
        frames((limit / (64 << 10)) as u32 + 16),
        HeapSlots::new(1 << 17),
        config,
    )
    .unwrap()
}

/// A page that compresses to less than half, different for every seed.
fn page(seed: u64) -> Page {
    let mut random = Random::new(seed + 1);
    let mut page = [0; PAGE_SIZE];
    for chunk in page.chunks_exact_mut(24) {
        chunk[..8].copy_from_slice(&random.next_u64().to_ne_bytes());
        chunk[8..16].copy_from_slice(b"the same");
        chunk[16..].copy_from_slice(b"everyone");
    }
    page
}

/// A page that does not compress.
fn noise(seed: u64) -> Page {
    let mut page = [0; PAGE_SIZE];
    Random::new(seed + 1).fill(&mut page);
    page
}

/// Reads a page as the file layer does: from the cache, or else from SOURCE, which `source`
/// stands for. Returns whether it was held.
fn fault(
    cache: &TestCache,
    worker: &mut Worker,
    file: FileId,
    index: u64,
    source: impl FnOnce() -> Page,
) -> bool {
    let mut got = [0; PAGE_SIZE];
    match cache.read(worker, file, index, &mut got) {
        Lookup::Hit => {
            assert!(got == source(), "page {index} is what SOURCE has");
            true
        }
        Lookup::Miss => {
            if cache.should_admit(file, index, true) == Decision::Admit {
                cache.insert(worker, file, index, &source(), Read::Demand, || true);
            }
            false
        }
        Lookup::Corrupt => panic!("page {index} is corrupt"),
    }
}
