//! Pages that the caller takes to the backing store, as a kernel does.

use std::sync::mpsc;
use std::thread;
use std::vec::Vec;

use proptest::prelude::*;

use super::stress::{check, version};
use super::*;

const PAGES: u64 = 24;

fn store(pages: usize, frames: u32, memlimit: Option<u64>) -> TestStore {
    Store::try_new(
        TestHost::default(),
        HeapFrames::new(frames),
        HeapSlots::new(pages),
        BackingAccess::ByCaller,
        StoreConfig { memlimit, ..CONFIG },
    )
    .unwrap()
}

#[derive(Clone, Debug)]
enum Op {
    Write { index: u64, kind: usize, seed: u64 },
    Read(u64),
    Free(u64),
    Arrive { which: usize, written: bool },
    Keep,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..PAGES, 0..8usize, any::<u64>())
            .prop_map(|(index, kind, seed)| Op::Write { index, kind, seed }),
        4 => (0..PAGES).prop_map(Op::Read),
        3 => (0..PAGES).prop_map(Op::Free),
        3 => (0..8usize, prop::bool::weighted(0.8))
            .prop_map(|(which, written)| Op::Arrive { which, written }),
        1 => Just(Op::Keep),
    ]
}

/// A page on its way.
struct Pending {
    transit: Transit,
    page: Page,
    freed: bool,
}

/// A store, its backing store, and what it should hold. `None` in `expect` is a page that lay in
/// the backing store when a write of it failed.
struct Model {
    store: TestStore,
    worker: Worker,
    disk: HashMap<u64, Page>,
    pending: Vec<Pending>,
    expect: HashMap<u64, Option<Page>>,
}

impl Model {
    fn new(memlimit: u64) -> Self {
        let store = store(PAGES as usize, 12, Some(memlimit));
        Model {
            worker: store.try_worker().unwrap(),
            store,
            disk: HashMap::new(),
            pending: Vec::new(),
            expect: HashMap::new(),
        }
    }

    fn pending(&mut self, index: u64) -> Option<&mut Pending> {
        self.pending
            .iter_mut()
            .find(|pending| pending.transit.index() == index)
    }

    fn apply(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match *op {
            Op::Write { index, kind, seed } => self.write(index, page(kind.min(5), seed))?,
            Op::Read(index) => self.read(index)?,
            Op::Free(index) => {
                let expected = match self.pending(index) {
                    Some(pending) => !core::mem::replace(&mut pending.freed, true),
                    None => self.expect.remove(&index).is_some(),
                };
                prop_assert_eq!(self.store.free(self.worker.number(), index), expected);
            }
            Op::Arrive { which, written } => {
                if which < self.pending.len() {
                    self.arrive(which, written);
                }
            }
            Op::Keep => {
                self.store.keep();
            }
        }
        Ok(())
    }

    fn write(&mut self, index: u64, page: Page) -> Result<(), TestCaseError> {
        let written = self.store.write_page(&mut self.worker, index, &page);
        let in_transit = self.pending(index).is_some();
        match written {
            Ok(Written::InTransit) => prop_assert!(in_transit),
            Ok(Written::Stored) => {
                prop_assert!(!in_transit);
                self.expect.insert(index, Some(page));
            }
            Ok(Written::ToBacking(transit)) => {
                prop_assert!(!in_transit && index != 0);
                prop_assert_eq!(transit.index(), index);
                self.pending.push(Pending {
                    transit,
                    page,
                    freed: false,
                });
            }
            Err(error) => return Err(TestCaseError::fail(std::format!("{error}"))),
        }
        Ok(())
    }

    fn arrive(&mut self, which: usize, written: bool) {
        let Pending {
            transit,
            page,
            freed,
        } = self.pending.swap_remove(which);
        let index = transit.index();
        let was_there = self.in_backing_before(index);
        self.disk
            .insert(index, if written { page } else { [0xee; PAGE_SIZE] });
        self.store.arrive(self.worker.number(), transit, written);
        if freed {
            self.expect.remove(&index);
        } else if written {
            self.expect.insert(index, Some(page));
        } else if was_there {
            self.expect.insert(index, None);
        }
    }

    /// Whether what a page held before it set out lies in the backing store.
    fn in_backing_before(&self, index: u64) -> bool {
        match self.expect.get(&index) {
            Some(Some(held)) => self.disk.get(&index) == Some(held),
            Some(None) => true,
            None => false,
        }
    }

    fn read(&mut self, index: u64) -> Result<(), TestCaseError> {
        let mut page = [0xa5; PAGE_SIZE];
        let loaded = self.store.read_page(&mut self.worker, index, &mut page);
        if let Some(pending) = self.pending(index)
            && !pending.freed
        {
            prop_assert!(matches!(loaded, Ok(Loaded::InTransit)));
            return Ok(());
        }
        let freed = self.pending(index).is_some();
        let expected = match self.expect.get(&index) {
            Some(held) if !freed => *held,
            _ => Some([0; PAGE_SIZE]),
        };
        let number = self.worker.number();
        match loaded {
            Ok(Loaded::Restored) => prop_assert!(Some(page) == expected, "page {index}"),
            Ok(Loaded::InBacking(seen)) => {
                let found = self.disk[&index];
                let verified = self.store.verify(number, index, seen, &found);
                let sound = expected.is_some();
                prop_assert_eq!(verified == Verified::Current, sound);
                prop_assert_eq!(verified == Verified::Corrupt, !sound);
                prop_assert!(!sound || Some(found) == expected, "page {index}");
            }
            other => return Err(TestCaseError::fail(std::format!("{other:?}"))),
        }
        Ok(())
    }

    fn check_everything(&mut self) -> Result<(), TestCaseError> {
        while !self.pending.is_empty() {
            self.arrive(0, true);
        }
        for index in 0..PAGES {
            self.read(index)?;
        }
        let stats = self.store.stats();
        let held = stats.pages();
        prop_assert_eq!(held, self.expect.len() as u64);
        prop_assert_eq!(stats.reads, stats.load_latency.iter().sum::<u64>());
        let stored = stats.store_latency.iter().sum::<u64>();
        prop_assert_eq!(stats.writes - stats.failed_writes, stored);
        self.store.discard(&mut self.worker, 0, PAGES);
        while self.store.keep() {}
        let empty = self.store.stats();
        prop_assert_eq!(
            (empty.compr_bytes, empty.pages_stored, empty.backing_pages),
            (0, 0, 0)
        );
        prop_assert_eq!(empty.pool_bytes, empty.reserve_bytes, "no chunk leaks");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn a_caller_that_takes_its_time(
        ops in prop::collection::vec(op(), 1..120),
        frames in 1u64..6,
    ) {
        let mut model = Model::new(frames * 65536);
        ops.iter().try_for_each(|op| model.apply(op))?;
        model.check_everything()?;
    }
}

#[test]
fn what_is_changed_while_it_is_read_is_read_again() {
    let store = store(10, 12, None);
    let mut worker = store.try_worker().unwrap();
    let mut send = |seed| {
        let written = store.write_page(&mut worker, 5, &page(5, seed)).unwrap();
        let Written::ToBacking(transit) = written else {
            panic!("{written:?}");
        };
        store.arrive(NO_WORKER, transit, true);
    };
    send(1);
    let mut found = [0; PAGE_SIZE];
    let mut reader = store.try_worker().unwrap();
    let loaded = store.read_page(&mut reader, 5, &mut found).unwrap();
    let Loaded::InBacking(seen) = loaded else {
        panic!("{loaded:?}");
    };
    let verify = |found: &Page| store.verify(NO_WORKER, 5, seen, found);
    assert_eq!(verify(&page(5, 2)), Verified::Corrupt);
    send(2);
    assert_eq!(verify(&page(5, 2)), Verified::Changed);
    // What was there when the read began is a right answer.
    assert_eq!(verify(&page(5, 1)), Verified::Current);
    let stats = store.stats();
    assert_eq!((stats.reads, stats.failed_reads, stats.corrupt), (2, 1, 1));
    assert_eq!((stats.backing_reads, stats.backing_writes), (3, 2));
}

/// The disk of the test with many threads.
type Disk = Mutex<HashMap<u64, Box<Page>>>;

const SHARED: u64 = 400;
const OWN: u64 = 300;

struct Caller<'a> {
    store: &'a TestStore,
    disk: &'a Disk,
    worker: Worker,
    io: mpsc::Sender<(Transit, Box<Page>)>,
}

impl Caller<'_> {
    fn write(&mut self, index: u64, page: &Page) {
        loop {
            match self
                .store
                .write_page(&mut self.worker, index, page)
                .unwrap()
            {
                Written::Stored => return,
                Written::ToBacking(transit) => {
                    return self.io.send((transit, Box::new(*page))).unwrap();
                }
                Written::InTransit => thread::yield_now(),
            }
        }
    }

    fn read(&mut self, index: u64) -> Page {
        let mut page = [0xa5; PAGE_SIZE];
        loop {
            match self
                .store
                .read_page(&mut self.worker, index, &mut page)
                .unwrap()
            {
                Loaded::Restored => return page,
                Loaded::InTransit => thread::yield_now(),
                Loaded::InBacking(seen) => {
                    page = **self.disk.lock().get(&index).expect("it was written");
                    let number = self.worker.number();
                    match self.store.verify(number, index, seen, &page) {
                        Verified::Current => return page,
                        Verified::Changed => {}
                        Verified::Corrupt => panic!("page {index} is corrupt"),
                    }
                }
            }
        }
    }

    fn work(&mut self, me: u64, rounds: u64) {
        let mut random = Random::new(me + 1);
        let mut own = [0; OWN as usize];
        for round in 1..rounds {
            let shared = random.index(SHARED as usize) as u64;
            match random.index(8) {
                0..3 => self.write(shared, &version(shared, round)),
                3..6 => check(shared, &self.read(shared)),
                6 => {
                    self.store.free(self.worker.number(), shared);
                }
                _ => {
                    let mine = random.index(own.len());
                    let index = SHARED + me * OWN + mine as u64;
                    let expected = match own[mine] {
                        0 => [0; PAGE_SIZE],
                        round => version(index, round),
                    };
                    assert!(self.read(index) == expected, "page {index} lost a write");
                    own[mine] = if random.index(4) == 0 { 0 } else { round };
                    match own[mine] {
                        0 => assert!(
                            self.store.free(self.worker.number(), index)
                                || expected == [0; PAGE_SIZE]
                        ),
                        round => self.write(index, &version(index, round)),
                    }
                }
            }
        }
    }
}

#[test]
fn many_callers_and_a_slow_disk() {
    const THREADS: u64 = 3;
    let store = store((SHARED + OWN * THREADS) as usize, 500, None);
    let disk = Disk::default();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (io, arriving) = mpsc::channel::<(Transit, Box<Page>)>();
        let callers: Vec<_> = (0..THREADS)
            .map(|me| {
                let mut caller = Caller {
                    store: &store,
                    disk: &disk,
                    worker: store.try_worker().unwrap(),
                    io: io.clone(),
                };
                scope.spawn(move || caller.work(me, 20_000))
            })
            .collect();
        drop(io);
        let arrivals = scope.spawn(|| {
            let mut random = Random::new(99);
            for (transit, page) in arriving {
                // Pages that only one thread writes arrive.
                let written = transit.index() >= SHARED || random.index(8) > 0;
                if written {
                    disk.lock().insert(transit.index(), page);
                }
                store.arrive(NO_WORKER, transit, written);
            }
        });
        let keeper = scope.spawn(|| {
            while !done.load(Relaxed) {
                if !store.keep() {
                    thread::yield_now();
                }
            }
        });
        let results: Vec<_> = callers.into_iter().map(|caller| caller.join()).collect();
        done.store(true, Relaxed);
        results.into_iter().for_each(|result| result.unwrap());
        // Joined one by one: ThreadSanitizer does not see how a scope waits.
        for thread in [arrivals, keeper] {
            thread.join().unwrap();
        }
    });
    let stats = store.stats();
    assert_eq!((stats.corrupt, stats.failed_reads), (0, 0));
    assert!(
        stats.backing_writes > 0 && stats.backing_reads > 0,
        "{stats:?}"
    );
    assert!(stats.failed_writes > 0 && stats.evacuated > 0, "{stats:?}");
    store.discard(&mut store.try_worker().unwrap(), 0, u64::MAX);
    while store.keep() {}
    let empty = store.stats();
    let held = empty.pages_stored + empty.zero_pages + empty.same_pages + empty.backing_pages;
    assert_eq!((held, empty.compr_bytes), (0, 0), "gauges balance");
    assert_eq!(empty.pool_bytes, empty.reserve_bytes, "no chunk leaks");
    assert_eq!(store.host().pinned.load(Relaxed), 0, "all is unpinned");
}
