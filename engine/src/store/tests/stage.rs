//! Batches.

use super::*;

fn store(memlimit: Option<u64>) -> TestStore {
    let frames = HeapFrames::new(64);
    let (slots, config) = (HeapSlots::new(64), StoreConfig { memlimit, ..CONFIG });
    Store::try_new(
        TestHost::default(),
        frames,
        slots,
        BackingAccess::None,
        config,
    )
    .unwrap()
}

/// A page of one of all kinds.
fn mixed(index: u64) -> Page {
    page(index as usize, index)
}

/// A page that does not compress.
fn raw(index: u64) -> Page {
    page(5, index)
}

fn read(store: &TestStore, worker: &mut Worker, index: u64) -> Page {
    let mut found = [1; PAGE_SIZE];
    store
        .read(worker, index, core::slice::from_mut(&mut found))
        .unwrap();
    found
}

#[test]
fn a_batch_is_seen_once_it_is_committed() {
    let store = store(None);
    let (mut worker, mut reader) = (store.try_worker().unwrap(), store.try_worker().unwrap());
    store.write(&mut reader, 3, &[mixed(99)]).unwrap();
    for index in 1..5 {
        let staged = store.stage_page(&mut worker, index, &mixed(index));
        assert_eq!(staged, Ok(Staged::Queued));
    }
    assert_eq!(read(&store, &mut reader, 1), [0; PAGE_SIZE]);
    assert_eq!(read(&store, &mut reader, 3), mixed(99));
    assert_eq!(store.commit(&mut worker), Ok(()));
    for index in 1..5 {
        assert_eq!(read(&store, &mut reader, index), mixed(index));
    }
    let stats = store.stats();
    assert_eq!((stats.writes, stats.failed_writes), (5, 0));
    assert_eq!(stats.store_latency.iter().sum::<u64>(), 5);
    assert_eq!(store.commit(&mut worker), Ok(()));
    assert_eq!(store.stats().writes, 5);
}

#[test]
fn a_batch_is_full_by_pages_and_by_bytes() {
    let store = store(None);
    let mut worker = store.try_worker().unwrap();
    let mut batch = |page: fn(u64) -> Page| {
        let waits = |index: &u64| {
            let staged = store.stage_page(&mut worker, *index, &page(*index));
            staged.unwrap() == Staged::Queued
        };
        let count = (0..64).take_while(waits).count();
        store.commit(&mut worker).unwrap();
        count
    };
    assert_eq!(batch(|_| [7; PAGE_SIZE]), 8);
    assert_eq!(batch(|index| page(3, index)), 8);
    assert_eq!(batch(raw), 3);
    let last = store.stage_page(&mut worker, 64, &mixed(0));
    assert!(matches!(
        last,
        Err(WriteError::OutOfRange {
            index: 64,
            pages: 64
        })
    ));
}

#[test]
fn what_does_not_fit_is_told_and_the_rest_is_held() {
    // Two frames, which hold fifteen incompressible pages each.
    let store = store(Some(2 << 16));
    let mut worker = store.try_worker().unwrap();
    let fits = (0..64).take_while(|&index| store.write(&mut worker, index, &[raw(index)]).is_ok());
    let fits = fits.count() as u64;
    assert_eq!(fits, 30);
    store.free(NO_WORKER, 4);
    let before = store.stats();
    for (index, page) in [
        (40, [5; PAGE_SIZE]),
        (41, raw(41)),
        (42, raw(42)),
        (43, [6; PAGE_SIZE]),
    ] {
        let staged = store.stage_page(&mut worker, index, &page);
        if staged == Ok(Staged::Full) {
            panic!("three raw pages fit into a batch");
        }
    }
    assert_eq!(store.commit(&mut worker), Err(Uncommitted { pages: 2 }));
    assert_eq!(read(&store, &mut worker, 40), [5; PAGE_SIZE]);
    assert_eq!(read(&store, &mut worker, 41), raw(41));
    assert_eq!(read(&store, &mut worker, 42), [0; PAGE_SIZE]);
    assert_eq!(read(&store, &mut worker, 43), [0; PAGE_SIZE]);
    let stats = store.stats();
    assert_eq!(
        (
            stats.writes - before.writes,
            stats.failed_writes - before.failed_writes
        ),
        (2, 0)
    );

    // By `write` every page is tried, and each that fails is counted.
    let pages = [raw(50), [9; PAGE_SIZE], raw(52)];
    let error = store.write(&mut worker, 50, &pages).unwrap_err();
    assert_eq!(error, WriteError::NoSpace { index: 50 });
    assert_eq!(read(&store, &mut worker, 51), [9; PAGE_SIZE]);
    let now = store.stats();
    assert_eq!(
        (
            now.writes - stats.writes,
            now.failed_writes - stats.failed_writes
        ),
        (3, 2)
    );
    // Nothing is lost: what was written can be freed, and the room used again.
    assert_eq!(store.discard(&mut worker, 0, 64), 29 + 1 + 1 + 1);
    assert_eq!(store.stats().compr_bytes, 0);
    let pages: Vec<Page> = (0..30).map(raw).collect();
    store.write(&mut worker, 0, &pages).unwrap();
    assert_eq!(read(&store, &mut worker, 29), raw(29));
}

#[test]
fn a_batch_replaces_what_lies_in_several_arenas() {
    let store = store(None);
    let mut workers = [store.try_worker().unwrap(), store.try_worker().unwrap()];
    for index in 0..32 {
        let worker = &mut workers[index as usize % 2];
        store.write(worker, index, &[mixed(index)]).unwrap();
    }
    let pages: Vec<Page> = (0..32).map(|index| mixed(index + 1)).collect();
    store.write(&mut workers[0], 0, &pages).unwrap();
    for index in 0..32 {
        assert_eq!(read(&store, &mut workers[1], index), mixed(index + 1));
    }
    assert_eq!(store.discard(&mut workers[1], 0, 32), 32);
    assert_eq!(
        (store.stats().compr_bytes, store.stats().pages_stored),
        (0, 0)
    );
}

#[test]
fn with_a_backing_store_pages_are_written_alone() {
    let access = BackingAccess::ByCaller;
    let (frames, slots) = (HeapFrames::new(8), HeapSlots::new(64));
    let store = Store::try_new(TestHost::default(), frames, slots, access, CONFIG).unwrap();
    let mut worker = store.try_worker().unwrap();
    assert_eq!(
        store.stage_page(&mut worker, 1, &mixed(3)),
        Ok(Staged::Unbatched)
    );
}
