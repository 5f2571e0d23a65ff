//! Many threads on the same pages, with the evacuator and the recompressor beside them.

use std::thread;

use super::*;

const THREADS: usize = 4;
const PAGES: u64 = 400;
/// Each thread also has pages of its own, whose contents it knows.
const OWN: u64 = 300;

/// At once: any page may be recompressed while somebody reads or writes it.
fn cold() -> ColdPolicy {
    ColdPolicy {
        codec: CodecSpec::new(CodecId::Zstd).unwrap_or(CodecSpec::WKS_BALANCED),
        age: 1,
    }
}

/// A page that says which version of which page it is, in every part of it.
pub(super) fn version(index: u64, version: u64) -> Page {
    let seed = index << 32 | version;
    let mut page = page(3 + (seed % 3) as usize, seed);
    page[..8].copy_from_slice(&seed.to_ne_bytes());
    page
}

pub(super) fn check(index: u64, found: &Page) {
    if found == &[0; PAGE_SIZE] {
        return;
    }
    let seed = u64::from_ne_bytes(found[..8].try_into().unwrap());
    assert_eq!(seed >> 32, index, "page {index} has another page's content");
    assert!(
        found == &version(index, seed & 0xffff_ffff),
        "page {index} is mixed"
    );
}

fn work(store: &TestStore, me: usize, rounds: u64) {
    let mut worker = store.try_worker().unwrap();
    let mut random = Random::new(me as u64 + 1);
    let mut own = [0u64; OWN as usize];
    let first_own = PAGES + me as u64 * OWN;
    let mut buffer = [[0; PAGE_SIZE]; 4];
    for round in 1..rounds {
        let shared = random.index(PAGES as usize - 4) as u64;
        match random.index(8) {
            0..3 => {
                let pages = [0, 1, 2].map(|i| version(shared + i, round));
                store.write(&mut worker, shared, &pages).unwrap();
            }
            3..6 => {
                store.read(&mut worker, shared, &mut buffer).unwrap();
                (shared..).zip(&buffer).for_each(|(i, page)| check(i, page));
            }
            6 => {
                let count = 1 + random.index(30) as u64;
                store.discard(&mut worker, shared, count.min(PAGES - shared));
            }
            _ => {
                let mine = random.index(OWN as usize);
                let index = first_own + mine as u64;
                store.read(&mut worker, index, &mut buffer[..1]).unwrap();
                let expected = if own[mine] == 0 {
                    [0; PAGE_SIZE]
                } else {
                    version(index, own[mine])
                };
                assert!(buffer[0] == expected, "page {index} lost a write");
                store
                    .write(&mut worker, index, &[version(index, round)])
                    .unwrap();
                own[mine] = round;
            }
        }
    }
}

fn run(backing: Option<MemoryBacking>, memlimit: Option<u64>, rounds: u64) -> Stats {
    let store = Store::try_new(
        TestHost::default(),
        HeapFrames::new(500),
        HeapSlots::new((PAGES + OWN * THREADS as u64) as usize),
        backing.into(),
        StoreConfig { memlimit, ..CONFIG },
    )
    .unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: std::vec::Vec<_> = (0..THREADS)
            .map(|me| {
                let store = &store;
                scope.spawn(move || work(store, me, rounds))
            })
            .collect();
        let keeper = scope.spawn(|| {
            while !done.load(Relaxed) {
                if !store.keep() {
                    thread::yield_now();
                }
            }
        });
        let recompressor = scope.spawn(|| {
            let mut recompressor = store.try_recompressor().unwrap().unwrap();
            while !done.load(Relaxed) {
                if recompressor.step(cold()) != Progress::Within {
                    thread::yield_now();
                }
            }
        });
        let results: std::vec::Vec<_> = workers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        done.store(true, Relaxed);
        results.into_iter().for_each(|r| r.unwrap());
        // Joined one by one: ThreadSanitizer does not see how a scope waits.
        for thread in [keeper, recompressor] {
            thread.join().unwrap();
        }
    });
    let stats = store.stats();
    assert_eq!(stats.corrupt + stats.failed_reads + stats.failed_writes, 0);
    let mut worker = store.try_worker().unwrap();
    store.discard(&mut worker, 0, u64::MAX);
    let empty = store.stats();
    let held = empty.pages_stored + empty.zero_pages + empty.same_pages + empty.backing_pages;
    assert_eq!((held, empty.compr_bytes), (0, 0), "gauges balance");
    stats
}

#[test]
fn no_thread_sees_anothers_or_half_a_page() {
    let stats = run(None, None, 12_000);
    assert!(stats.evacuated > 0, "the evacuator had its part: {stats:?}");
    // Of what these pages are made from, only zstd wins anything.
    let tried = if cfg!(feature = "zstd") {
        stats.recompressed
    } else {
        stats.recompress_no_gain
    };
    assert!(tried > 0, "and so the recompressor: {stats:?}");
}

#[test]
fn nor_with_a_backing_store_and_a_tight_limit() {
    let stats = run(Some(MemoryBacking::default()), Some(8 * 65536), 6_000);
    assert!(stats.backing_pages > 0 && stats.backing_reads > 0);
}
