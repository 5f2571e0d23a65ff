//! Threads that read, write, forget and make room at once: no page is ever wrong.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

const PAGES: u64 = 400;

/// One file with, for each page, how many writes have begun and how many have ended. The content of
/// a page is made from the number of writes that have begun.
struct File {
    id: FileId,
    begun: Vec<AtomicU64>,
    ended: Vec<AtomicU64>,
}

fn seed(index: u64, version: u64) -> u64 {
    version * 1_000_000 + index
}

fn read(cache: &TestCache, worker: &mut Worker, file: &File, index: u64) {
    let at = index as usize;
    let (ended, begun) = (
        file.ended[at].load(Ordering::SeqCst),
        file.begun[at].load(Ordering::SeqCst),
    );
    let mut got = [0; PAGE_SIZE];
    match cache.read(worker, file.id, index, &mut got) {
        Lookup::Hit => {
            let latest = file.begun[at].load(Ordering::SeqCst);
            let right = (ended..=latest).any(|version| got == page(seed(index, version)));
            assert!(
                right,
                "page {index} is of none of the versions {ended} to {latest}"
            );
        }
        Lookup::Miss
            if ended == begun && cache.should_admit(file.id, index, true) == Decision::Admit =>
        {
            let content = page(seed(index, begun));
            let unchanged = || file.begun[at].load(Ordering::SeqCst) == begun;
            cache.insert(worker, file.id, index, &content, Read::Demand, unchanged);
        }
        Lookup::Miss => {}
        Lookup::Corrupt => panic!("page {index} is corrupt"),
    }
}

#[test]
fn no_thread_reads_a_wrong_page() {
    let cache = cache(MIB);
    cache.set_reclaiming(true);
    let files: Vec<_> = (0..3)
        .map(|_| File {
            id: cache.add_file().unwrap(),
            begun: (0..PAGES).map(|_| AtomicU64::new(0)).collect(),
            ended: (0..PAGES).map(|_| AtomicU64::new(0)).collect(),
        })
        .collect();
    let rounds = if cfg!(debug_assertions) {
        15_000
    } else {
        60_000
    };
    std::thread::scope(|scope| {
        let (cache, files) = (&cache, &files);
        let readers = (0..3).map(|thread| {
            scope.spawn(move || {
                let mut worker = cache.try_worker().unwrap();
                let mut random = Random::new(thread);
                for _ in 0..rounds {
                    let file = &files[random.next_u64() as usize % 3];
                    read(cache, &mut worker, file, random.next_u64() % PAGES);
                }
            })
        });
        let mut threads: Vec<_> = readers.collect();
        // One writer only, so that versions have an order.
        threads.push(scope.spawn(move || {
            let mut random = Random::new(77);
            let mut worker = cache.try_worker().unwrap();
            for _ in 0..rounds / 4 {
                let file = &files[random.next_u64() as usize % 3];
                let index = random.next_u64() % PAGES;
                let at = index as usize;
                let version = file.begun[at].fetch_add(1, Ordering::SeqCst) + 1;
                if random.next_u64().is_multiple_of(2) {
                    cache.invalidate(file.id, index, index + 1);
                } else if cache
                    .pin(&mut worker, file.id, index, &page(seed(index, version)))
                    .is_ok()
                {
                    cache.unpin(file.id, index);
                } else {
                    cache.forget(file.id, index, index + 1);
                }
                file.ended[at].fetch_add(1, Ordering::SeqCst);
            }
        }));
        threads.push(scope.spawn(move || {
            for n in 0..rounds / 50 {
                cache.tune(MIB - n % 7 * 50_000, n % 3 * 20_000, 100);
                while cache.keep() {}
            }
        }));
        // Joined one by one: ThreadSanitizer does not see how a scope waits.
        for thread in threads {
            thread.join().unwrap();
        }
    });
    assert_eq!(cache.stats().counts.corrupt, 0);
    assert!(cache.stats().counts.hits > 0 && cache.stats().counts.evicted > 0);
}

#[test]
fn pins_at_once_with_others_and_with_forgetting_lose_nothing_and_leave_nothing() {
    const SHARED: u64 = 1000;
    let cache = cache(MIB / 2);
    cache.set_reclaiming(true);
    let file = cache.add_file().unwrap();
    let rounds = if cfg!(debug_assertions) {
        8_000
    } else {
        40_000
    };
    let work = |thread: u64| {
        let mut worker = cache.try_worker().unwrap();
        let mut random = Random::new(thread);
        let mut buffer = [0; PAGE_SIZE];
        // A page that nobody else pins or drops is there for as long as it is pinned.
        let own = 2 * SHARED + thread;
        for round in 0..rounds {
            let index = random.below(SHARED);
            match random.below(8) {
                0 => _ = cache.forget(file, index, index + 3),
                1 => _ = cache.invalidate(file, index, index + 3),
                2 => cache.unpin(file, index),
                3 => {
                    let version = page(seed(index, thread));
                    cache.insert(&mut worker, file, index, &version, Read::Demand, || true);
                }
                4 => {
                    let version = page(seed(own, round));
                    if cache.pin(&mut worker, file, own, &version).is_ok() {
                        let found = cache.read(&mut worker, file, own, &mut buffer);
                        assert!(found == Lookup::Hit && buffer == version, "round {round}");
                        cache.unpin(file, own);
                    }
                }
                5 => {
                    if cache.read(&mut worker, file, index, &mut buffer) == Lookup::Hit {
                        let right = (0..3).any(|by| buffer == page(seed(index, by)));
                        assert!(right, "page {index} is another's");
                    }
                }
                _ => {
                    let version = page(seed(index, thread));
                    let _ = cache.pin(&mut worker, file, index, &version);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..3)
            .map(|thread| scope.spawn(move || work(thread)))
            .collect();
        // Joined one by one: ThreadSanitizer does not see how a scope waits.
        for thread in threads {
            thread.join().unwrap();
        }
    });
    assert!(cache.stats().counts.writes > 0 && cache.stats().counts.evicted > 0);
    cache.forget(file, 0, u64::MAX);
    let (stats, store) = (cache.stats(), cache.store.stats());
    assert_eq!(stats.pinned + stats.active + stats.inactive, 0);
    assert_eq!(
        (store.pages_stored, store.compr_bytes, store.corrupt),
        (0, 0, 0)
    );
}

#[test]
fn evictions_at_once_with_reads_and_truncation_leave_no_chunk() {
    const MOST: u64 = 600;
    let cache = cache(MIB / 2);
    cache.set_reclaiming(true);
    let files: Vec<_> = (0..3).map(|_| cache.add_file().unwrap()).collect();
    let rounds = if cfg!(debug_assertions) {
        10_000
    } else {
        50_000
    };
    let reading = AtomicU64::new(2);
    std::thread::scope(|scope| {
        let (cache, files, reading) = (&cache, &files, &reading);
        let readers = (0..2).map(|thread| {
            scope.spawn(move || {
                let mut worker = cache.try_worker().unwrap();
                let mut random = Random::new(thread);
                for _ in 0..rounds {
                    let (at, index) = (random.below(3), random.below(MOST));
                    let content = || page(at * MOST + index);
                    fault(cache, &mut worker, files[at as usize], index, content);
                }
                reading.fetch_sub(1, Ordering::Relaxed);
            })
        });
        let mut threads: Vec<_> = readers.collect();
        threads.push(scope.spawn(move || {
            let mut random = Random::new(77);
            let mut removed = 0;
            while reading.load(Ordering::Relaxed) > 0 {
                let file = files[random.below(3) as usize];
                let first = random.below(MOST);
                removed += if random.below(2) == 0 {
                    cache.forget(file, first, u64::MAX)
                } else {
                    cache.invalidate(file, first, first + 100)
                };
                cache.tune(MIB / 2, random.below(3) * 50_000, 100);
                while cache.keep() {}
            }
            assert!(removed > 0);
        }));
        // Joined one by one: ThreadSanitizer does not see how a scope waits.
        for thread in threads {
            thread.join().unwrap();
        }
    });
    let stats = cache.stats();
    assert!(
        stats.counts.hits > 0 && stats.counts.evicted > 0,
        "{stats:?}"
    );
    files.into_iter().for_each(|file| cache.remove_file(file));
    let store = cache.stats().store;
    assert_eq!(
        (store.pages_stored, store.compr_bytes, store.corrupt),
        (0, 0, 0)
    );
    let in_use = store.pool_bytes - store.reserve_bytes;
    assert_eq!(in_use, 0, "a frame has a chunk that no slot names");
}
