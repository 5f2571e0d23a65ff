//! Pages that stay cold are compressed once more.

use std::vec::Vec;

use super::*;

const COLD: ColdPolicy = ColdPolicy {
    codec: CodecSpec::ZSTD,
    age: 3,
};

fn store(pages: usize, memlimit: Option<u64>) -> TestStore {
    Store::try_new(
        TestHost::default(),
        HeapFrames::new(64),
        HeapSlots::new(pages),
        BackingAccess::None,
        StoreConfig { memlimit, ..CONFIG },
    )
    .unwrap()
}

/// A page that lz4 leaves at about a half, and that zstd makes smaller.
fn text(seed: u64) -> Page {
    let mut random = Random::new(seed);
    let mut page = [0; PAGE_SIZE];
    page.iter_mut()
        .for_each(|byte| *byte = b"etaoin shrdlu"[random.index(4 + random.clone().index(10))]);
    for at in (0..PAGE_SIZE).step_by(64) {
        page[at..at + 32].copy_from_slice(b"the same words again and again, ");
    }
    page
}

/// A page in which nothing repeats but whose bytes have 5 bits each: lz4 gives up, zstd does
/// not.
fn five_bits(seed: u64) -> Page {
    let mut random = Random::new(seed);
    std::array::from_fn(|_| random.index(32) as u8)
}

type TestRecompressor<'a> = Recompressor<'a, TestHost, HeapFrames, HeapSlots>;

/// Runs an epoch to its end; returns what it left.
fn epoch(recompressor: &mut TestRecompressor<'_>, policy: ColdPolicy) -> u64 {
    loop {
        if let Progress::EpochEnded { left } = recompressor.step(policy) {
            return left;
        }
    }
}

fn assert_reads(store: &TestStore, index: u64, expected: &Page) {
    let mut page = [[0xa5; PAGE_SIZE]];
    store
        .read(&mut store.try_worker().unwrap(), index, &mut page)
        .unwrap();
    assert!(page[0] == *expected, "page {index}");
}

#[test]
fn cold_pages_shrink_and_read_as_before() {
    let store = store(2000, None);
    let pages: Vec<Page> = (0..200).map(text).collect();
    // At the start and far behind, with nothing in between.
    for first in [0, 1500] {
        store
            .write(&mut store.try_worker().unwrap(), first, &pages)
            .unwrap();
    }
    let before = store.stats();
    let mut recompressor = store.try_recompressor().unwrap().unwrap();
    for _ in 1..COLD.age {
        assert_eq!(epoch(&mut recompressor, COLD), 400);
        assert_eq!(store.stats().compr_bytes, before.compr_bytes);
    }
    assert_eq!(epoch(&mut recompressor, COLD), 0);
    let after = store.stats();
    assert_eq!((after.recompressed, after.recompress_no_gain), (400, 0));
    assert_eq!(
        after.recompress_saved,
        before.compr_bytes - after.compr_bytes
    );
    assert!(after.compr_bytes < before.compr_bytes / 4 * 3, "{after:?}");
    assert_eq!(after.codecs[CodecId::Zstd as usize].pages, 400);
    assert_eq!(after.pages_stored, 400);
    while store.keep() {}
    for first in [0, 1500] {
        for (index, page) in (first..).zip(&pages) {
            assert_reads(&store, index, page);
        }
    }
    // There is nothing more to win: they are of the policy's codec.
    for _ in 0..5 {
        assert_eq!(epoch(&mut recompressor, COLD), 0);
    }
    assert_eq!(store.stats().recompressed, 400);
}

#[test]
fn a_page_that_is_read_or_written_is_young_again() {
    let store = store(10, None);
    let mut worker = store.try_worker().unwrap();
    for index in 0..3 {
        store.write(&mut worker, index, &[text(index)]).unwrap();
    }
    let mut recompressor = store.try_recompressor().unwrap().unwrap();
    for _ in 1..COLD.age {
        epoch(&mut recompressor, COLD);
    }
    assert_reads(&store, 0, &text(0));
    store.write(&mut worker, 1, &[text(1)]).unwrap();
    assert_eq!(epoch(&mut recompressor, COLD), 2, "only page 2 was cold");
    assert_eq!(store.stats().recompressed, 1);
    assert_eq!(epoch(&mut recompressor, COLD), 2);
    assert_eq!(epoch(&mut recompressor, COLD), 0);
    assert_eq!(store.stats().recompressed, 3);
}

#[test]
fn incompressible_pages_are_tried_once() {
    let store = store(10, None);
    let mut worker = store.try_worker().unwrap();
    store
        .write(&mut worker, 4, &[five_bits(1), page(5, 2)])
        .unwrap();
    assert_eq!(store.stats().no_compress, 2);
    let mut recompressor = store.try_recompressor().unwrap().unwrap();
    while epoch(&mut recompressor, COLD) > 0 {}
    let tried = store.stats();
    assert_eq!((tried.no_compress, tried.recompress_no_gain), (1, 1));
    assert_eq!(tried.recompressed, 1);
    // Reading does not make it worth another try; writing does.
    assert_reads(&store, 4, &five_bits(1));
    assert_reads(&store, 5, &page(5, 2));
    for _ in 0..9 {
        assert_eq!(epoch(&mut recompressor, COLD), 0);
    }
    assert_eq!(store.stats().recompress_no_gain, 1);
    store.write(&mut worker, 5, &[page(5, 3)]).unwrap();
    while epoch(&mut recompressor, COLD) > 0 {}
    assert_eq!(store.stats().recompress_no_gain, 2);
    assert_reads(&store, 5, &page(5, 3));
}

#[test]
fn what_is_no_chunk_or_cannot_shrink_is_no_work() {
    let store = store(4000, None);
    let mut worker = store.try_worker().unwrap();
    for kind in 0..3 {
        store
            .write(&mut worker, kind, &[page(kind as usize, 9)])
            .unwrap();
    }
    store.set_codec(COLD.codec);
    store.write(&mut worker, 700, &[text(1)]).unwrap();
    store.write(&mut worker, 701, &[text(2)]).unwrap();
    store.discard(&mut worker, 701, 1);
    assert_eq!(
        epoch(&mut store.try_recompressor().unwrap().unwrap(), COLD),
        0
    );
}

#[test]
fn there_is_only_one_recompressor() {
    let store = store(10, None);
    let recompressor = || store.try_recompressor().unwrap();
    let first = recompressor();
    assert!(first.is_some() && recompressor().is_none());
    drop(first);
    assert!(recompressor().is_some());
}

/// A pool at its limit has no room for the new chunk beside the old one: the page stays as
/// it is, and is tried again in the next epoch.
#[test]
fn a_full_pool_keeps_the_old_chunks() {
    let store = store(1000, Some(65536));
    let mut worker = store.try_worker().unwrap();
    let fill_up = |from, page: fn(u64) -> Page| {
        (from..)
            .take_while(|i| {
                store
                    .write(&mut store.try_worker().unwrap(), *i, &[page(*i)])
                    .is_ok()
            })
            .count() as u64
    };
    let kept = fill_up(0, five_bits);
    assert_eq!(kept, 15);
    // What is left, granule by granule: a word that is too wide for a slot.
    assert!(fill_up(kept, |i| page(2, i)) > 100);
    let mut recompressor = store.try_recompressor().unwrap().unwrap();
    for _ in 1..9 {
        assert_eq!(epoch(&mut recompressor, COLD), kept);
    }
    assert_eq!(store.stats().recompressed, 0);
    for index in 0..kept {
        assert_reads(&store, index, &five_bits(index));
    }
    store.discard(&mut worker, 3, 1);
    for _ in 1..COLD.age {
        epoch(&mut recompressor, COLD);
    }
    assert_eq!(epoch(&mut recompressor, COLD), 0);
    for index in (0..kept).filter(|i| *i != 3) {
        assert_reads(&store, index, &five_bits(index));
    }
}

#[test]
fn a_corrupted_chunk_is_counted_once_and_stays_an_error() {
    let store = store(10, None);
    let mut worker = store.try_worker().unwrap();
    store.write(&mut worker, 5, &[text(1)]).unwrap();
    let current = slot::load(store.table.get(5).unwrap()).0;
    let empty = slot::replace(store.table.get_to_write(6).unwrap(), current, |_| ()).unwrap();
    assert_eq!(empty.slot(), Slot::EMPTY);
    store.write(&mut worker, 5, &[page(1, 1)]).unwrap();
    let mut recompressor = store.try_recompressor().unwrap().unwrap();
    while epoch(&mut recompressor, COLD) > 0 {}
    assert_eq!((store.stats().corrupt, store.stats().recompressed), (1, 0));
    epoch(&mut recompressor, COLD);
    assert_eq!(store.stats().corrupt, 1);
    let mut page = [[0; PAGE_SIZE]];
    assert_eq!(
        store.read(&mut worker, 6, &mut page),
        Err(ReadError::Corrupt { index: 6 })
    );
}

#[test]
fn a_write_ends_the_rest_with_one_call() {
    let store = store(10, None);
    let calls = || store.host().recompressor_calls.load(Relaxed);
    let mut worker = store.try_worker().unwrap();
    let recompressor = store.try_recompressor().unwrap().unwrap();
    store.write(&mut worker, 1, &[text(1)]).unwrap();
    assert_eq!((recompressor.is_idle(), calls()), (false, 0));
    recompressor.set_idle();
    assert_reads(&store, 1, &text(1));
    store.discard(&mut worker, 1, 1);
    assert_eq!((recompressor.is_idle(), calls()), (true, 0));
    store.write(&mut worker, 1, &[text(1)]).unwrap();
    store.write(&mut worker, 2, &[text(2)]).unwrap();
    assert_eq!((recompressor.is_idle(), calls()), (false, 1));
    recompressor.set_idle();
    drop(recompressor);
    store.write(&mut worker, 1, &[text(1)]).unwrap();
    assert_eq!(calls(), 1, "nobody is there to be woken");
}
