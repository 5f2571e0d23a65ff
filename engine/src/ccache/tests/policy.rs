//! What is admitted, and what is evicted.

use core::sync::atomic::Ordering::Relaxed;
use std::vec::Vec;

use super::*;

/// Pages that a cache of 4 MiB holds, about.
const FIT: u64 = 1900;

#[test]
fn a_page_is_taken_in_when_it_comes_back() {
    let cache = cache(4 * MIB);
    let (mut worker, file) = (cache.try_worker().unwrap(), cache.add_file().unwrap());
    let mut read = |i| fault(&cache, &mut worker, file, i, || page(i));
    assert!(!(0..100).any(&mut read), "nothing is held at first");
    assert_eq!(cache.stats().counts.admitted, 0, "and nothing is taken in");
    assert!(!(0..100).any(&mut read));
    assert_eq!(
        (cache.stats().counts.refaults, cache.stats().counts.admitted),
        (100, 100)
    );
    assert!((0..100).all(&mut read));
    assert_eq!(cache.stats().active, 100);
}

#[test]
fn without_memory_for_the_index_pages_are_not_held_and_nothing_else_happens() {
    let cache = cache(4 * MIB);
    cache.set_reclaiming(true);
    let (mut worker, file) = (cache.try_worker().unwrap(), cache.add_file().unwrap());
    fault(&cache, &mut worker, file, 0, || page(0));
    cache.store.slot_memory().set_failing(true);
    // Blocks are made 512 slots at a time, and those of the first ones are there.
    for i in 0..2000 {
        fault(&cache, &mut worker, file, i, || page(i));
    }
    let stats = cache.stats();
    assert_eq!(stats.inactive + stats.active + stats.shadows, 512);
    for i in 1000..1100 {
        assert!(!cache.holds(file, i));
        assert_eq!(cache.should_admit_readahead(file, i), Decision::Admit);
        let read = Read::Readahead;
        let inserted = cache.insert(&mut worker, file, i, &page(i), read, || true);
        assert_eq!(inserted, Inserted::Bypassed);
        assert_eq!(
            cache.insert(&mut worker, file, i, &noise(i), read, || true),
            Inserted::Incompressible
        );
    }
    let files_only = cache.invalidate(file, 600, 2000) + cache.forget(file, 600, 2000);
    assert_eq!(files_only, 0);
    cache.store.slot_memory().set_failing(false);
    fault(&cache, &mut worker, file, 1000, || page(1000));
    assert!(cache.holds(file, 1000));
}

#[test]
fn without_memory_for_the_index_a_page_that_must_be_held_is_refused() {
    let cache = cache(4 * MIB);
    let (mut worker, file) = (cache.try_worker().unwrap(), cache.add_file().unwrap());
    cache.pin(&mut worker, file, 0, &page(0)).unwrap();
    cache.store.slot_memory().set_failing(true);
    let mut pin = |i| cache.pin(&mut worker, file, i, &page(i));
    assert_eq!((1..2000).find(|i| pin(*i).is_err()), Some(512));
    assert_eq!(pin(0), Ok(()), "what is held may be replaced");
    assert_eq!((cache.stats().pinned, cache.known(file)), (512, 512));
    cache.store.slot_memory().set_failing(false);
    cache.pin(&mut worker, file, 512, &page(512)).unwrap();
}

#[test]
fn while_the_kernel_reclaims_a_page_is_taken_in_at_once() {
    let cache = cache(4 * MIB);
    cache.set_reclaiming(true);
    let (mut worker, file) = (cache.try_worker().unwrap(), cache.add_file().unwrap());
    let mut read = |i| fault(&cache, &mut worker, file, i, || page(i));
    assert!(!(0..100).any(&mut read));
    assert!((0..100).all(&mut read));
}

#[test]
fn what_is_read_faster_than_compressed_is_taken_in_only_when_it_comes_back() {
    let cache = cache(4 * MIB);
    cache.set_reclaiming(true);
    let file = cache.add_file().unwrap();
    assert!((0..100).all(|i| cache.should_admit(file, i, false) == Decision::Bypass));
    assert_eq!(cache.stats().shadows, 100);
    assert!((0..100).all(|i| cache.should_admit(file, i, false) == Decision::Admit));
}

#[test]
fn a_scan_does_not_push_out_what_is_read_again_and_again() {
    let cache = cache(4 * MIB);
    cache.set_reclaiming(true);
    let mut worker = cache.try_worker().unwrap();
    let (hot, scan) = (cache.add_file().unwrap(), cache.add_file().unwrap());
    let hot_pages = FIT * 3 / 4;
    for _ in 0..3 {
        (0..hot_pages).for_each(|i| {
            fault(&cache, &mut worker, hot, i, || page(i));
        });
    }
    let mut hits = 0;
    for i in 0..10 * FIT {
        fault(&cache, &mut worker, scan, i, || page(i + 1_000_000));
        // One page of the hot set to four of the scan.
        if i % 4 == 0 {
            let at = i / 4 % hot_pages;
            hits += u64::from(fault(&cache, &mut worker, hot, at, || page(at)));
        }
    }
    let asked = 10 * FIT / 4;
    assert!(hits * 100 >= asked * 90, "{hits} of {asked}");
}

#[test]
fn of_a_loop_that_does_not_fit_a_part_stays() {
    let cache = cache(4 * MIB);
    cache.set_reclaiming(true);
    let (mut worker, file) = (cache.try_worker().unwrap(), cache.add_file().unwrap());
    let round = |worker: &mut Worker| -> u64 {
        (0..2 * FIT)
            .map(|i| u64::from(fault(&cache, worker, file, i, || page(i))))
            .sum()
    };
    (0..6).for_each(|_| {
        round(&mut worker);
    });
    let hits = round(&mut worker);
    assert!(
        hits > FIT / 10,
        "{hits} of {}: an LRU list would have none",
        2 * FIT
    );
}

#[test]
fn a_new_working_set_takes_over() {
    let cache = cache(4 * MIB);
    cache.set_reclaiming(true);
    let mut worker = cache.try_worker().unwrap();
    let (old, new) = (cache.add_file().unwrap(), cache.add_file().unwrap());
    let mut round = |file, seed: u64| -> u64 {
        (0..FIT * 3 / 4)
            .map(|i| u64::from(fault(&cache, &mut worker, file, i, || page(i + seed))))
            .sum()
    };
    (0..4).for_each(|_| {
        round(old, 0);
    });
    (0..8).for_each(|_| {
        round(new, 1 << 32);
    });
    assert!(round(new, 1 << 32) * 10 >= FIT * 3 / 4 * 9);
}

#[test]
fn what_does_not_compress_passes_by() {
    let cache = cache(4 * MIB);
    cache.set_reclaiming(true);
    let (mut worker, file) = (cache.try_worker().unwrap(), cache.add_file().unwrap());
    for _ in 0..3 {
        (0..1000).for_each(|i| {
            fault(&cache, &mut worker, file, i, || noise(i));
        });
    }
    let stats = cache.stats();
    assert_eq!((stats.counts.admitted, stats.counts.hits), (0, 0));
    assert!(stats.counts.bypassed >= 2000, "{}", stats.counts.bypassed);
}

#[test]
fn a_stream_learns_to_pass_by() {
    let cache = cache(4 * MIB);
    cache.set_reclaiming(true);
    let (mut worker, file) = (cache.try_worker().unwrap(), cache.add_file().unwrap());
    let mut read = |from: u64, to: u64| {
        let before = cache.stats().counts.admitted;
        (from..to).for_each(|i| {
            fault(&cache, &mut worker, file, i, || page(i));
        });
        cache.stats().counts.admitted - before
    };
    assert!(read(0, 4 * FIT) > FIT);
    assert_eq!(read(4 * FIT, 8 * FIT), 0);
}

#[test]
fn memory_stays_within_the_limit_and_comes_back() {
    let limit = 4 * MIB;
    let cache = cache(limit);
    cache.set_reclaiming(true);
    let (mut worker, file) = (cache.try_worker().unwrap(), cache.add_file().unwrap());
    let taken = || {
        while cache.keep() {}
        let stats = cache.stats();
        stats.store.pool_bytes + stats.index_bytes
    };
    // Far apart, so that every page has a block of its own: the worst case for the index.
    for round in 0..3 {
        for i in 0..4 * FIT {
            fault(&cache, &mut worker, file, i * 9, || page(i));
            if i % 500 == 0 {
                cache.tune(limit, 0, u64::MAX);
                assert!(taken() <= limit + limit / 20, "{round} {i}");
            }
        }
    }
    assert!(cache.stats().counts.evicted > FIT);
    cache.tune(limit, limit / 2, u64::MAX);
    assert!(
        taken() <= limit * 5 / 8,
        "{} after the machine wanted half",
        taken()
    );
    cache.tune(MIB, 0, u64::MAX);
    assert!(
        taken() <= MIB + MIB / 2,
        "{} under a limit of 1 MiB",
        taken()
    );
}

#[test]
fn pages_that_replace_others_do_not_each_call_the_keeper() {
    let cache = cache(4 * MIB);
    cache.set_reclaiming(true);
    let (mut worker, file) = (cache.try_worker().unwrap(), cache.add_file().unwrap());
    let calls = || cache.host().keeper_calls.load(Relaxed);
    // Two pages to a block: the index grows on when the pool is full, and takes frames from it.
    let mut read = |i: u64| {
        let before = calls();
        fault(&cache, &mut worker, file, i * 4, || page(i));
        // The keeper runs once it is called, and until it has nothing left.
        while calls() > before && cache.keep() {}
    };
    (0..FIT * 3 / 2).for_each(&mut read);
    let (stats, before) = (cache.stats(), calls());
    let taken = stats.store.pool_bytes + stats.index_bytes;
    assert!(
        stats.counts.evicted > 0 && taken > stats.limit,
        "{taken} of {}",
        stats.limit
    );
    (FIT * 3 / 2..2 * FIT).for_each(&mut read);
    let admitted = cache.stats().counts.admitted - stats.counts.admitted;
    let called = u64::from(calls() - before);
    assert!(
        admitted > FIT / 4 && called < admitted / 16,
        "{called} calls for {admitted} pages"
    );
}

#[test]
fn pinned_pages_fill_the_cache_and_are_then_refused() {
    let cache = cache(MIB);
    let (mut worker, file) = (cache.try_worker().unwrap(), cache.add_file().unwrap());
    let mut pinned = 0;
    while cache.pin(&mut worker, file, pinned, &page(pinned)).is_ok() {
        pinned += 1;
        assert!(pinned < FIT, "the limit holds");
    }
    assert!(pinned > FIT / 8, "{pinned}");
    let mut got = [0; PAGE_SIZE];
    for i in 0..pinned {
        assert_eq!(cache.lookup(&mut worker, file, i, &mut got), Lookup::Hit);
        assert!(got == page(i));
    }
    (0..8).for_each(|i| cache.unpin(file, i));
    assert!(cache.pin(&mut worker, file, pinned, &page(pinned)).is_ok());
}

#[test]
fn a_corrupt_page_is_dropped_and_never_given_out() {
    let cache = cache(MIB);
    let (mut worker, file) = (cache.try_worker().unwrap(), cache.add_file().unwrap());
    cache.set_reclaiming(true);
    for i in [3, 4] {
        fault(&cache, &mut worker, file, i, || page(i));
    }
    let slot = |i| cache.lock().index.find(file, i).unwrap().0;
    cache.store.swap_slots(slot(3), slot(4));
    let mut got = [0; PAGE_SIZE];
    assert_eq!(cache.read(&mut worker, file, 3, &mut got), Lookup::Corrupt);
    assert_eq!(cache.stats().counts.corrupt, 1);
    assert_eq!(cache.read(&mut worker, file, 3, &mut got), Lookup::Miss);
}

#[test]
fn pages_beside_one_that_was_asked_for_are_taken_in_while_there_is_room() {
    let cache = cache(MIB);
    let (mut worker, file) = (cache.try_worker().unwrap(), cache.add_file().unwrap());
    assert_eq!(
        cache.should_admit_readahead(file, 5),
        Decision::Bypass,
        "nobody needs it"
    );
    cache.set_reclaiming(true);
    let mut ahead = 0;
    while ahead < FIT && cache.should_admit_readahead(file, ahead) == Decision::Admit {
        cache.insert(
            &mut worker,
            file,
            ahead,
            &page(ahead),
            Read::Readahead,
            || true,
        );
        ahead += 1;
    }
    assert!((FIT / 8..FIT).contains(&ahead), "{ahead}");
    assert!(!cache.has_room());
    let stats = cache.stats();
    assert_eq!(
        (stats.counts.hits, stats.counts.misses),
        (0, 0),
        "nobody asked for them"
    );
    assert!(fault(&cache, &mut worker, file, ahead - 1, || page(
        ahead - 1
    )));
}

#[test]
fn many_small_files_do_not_keep_others_out() {
    let cache = cache(MIB);
    let mut worker = cache.try_worker().unwrap();
    let files: Vec<_> = (0..6000).map(|_| cache.add_file().unwrap()).collect();
    for group in files.chunks(200) {
        let mut hits = 0;
        for _ in 0..4 {
            hits = (0..)
                .zip(group)
                .map(|(i, file)| u64::from(fault(&cache, &mut worker, *file, 0, || page(i))))
                .sum();
        }
        assert!(hits >= 180, "{hits} of 200 small files after three rounds");
    }
    let used = cache.lock().index.used_bytes();
    assert!(used <= MIB / 7, "{used} bytes of index");
}

#[test]
fn pages_that_cost_no_pool_are_bounded_by_the_index() {
    let cache = cache(MIB);
    cache.set_reclaiming(true);
    let (mut worker, file) = (cache.try_worker().unwrap(), cache.add_file().unwrap());
    for i in 0..20_000 {
        fault(&cache, &mut worker, file, i, || [7; PAGE_SIZE]);
    }
    assert!(cache.stats().counts.evicted > 0);
    let used = cache.lock().index.used_bytes();
    assert!(used <= MIB / 7, "{used} bytes of index");
}

#[test]
fn a_page_that_changes_while_it_is_stored_is_not_taken_in() {
    let cache = cache(MIB);
    let (mut worker, file) = (cache.try_worker().unwrap(), cache.add_file().unwrap());
    cache.set_reclaiming(true);
    assert_eq!(cache.should_admit(file, 3, true), Decision::Admit);
    let empty = cache.stats().store.compr_bytes;
    let asked = core::cell::Cell::new(0);
    let right_at_first = || asked.replace(asked.get() + 1) == 0;
    let added = cache.insert(&mut worker, file, 3, &page(3), Read::Demand, right_at_first);
    assert_eq!((added, asked.get()), (Inserted::Bypassed, 2));
    let stats = cache.stats();
    assert_eq!((stats.counts.admitted, stats.shadows), (0, 1));
    assert_eq!(stats.store.compr_bytes, empty);
    assert!(!cache.holds(file, 3));
    // Its place is free again: for whoever asks next, and when the file goes.
    assert_eq!(cache.should_admit(file, 3, true), Decision::Admit);
    let added = cache.insert(&mut worker, file, 3, &page(4), Read::Demand, || true);
    assert_eq!((added, cache.forget(file, 0, 9)), (Inserted::Cached, 1));
    assert_eq!(cache.known(file), 0);
}
