//! Single rules of the store.

use std::vec;

use super::*;

fn store(pages: usize, backing: Option<MemoryBacking>, memlimit: Option<u64>) -> TestStore {
    Store::try_new(
        TestHost::default(),
        HeapFrames::new(64),
        HeapSlots::new(pages),
        backing.into(),
        StoreConfig { memlimit, ..CONFIG },
    )
    .unwrap()
}

fn read(store: &TestStore, worker: &mut Worker, index: u64) -> Result<Page, ReadError> {
    let mut pages = [[0xa5; PAGE_SIZE]];
    store.read(worker, index, &mut pages)?;
    Ok(pages[0])
}

#[test]
fn incompressible_pages_go_to_the_backing_store_but_for_page_0() {
    let backing = MemoryBacking::default();
    let store = store(100, Some(backing.clone()), None);
    let mut worker = store.try_worker().unwrap();
    let pages: std::vec::Vec<Page> = (0..8).map(|i| page(5, i)).collect();
    store.write(&mut worker, 0, &pages).unwrap();
    let stats = store.stats();
    assert_eq!(
        (stats.no_compress, stats.backing_pages, stats.backing_writes),
        (1, 7, 7)
    );
    assert_eq!(backing.0.pages.lock().len(), 7);
    let mut back = vec![[0; PAGE_SIZE]; 8];
    store.read(&mut worker, 0, &mut back).unwrap();
    assert!(back == pages);
    assert_eq!(store.stats().backing_reads, 7);
}

#[test]
fn without_a_backing_store_they_are_kept_as_they_are() {
    let store = store(100, None, None);
    let mut worker = store.try_worker().unwrap();
    store.write(&mut worker, 7, &[page(5, 1)]).unwrap();
    let stats = store.stats();
    assert_eq!((stats.no_compress, stats.compr_bytes), (1, 4096));
    assert!(read(&store, &mut worker, 7).unwrap() == page(5, 1));
}

#[test]
fn a_page_that_saves_an_eighth_only_is_compressed_where_it_cannot_leave() {
    // Of 3200 bytes that do not compress and zeros.
    let mut content = page(5, 1);
    content[3200..].fill(0);
    let backing = MemoryBacking::default();
    for (backing, stays) in [(None, true), (Some(backing), false)] {
        let store = store(100, backing, None);
        let mut worker = store.try_worker().unwrap();
        store.write(&mut worker, 7, &[content]).unwrap();
        let stats = store.stats();
        assert_eq!((stats.no_compress, stats.backing_pages == 0), (0, stays));
        if stays {
            assert!((3200..3584).contains(&stats.compr_bytes), "{stats:?}");
        }
        assert!(read(&store, &mut worker, 7).unwrap() == content);
    }
}

#[test]
fn page_0_stays_in_memory_even_past_the_limit() {
    let backing = MemoryBacking::default();
    let store = store(100, Some(backing), Some(65536));
    let mut worker = store.try_worker().unwrap();
    for i in 1..100 {
        store.write(&mut worker, i, &[page(4, i)]).unwrap();
    }
    let full = store.stats();
    assert!(
        full.backing_pages > 50 && full.pool_bytes < 2 * 65536 + 8192,
        "{full:?}"
    );
    store.write(&mut worker, 0, &[page(5, 3)]).unwrap();
    assert!(read(&store, &mut worker, 0).unwrap() == page(5, 3));
}

#[test]
fn a_changed_page_in_the_backing_store_is_an_error() {
    let backing = MemoryBacking::default();
    let store = store(100, Some(backing.clone()), None);
    let mut worker = store.try_worker().unwrap();
    store.write(&mut worker, 5, &[page(5, 1)]).unwrap();
    backing.0.pages.lock().get_mut(&5).unwrap()[100] ^= 1;
    assert_eq!(
        read(&store, &mut worker, 5),
        Err(ReadError::Corrupt { index: 5 })
    );
    assert_eq!((store.stats().corrupt, store.stats().failed_reads), (1, 1));
}

/// What a backing store that verifies its pages may answer.
#[test]
fn a_page_that_the_backing_store_finds_damaged_is_an_error_and_one_that_changed_is_read_again() {
    let backing = MemoryBacking::default();
    let store = store(100, Some(backing.clone()), None);
    let mut worker = store.try_worker().unwrap();
    store.write(&mut worker, 5, &[page(5, 1)]).unwrap();
    let mut read_with = |answers: &[Unread]| {
        backing.0.answers.lock().extend(answers.iter().rev());
        let result = read(&store, &mut worker, 5);
        assert!(backing.0.answers.lock().is_empty(), "{answers:?}");
        let stats = store.stats();
        (result, (stats.corrupt, stats.failed_reads))
    };
    let (changed, damaged) = (Unread::Changed, Unread::Damaged);
    // The first is the answer to the run, which may be that of another of its pages.
    for passing in [&[changed; 9][..], &[damaged], &[damaged, changed, changed]] {
        assert_eq!(read_with(passing), (Ok(page(5, 1)), (0, 0)));
    }
    let corrupt = Err(ReadError::Corrupt { index: 5 });
    assert_eq!(read_with(&[damaged; 2]), (corrupt, (1, 1)));
    assert_eq!(read_with(&[damaged, changed, damaged]), (corrupt, (2, 2)));
    assert_eq!(read_with(&[]), (Ok(page(5, 1)), (2, 2)));

    // What it gives is taken as it is, though the slot has another checksum by now.
    let other = page(5, 2);
    backing.0.pages.lock().insert(5, Box::new(other));
    assert_eq!(read_with(&[]), (corrupt, (3, 3)));
    backing.0.verifies.store(true, Relaxed);
    assert_eq!(read_with(&[]), (Ok(other), (3, 3)));
    assert_eq!(read_with(&[changed]), (Ok(other), (3, 3)));
}

#[test]
fn every_page_of_a_run_that_fails_is_counted() {
    let backing = MemoryBacking::default();
    let store = store(100, Some(backing.clone()), None);
    let mut worker = store.try_worker().unwrap();
    let pages: std::vec::Vec<Page> = (0..6).map(|i| page(5, i)).collect();
    store.write(&mut worker, 10, &pages).unwrap();
    let mut back = vec![[0; PAGE_SIZE]; 6];
    for index in [12, 14] {
        backing.0.pages.lock().get_mut(&index).unwrap()[0] ^= 1;
    }
    assert_eq!(
        store.read(&mut worker, 10, &mut back),
        Err(ReadError::Corrupt { index: 12 })
    );
    assert_eq!((store.stats().failed_reads, store.stats().reads), (2, 6));
    assert!(back[5] == pages[5], "the others are read");
    backing.0.fail_reads.store(true, Relaxed);
    assert!(matches!(
        store.read(&mut worker, 10, &mut back),
        Err(ReadError::Backing(error)) if error.index == 10
    ));
    assert_eq!((store.stats().failed_reads, store.stats().reads), (8, 12));
}

#[test]
fn a_corrupted_chunk_is_an_error_and_never_wrong_bytes() {
    let store = store(100, None, None);
    let mut worker = store.try_worker().unwrap();
    store.write(&mut worker, 5, &[page(4, 1)]).unwrap();
    // The chunk of page 5 under page 6: what a stray pointer would do.
    let current = slot::load(store.table.get(5).unwrap()).0;
    let empty = slot::replace(store.table.get_to_write(6).unwrap(), current, |_| ()).unwrap();
    assert_eq!(empty.slot(), Slot::EMPTY);
    assert_eq!(
        read(&store, &mut worker, 6),
        Err(ReadError::Corrupt { index: 6 })
    );
    assert!(read(&store, &mut worker, 5).unwrap() == page(4, 1));
    assert_eq!(store.stats().corrupt, 1);
}

#[test]
fn what_lies_past_the_end_is_refused() {
    let store = store(10, None, None);
    let mut worker = store.try_worker().unwrap();
    let beyond = WriteError::OutOfRange {
        index: 10,
        pages: 10,
    };
    assert_eq!(
        store.write(&mut worker, 9, &[page(3, 1), page(3, 2)]),
        Err(beyond)
    );
    assert!(
        read(&store, &mut worker, 9).unwrap() == page(3, 1),
        "its neighbour is written"
    );
    let beyond = ReadError::OutOfRange {
        index: u64::MAX,
        pages: 10,
    };
    assert_eq!(read(&store, &mut worker, u64::MAX), Err(beyond));
    assert_eq!(store.discard(&mut worker, 5, u64::MAX), 1);
}

#[test]
fn without_memory_for_its_slot_a_write_fails_and_touches_nothing() {
    for backing in [None, Some(MemoryBacking::default())] {
        let store = store(2000, backing.clone(), None);
        let mut worker = store.try_worker().unwrap();
        store.write(&mut worker, 510, &[page(4, 510)]).unwrap();
        let before = store.stats();
        store.slot_memory().set_failing(true);
        // Same-filled, compressible, incompressible; the slots of the first two are there.
        let pages: vec::Vec<Page> = (510..514).map(|i| page(i as usize, i)).collect();
        assert_eq!(
            store.write(&mut worker, 510, &pages),
            Err(WriteError::NoSlotMemory { index: 512 })
        );
        let after = store.stats();
        assert_eq!((after.failed_writes, after.writes), (2, before.writes + 4));
        assert_eq!(after.pages(), 2, "those whose slots are there");
        for index in [512, 513, 1999] {
            assert!(read(&store, &mut worker, index).unwrap() == [0; PAGE_SIZE]);
        }
        assert_eq!(store.discard(&mut worker, 512, 1000), 0);
        assert!(backing.is_none_or(|b| b.0.pages.lock().keys().all(|page| *page < 512)));
        store.slot_memory().set_failing(false);
        store.write(&mut worker, 510, &pages).unwrap();
        for (index, page) in (510..).zip(&pages) {
            assert!(read(&store, &mut worker, index).unwrap() == *page);
        }
    }
}

#[test]
fn pages_of_an_old_codec_stay_readable() {
    let store = store(100, None, None);
    let mut worker = store.try_worker().unwrap();
    let codecs: std::vec::Vec<_> = crate::codec::Builtin::selectable().collect();
    for (i, id) in (0..).zip(&codecs) {
        store.set_codec(CodecSpec::new(*id).unwrap());
        store.write(&mut worker, i, &[page(3, i)]).unwrap();
    }
    let stats = store.stats();
    for (i, id) in (0..).zip(&codecs) {
        assert_eq!(stats.codecs[*id as usize].pages, 1, "{id:?}");
        assert!(
            read(&store, &mut worker, i).unwrap() == page(3, i),
            "{id:?}"
        );
    }
}

#[test]
fn a_page_is_freed_only_if_it_is_still_dead() {
    for kind in 0..6 {
        let store = store(10_000, Some(MemoryBacking::default()), None);
        let mut worker = store.try_worker().unwrap();
        store.write(&mut worker, 7, &[page(kind, 1)]).unwrap();
        assert!(!store.discard_if(7, || false));
        assert!(read(&store, &mut worker, 7).unwrap() == page(kind, 1));
        assert_eq!(store.stats().notify_free, 0);
        assert!(store.discard_if(7, || true));
        assert!(read(&store, &mut worker, 7).unwrap() == [0; PAGE_SIZE]);
        let stats = store.stats();
        let held = [
            stats.pages_stored,
            stats.zero_pages,
            stats.same_pages,
            stats.backing_pages,
            stats.compr_bytes,
        ];
        assert_eq!((held, stats.notify_free), ([0; 5], 1));
    }
}

#[test]
fn of_a_page_without_content_only_the_word_is_taken_back() {
    let store = store(10_000, None, None);
    let mut worker = store.try_worker().unwrap();
    store.write(&mut worker, 7, &[page(3, 1)]).unwrap();
    // Beside one that was written; in a part of the table that never was; past the end.
    for index in [8, 9_000, 10_000] {
        let mut asked = false;
        assert!(!store.discard_if(index, || {
            asked = true;
            true
        }));
        assert!(asked, "page {index}");
    }
    assert_eq!(store.stats().notify_free, 0);
}

#[test]
fn a_limit_that_is_lowered_holds_from_then_on() {
    let backing = MemoryBacking::default();
    let store = store(600, Some(backing), None);
    let mut worker = store.try_worker().unwrap();
    let pages: std::vec::Vec<Page> = (0..600).map(|i| page(4, i)).collect();
    store.write(&mut worker, 0, &pages).unwrap();
    while store.keep() {}
    let before = store.stats();
    assert_eq!((before.backing_pages, before.pages_stored), (0, 600));
    let limit = 8 * 65536;
    assert!(before.pool_bytes > 2 * limit);
    let calls = store.host().keeper_calls.load(Relaxed);
    store.set_memlimit(Some(limit));
    assert_eq!(store.host().keeper_calls.load(Relaxed), calls + 1);
    while store.keep() {}
    store.set_memlimit(Some(limit));
    let unchanged = store.host().keeper_calls.load(Relaxed);
    assert_eq!(unchanged, calls + 1, "there is nothing new to do");
    let lowered = store.stats();
    assert_eq!(lowered.pages_stored, 600, "what is held stays");
    assert_eq!(lowered.reserve_bytes, 0, "the reserve does not");
    // As they are written again, they go to where there is room.
    for _ in 0..2 {
        for (i, page) in (0..).zip(&pages) {
            store
                .write(&mut worker, i, std::slice::from_ref(page))
                .unwrap();
            while store.keep() {}
        }
    }
    let after = store.stats();
    assert!(after.pool_bytes <= limit + 65536, "{after:?}");
    assert_eq!(after.pool_bytes_max, before.pool_bytes_max);
    let mut back = vec![[0; PAGE_SIZE]; 600];
    store.read(&mut worker, 0, &mut back).unwrap();
    assert!(back == pages);
    store.set_memlimit(None);
    store.write(&mut worker, 0, &pages).unwrap();
    assert_eq!(store.stats().pages_stored, 600);
}
