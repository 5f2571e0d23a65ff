//! An encrypted backing swap over a disk in memory, which an attacker may change.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use compcache_engine::host::heap::{HeapFrames, HeapSlots};
use compcache_engine::{CodecSpec, Store, StoreConfig};
use compcache_host::memory::LinuxHost;
use compcache_random::Random;
use compcache_test_support::SetAtEnd;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;

const PLACES: u64 = 400;
const BOTH: [Kind; 2] = [Kind::Aes, Kind::ChaCha];

/// A disk in memory.
#[derive(Clone, Default)]
struct Disk(Arc<DiskState>);

#[derive(Default)]
struct DiskState {
    pages: Mutex<HashMap<u64, Page>>,
    /// Pages of each transfer that was written.
    runs: Mutex<Vec<usize>>,
    fail: AtomicBool,
    /// Writes as far as this place before it fails.
    fails_at: Mutex<Option<u64>>,
    /// What happens before pages are read, once.
    before_read: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// Shows half of each page before the whole.
    slow: AtomicBool,
}

fn failure(transfer: Transfer, index: u64) -> BackingError {
    BackingError {
        transfer,
        index,
        errno: libc::EIO,
    }
}

impl Backing for Disk {
    fn read(&self, first: u64, pages: &mut [Page]) -> Result<(), Unread> {
        if self.0.fail.load(Relaxed) {
            return Err(failure(Transfer::Read, first).into());
        }
        if let Some(first) = self.0.before_read.lock().take() {
            first();
        }
        for (place, page) in (first..).zip(pages) {
            *page = self
                .0
                .pages
                .lock()
                .get(&place)
                .copied()
                .unwrap_or([0; PAGE_SIZE]);
        }
        Ok(())
    }

    fn write(&self, first: u64, pages: &[Page]) -> Result<(), BackingError> {
        assert!(
            pages.as_ptr().addr().is_multiple_of(PAGE_SIZE),
            "for direct I/O"
        );
        if self.0.fail.load(Relaxed) {
            return Err(failure(Transfer::Write, first));
        }
        self.0.runs.lock().push(pages.len());
        for (place, page) in (first..).zip(pages) {
            if *self.0.fails_at.lock() == Some(place) {
                return Err(failure(Transfer::Write, place));
            }
            if self.0.slow.load(Relaxed) {
                let mut half = self.at(place);
                half[..PAGE_SIZE / 2].copy_from_slice(&page[..PAGE_SIZE / 2]);
                self.put(place, &half);
                thread::yield_now();
            }
            self.put(place, page);
        }
        Ok(())
    }
}

impl Disk {
    fn at(&self, place: u64) -> Page {
        self.0
            .pages
            .lock()
            .get(&place)
            .copied()
            .unwrap_or([0; PAGE_SIZE])
    }

    fn put(&self, place: u64, page: &Page) {
        self.0.pages.lock().insert(place, *page);
    }
}

type Fixture = Encrypted<Disk, HeapSlots>;

fn encrypted_by(kind: Kind, workers: usize) -> (Disk, Fixture) {
    let disk = Disk::default();
    let memory = HeapSlots::new((PLACES * WORDS) as usize);
    let cipher = Cipher::new(kind).unwrap();
    let encrypted = Encrypted::over(disk.clone(), memory, cipher, workers).unwrap();
    (disk, encrypted)
}

fn page(seed: u64) -> Page {
    let mut page = [0; PAGE_SIZE];
    Random::new(seed).fill(&mut page);
    page
}

fn read(encrypted: &Fixture, place: u64) -> Result<Page, Unread> {
    let mut pages = [[0; PAGE_SIZE]];
    encrypted.read(place, &mut pages)?;
    Ok(pages[0])
}

#[test]
fn runs_of_any_length_come_back_and_nothing_lies_on_the_disk_as_it_is() {
    for kind in BOTH {
        let (disk, encrypted) = encrypted_by(kind, 1);
        let pages: Vec<Page> = (0..PLACES).map(|_| [0x5a; PAGE_SIZE]).collect();
        for length in [1, 2, RUN - 1, RUN, RUN + 1, 2 * RUN + 3] {
            disk.0.runs.lock().clear();
            encrypted.write(5, &pages[..length]).unwrap();
            let transfers = disk.0.runs.lock().clone();
            assert_eq!(transfers.len(), length.div_ceil(RUN));
            assert_eq!(transfers.iter().sum::<usize>(), length);
            let mut back = vec![[0; PAGE_SIZE]; length];
            encrypted.read(5, &mut back).unwrap();
            assert!(back == pages[..length]);
        }
        let on_disk = disk.0.pages.lock();
        let plain = on_disk
            .values()
            .flat_map(|page| page.windows(8))
            .any(|w| w == [0x5a; 8]);
        assert!(!plain && on_disk.len() == 2 * RUN + 3);
    }
}

#[test]
fn a_thread_that_finds_no_buffer_writes_its_pages_one_by_one() {
    let (disk, encrypted) = encrypted_by(Kind::Aes, 1);
    let taken = encrypted.buffers.take().unwrap();
    encrypted.write(1, &[page(1), page(2), page(3)]).unwrap();
    assert_eq!(*disk.0.runs.lock(), [1; 3]);
    drop(taken);
    for place in 1..4 {
        assert_eq!(read(&encrypted, place), Ok(page(place)));
    }
}

/// What is on the disk is not believed: each of these is found out, of that page alone.
#[test]
fn what_was_changed_moved_or_replaced_is_damaged() {
    for kind in BOTH {
        let (disk, encrypted) = encrypted_by(kind, 1);
        let older: Vec<Page> = (0..6).map(page).collect();
        encrypted.write(1, &older).unwrap();
        let old = disk.at(1);
        // The same content once more: what lies there differs all the same.
        encrypted.write(1, &older).unwrap();
        assert!(disk.at(1) != old);

        let sound = [disk.at(1), disk.at(2), disk.at(3), disk.at(4)];
        disk.put(1, &old);
        disk.put(2, &sound[2]);
        disk.put(3, &sound[1]);
        let mut flipped = sound[3];
        flipped[4095] ^= 0x80;
        disk.put(4, &flipped);
        for place in 1..5 {
            assert_eq!(read(&encrypted, place), Err(Unread::Damaged), "{place}");
        }
        for place in 5..7 {
            assert_eq!(read(&encrypted, place), Ok(older[place as usize - 1]));
        }
        let mut run = vec![[0; PAGE_SIZE]; 3];
        assert_eq!(encrypted.read(4, &mut run), Err(Unread::Damaged));
        // Nothing is lost for good: what is put back is read.
        for (place, page) in (1..).zip(&sound) {
            disk.put(place, page);
            assert_eq!(read(&encrypted, place), Ok(older[place as usize - 1]));
        }
        assert_eq!(read(&encrypted, 7), Err(Unread::Damaged), "never written");
        assert_eq!(
            read(&encrypted, PLACES),
            Err(Unread::Damaged),
            "past the end"
        );
    }
}

#[test]
fn under_another_key_nothing_is_read() {
    let (disk, encrypted) = encrypted_by(Kind::Aes, 1);
    encrypted.write(3, &[page(3)]).unwrap();
    let (other_disk, other) = encrypted_by(Kind::Aes, 1);
    other.write(3, &[page(3)]).unwrap();
    // The same number, place and content.
    assert!(disk.at(3) != other_disk.at(3));
    other_disk.put(3, &disk.at(3));
    assert_eq!(read(&other, 3), Err(Unread::Damaged));
}

#[test]
fn after_a_failed_write_what_still_lies_there_is_read() {
    let (disk, encrypted) = encrypted_by(Kind::Aes, 1);
    encrypted.write(1, &[page(1), page(2)]).unwrap();
    disk.0.fail.store(true, Relaxed);
    let error = encrypted.write(1, &[page(8), page(9)]).unwrap_err();
    assert_eq!(error, failure(Transfer::Write, 1));
    assert_eq!(read(&encrypted, 1), Err(failure(Transfer::Read, 1).into()));
    disk.0.fail.store(false, Relaxed);
    assert_eq!(read(&encrypted, 1), Ok(page(1)));
    // The first page reached the disk, and nobody says so.
    *disk.0.fails_at.lock() = Some(2);
    assert!(encrypted.write(1, &[page(8), page(9)]).is_err());
    assert_eq!(read(&encrypted, 1), Err(Unread::Damaged));
    assert_eq!(read(&encrypted, 2), Ok(page(2)));
}

#[test]
fn without_memory_for_its_seal_a_write_fails_and_reaches_no_disk() {
    let disk = Disk::default();
    let memory = HeapSlots::new((PLACES * WORDS) as usize);
    memory.set_failing(true);
    let cipher = Cipher::new(Kind::Aes).unwrap();
    let encrypted = Encrypted::over(disk.clone(), memory, cipher, 1).unwrap();
    let error = encrypted.write(1, &[page(1)]).unwrap_err();
    assert_eq!((error.index, error.errno), (1, libc::ENOMEM));
    assert!(disk.0.pages.lock().is_empty());
    assert_eq!(encrypted.seals.bytes(), 0);
    let error = encrypted.write(PLACES, &[page(1)]).unwrap_err();
    assert_eq!((error.index, error.errno), (PLACES, libc::EIO));
}

/// Between the look at a seal and the page that is read, the page is written, or begins to be.
#[test]
fn what_changes_between_the_seal_and_the_page_is_not_damaged() {
    let (disk, encrypted) = encrypted_by(Kind::of_this_cpu(), 1);
    let encrypted = Arc::new(encrypted);
    encrypted.write(1, &[page(1), page(2)]).unwrap();
    let read_while = |act: fn(&Fixture)| {
        let meanwhile = Arc::clone(&encrypted);
        *disk.0.before_read.lock() = Some(Box::new(move || act(&meanwhile)));
        encrypted.read(1, &mut [[0; PAGE_SIZE]; 2])
    };
    assert_eq!(read_while(|_| ()), Ok(()));
    let written = read_while(|it| it.write(2, &[page(3)]).unwrap());
    assert_eq!(written, Err(Unread::Changed));
    // With what it held before, too: all that differs is the number.
    let written = read_while(|it| it.write(2, &[page(3)]).unwrap());
    assert_eq!(written, Err(Unread::Changed));
    let begun = read_while(|it| it.seals.begin(2).unwrap());
    assert_eq!(begun, Err(Unread::Changed));
    assert_eq!(
        read(&encrypted, 2),
        Err(Unread::Changed),
        "until it is written"
    );
    encrypted.seals.abandon(2);
    assert_eq!(read(&encrypted, 2), Ok(page(3)));
}

/// Readers race with a writer of the same page: they see one of its versions, or that it changed.
#[test]
fn a_page_that_is_written_meanwhile_has_changed_and_is_not_damaged() {
    let (disk, encrypted) = encrypted_by(Kind::of_this_cpu(), 4);
    disk.0.slow.store(true, Relaxed);
    encrypted.write(1, &[page(0), page(0)]).unwrap();
    let done = AtomicBool::new(false);
    let (mut changed, mut sound) = (0, 0);
    thread::scope(|scope| {
        let _end = SetAtEnd(&done);
        scope.spawn(|| {
            for round in 0.. {
                let pages = [page(round % 2), page(round % 2)];
                encrypted.write(1, &pages).unwrap();
                if done.load(Relaxed) {
                    break;
                }
            }
        });
        while changed < 50 || sound < 50 {
            let mut pages = [[0; PAGE_SIZE]; 2];
            match encrypted.read(1, &mut pages) {
                Ok(()) => {
                    sound += 1;
                    assert!(pages.iter().all(|it| *it == page(0) || *it == page(1)));
                }
                Err(Unread::Changed) => changed += 1,
                other => panic!("{other:?}"),
            }
        }
    });
}

/// A store over it, whose threads write and read the same pages, often with what they held before:
/// then slots are the same again, and only the seals tell that a page was written meanwhile.
#[test]
fn under_a_store_with_many_threads_no_page_is_wrong_or_taken_for_damaged() {
    const HOT: u64 = 6;
    let (disk, encrypted) = encrypted_by(Kind::of_this_cpu(), 2);
    disk.0.slow.store(true, Relaxed);
    let store = Store::try_new(
        LinuxHost::new(Arc::default(), Arc::default()),
        HeapFrames::new(8),
        HeapSlots::new(PLACES as usize),
        Some(encrypted).into(),
        StoreConfig {
            memlimit: None,
            codec: CodecSpec::LZ4,
            arenas: 2,
            reserve_bytes: 1 << 20,
        },
    )
    .unwrap();
    let contents: Vec<Page> = (0..2).map(page).collect();
    thread::scope(|scope| {
        for seed in 0..4 {
            let (store, contents) = (&store, &contents);
            scope.spawn(move || {
                let mut worker = store.try_worker().unwrap();
                let mut random = Random::new(seed);
                for _ in 0..1500 {
                    let first = 1 + random.index(HOT as usize) as u64;
                    let count = 1 + random.index(3);
                    if random.index(2) == 0 {
                        let pages = vec![contents[random.index(2)]; count];
                        store.write(&mut worker, first, &pages).unwrap();
                    } else {
                        let mut pages = vec![[1; PAGE_SIZE]; count];
                        store.read(&mut worker, first, &mut pages).unwrap();
                        let known = |it: &Page| contents.contains(it) || *it == [0; PAGE_SIZE];
                        assert!(pages.iter().all(known));
                    }
                }
            });
        }
    });
    let stats = store.stats();
    assert!(
        stats.backing_reads > 0 && stats.backing_writes > 0,
        "{stats:?}"
    );
    assert_eq!(
        (stats.corrupt, stats.failed_reads, stats.failed_writes),
        (0, 0, 0)
    );
}

#[test]
fn numbers_are_never_used_again() {
    let (disk, encrypted) = encrypted_by(Kind::Aes, 4);
    let seen = Mutex::new(std::collections::HashSet::new());
    thread::scope(|scope| {
        for worker in 0..4 {
            let (encrypted, seen) = (&encrypted, &seen);
            scope.spawn(move || {
                for round in 0..50 {
                    let first = 1 + worker * 20;
                    encrypted.write(first, &[page(round); 10]).unwrap();
                    for place in first..first + 10 {
                        let Look::Sealed(seal) = encrypted.seals.look(place) else {
                            panic!("nothing is being written");
                        };
                        assert!(seen.lock().insert(seal.number), "{}", seal.number);
                    }
                }
            });
        }
    });
    // A write that fails has used its number as well: the disk may show what it sealed with it.
    let before = encrypted.seals.number();
    disk.0.fail.store(true, Relaxed);
    assert!(encrypted.write(1, &[page(1)]).is_err());
    assert_eq!(encrypted.seals.number(), before + 2);
    assert_eq!(seen.lock().len(), 4 * 50 * 10);
}

#[derive(Clone, Debug)]
enum Op {
    Write {
        first: u64,
        count: u64,
        seed: u64,
    },
    Read {
        first: u64,
        count: u64,
    },
    /// Changes a bit of what lies at a place.
    Flip {
        place: u64,
        bit: usize,
    },
    /// Puts what once lay at a place to another, or the same.
    Replay {
        from: usize,
        to: u64,
    },
    /// The next write fails at this place, if it comes there.
    FailAt {
        place: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let run = || (1..PLACES - 140, prop_oneof![4 => 1..4u64, 1 => 60..140u64]);
    prop_oneof![
        6 => (run(), any::<u64>()).prop_map(|((first, count), seed)| Op::Write { first, count, seed }),
        6 => run().prop_map(|(first, count)| Op::Read { first, count }),
        2 => (1..PLACES, 0..PAGE_SIZE * 8).prop_map(|(place, bit)| Op::Flip { place, bit }),
        2 => (any::<usize>(), 1..PLACES).prop_map(|(from, to)| Op::Replay { from, to }),
        1 => (1..PLACES).prop_map(|place| Op::FailAt { place }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever an attacker does to the disk: a page is what was written last, or damaged.
    #[test]
    fn a_page_is_the_last_one_or_damaged(ops in prop::collection::vec(op(), 1..60), aes: bool) {
        let (disk, encrypted) = encrypted_by(if aes { Kind::Aes } else { Kind::ChaCha }, 1);
        // By place: what was written last, and how that lies on the disk.
        let mut last: HashMap<u64, (Page, Page)> = HashMap::new();
        let mut ever: Vec<Page> = vec![[0; PAGE_SIZE]];
        for op in ops {
            match op {
                Op::Write { first, count, seed } => {
                    let pages: Vec<Page> = (0..count).map(|n| page(seed ^ n)).collect();
                    let before: Vec<u64> = (first..first + count).collect();
                    let result = encrypted.write(first, &pages);
                    *disk.0.fails_at.lock() = None;
                    for (place, page) in before.into_iter().zip(pages) {
                        ever.push(disk.at(place));
                        // Of a run that failed, buffers that were written before are there.
                        if result.is_ok() || read(&encrypted, place) == Ok(page) {
                            last.insert(place, (page, disk.at(place)));
                        }
                    }
                }
                Op::Read { first, count } => {
                    let places = first..first + count;
                    let sound = |place: u64| last.get(&place).is_some_and(|(_, lies)| *lies == disk.at(place));
                    let mut pages = vec![[0; PAGE_SIZE]; count as usize];
                    let expected = if places.clone().all(sound) { Ok(()) } else { Err(Unread::Damaged) };
                    prop_assert_eq!(encrypted.read(first, &mut pages), expected);
                    for place in places {
                        match read(&encrypted, place) {
                            Ok(page) => prop_assert!(sound(place) && page == last[&place].0),
                            Err(error) => prop_assert!(!sound(place) && error == Unread::Damaged),
                        }
                    }
                }
                Op::Flip { place, bit } => {
                    let mut changed = disk.at(place);
                    changed[bit / 8] ^= 1 << (bit % 8);
                    disk.put(place, &changed);
                }
                Op::Replay { from, to } => disk.put(to, &ever[from % ever.len()]),
                Op::FailAt { place } => *disk.0.fails_at.lock() = Some(place),
            }
        }
    }
}
