//! The slot protocol under a model checker: every interleaving of any two of a store, a load,
//! a discard, a way to the backing store, the evacuator and the recompressor on one slot, with the
//! chunks' memory watched for races.
//!
//! A chunk's bytes are modelled by one cell a place. Whoever takes a chunk out of the slot
//! overwrites its cell at once, as the pool may after the chunk was freed: if anybody still
//! read it, loom would report the race.

use compcache_engine::codec::CodecId;
use compcache_engine::slot::{
    self, Arrival, ChunkRef, Departure, Emptied, Entry, InTransit, Slot, Taken, Word,
};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

/// What a place holds after its chunk was freed.
const FREED: u64 = u64::MAX;

struct ModelWord(AtomicU64);

impl Word for ModelWord {
    fn load_acquire(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn compare_exchange(&self, old: u64, new: u64) -> bool {
        self.0
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    fn store_release(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }
}

struct Model {
    slot: ModelWord,
    /// The page's bit among the dead ones, which the kernel sets.
    dead: AtomicU64,
    places: [UnsafeCell<u64>; 4],
}

// SAFETY: the cells are accessed under the slot protocol, which is what is under test; loom
// itself reports accesses that race.
unsafe impl Sync for Model {}
// SAFETY: as above.
unsafe impl Send for Model {}

fn backoff(_: u32) {
    thread::yield_now();
}

impl Model {
    /// Place 1 holds the value 10 and is in the slot.
    fn new() -> Arc<Self> {
        let model = Model {
            slot: ModelWord(AtomicU64::new(0)),
            dead: AtomicU64::new(0),
            places: std::array::from_fn(|_| UnsafeCell::new(FREED)),
        };
        model.write(1, 10);
        let empty = slot::replace(&model.slot, chunk(1), backoff).unwrap();
        assert_eq!(empty.slot(), Slot::EMPTY);
        Arc::new(model)
    }

    fn write(&self, place: usize, value: u64) {
        // SAFETY: the place belongs to the caller: it is not in the slot. Loom checks that.
        self.places[place].with_mut(|cell| unsafe { *cell = value });
    }

    fn read(&self, place: usize) -> u64 {
        // SAFETY: the caller holds the slot that names the place. Loom checks that.
        self.places[place].with(|cell| unsafe { *cell })
    }

    /// Frees the place that was in a slot, as the pool does: the place may be written from now on.
    fn free(&self, old: Taken) {
        if let Some(chunk) = old.slot().as_chunk() {
            self.write(chunk.place as usize, FREED);
        }
    }

    fn store(&self, place: usize, value: u64) {
        self.write(place, value);
        loop {
            match slot::replace(&self.slot, chunk(place), backoff) {
                Ok(old) => return self.free(old),
                Err(InTransit) => thread::yield_now(),
            }
        }
    }

    /// Takes back what was freed; what is in transit is marked and left.
    fn free_emptied(&self, emptied: Emptied) {
        if let Emptied::Taken(old) = emptied {
            self.free(old);
        }
    }

    fn discard(&self) {
        self.free_emptied(slot::empty(&self.slot, backoff));
    }

    /// Makes the page set out for the backing store, where it has another value from now on.
    fn depart(&self, value: u32) -> Departure {
        loop {
            match slot::depart(&self.slot, value, backoff) {
                Ok(departure) => return departure,
                Err(InTransit) => thread::yield_now(),
            }
        }
    }

    fn arrive(&self, departure: Departure, written: bool) {
        match slot::arrive(&self.slot, departure, written, backoff) {
            Arrival::Arrived(old) | Arrival::Freed(old) => self.free(old),
            Arrival::Returned => {}
        }
    }

    /// A page that goes to the backing store and comes there, or not.
    fn send(&self, value: u32, written: bool) {
        let departure = self.depart(value);
        thread::yield_now();
        self.arrive(departure, written);
    }

    /// What the kernel does when nobody needs the page any more.
    fn die(&self) {
        self.dead.fetch_or(1, Ordering::Relaxed);
    }

    /// A write request: the page lives again before anything of it is committed.
    fn request(&self, place: usize, value: u64) {
        if self.dead.load(Ordering::Relaxed) & 1 != 0 {
            self.dead.fetch_and(!1, Ordering::AcqRel);
        }
        self.store(place, value);
    }

    /// Frees the page if it is dead.
    fn free_dead(&self) {
        if self.dead.load(Ordering::Relaxed) & 1 == 0 {
            return;
        }
        let still_dead = || self.dead.fetch_and(!1, Ordering::AcqRel) & 1 != 0;
        self.free_emptied(slot::empty_if(&self.slot, still_dead, backoff));
    }

    /// What the page reads as; waits for one that is in transit.
    fn load(&self) -> Option<u64> {
        loop {
            let mut current = slot::load_unlocked(&self.slot, backoff);
            if current.as_chunk().is_some() {
                let held = slot::lock(&self.slot, backoff);
                current = held.current();
                let value = current
                    .as_chunk()
                    .map(|chunk| self.read(chunk.place as usize));
                held.touch();
                if value.is_some() {
                    return value;
                }
            }
            match current.entry() {
                Some(Entry::Backing { checksum }) => return Some(checksum.into()),
                Some(Entry::Transit { dead: false }) => thread::yield_now(),
                _ => return None,
            }
        }
    }

    /// The recompressor: ages the chunk, copies it out, and stores the copy at place `to`. It
    /// does nothing if the slot changed meanwhile.
    fn recompress(&self, to: usize) {
        let (current, held) = slot::load(&self.slot);
        if held || current.as_chunk().is_none() {
            return;
        }
        let Some(aged) = slot::age(&self.slot, current) else {
            return;
        };
        let Some(held) = slot::try_lock(&self.slot, aged) else {
            return;
        };
        let place = aged.as_chunk().map_or(0, |chunk| chunk.place as usize);
        let value = self.read(place);
        drop(held);
        if let Some(held) = slot::try_lock(&self.slot, aged) {
            self.write(to, value);
            self.free(held.commit(chunk(to)));
        }
    }

    /// Every place but the one that the slot names is free: nothing leaks.
    fn check_freed(&self) {
        let named = slot::load(&self.slot)
            .0
            .as_chunk()
            .map(|chunk| chunk.place as usize);
        for place in (0..self.places.len()).filter(|place| Some(*place) != named) {
            assert_eq!(self.read(place), FREED, "place {place} leaks");
        }
    }

    /// Moves the chunk at place `from`, if the slot names it, to place `to`.
    fn evacuate(&self, from: u64, to: usize) {
        let (current, held) = slot::load(&self.slot);
        if held || current.as_chunk().is_none_or(|chunk| chunk.place != from) {
            return;
        }
        if let Some(held) = slot::try_lock(&self.slot, current) {
            let value = self.read(from as usize);
            self.write(to, value);
            self.free(held.commit(current.moved_to(to as u64)));
        }
    }
}

/// Runs two operations at once in every interleaving, then `after`.
fn check(
    one: impl Fn(&Model) + Sync + Send + Copy + 'static,
    other: impl Fn(&Model) + Sync + Send + Copy + 'static,
    after: impl Fn(&Model) + Sync + Send + 'static,
) {
    loom::model(move || {
        let model = Model::new();
        let thread = thread::spawn({
            let model = Arc::clone(&model);
            move || one(&model)
        });
        other(&model);
        thread.join().unwrap();
        after(&model);
        model.check_freed();
    });
}

fn chunk(place: usize) -> Slot {
    Slot::chunk(ChunkRef {
        place: place as u64,
        length: 100,
        codec: CodecId::Lz4,
    })
}

#[test]
fn a_load_beside_the_evacuator() {
    check(
        |m| assert_eq!(m.load(), Some(10)),
        |m| m.evacuate(1, 3),
        |m| assert_eq!(m.load(), Some(10)),
    );
}

#[test]
fn a_load_beside_a_store() {
    check(
        |m| assert!(matches!(m.load(), Some(10 | 20))),
        |m| m.store(2, 20),
        |m| assert_eq!(m.load(), Some(20)),
    );
}

#[test]
fn a_load_beside_a_discard() {
    check(
        |m| assert!(matches!(m.load(), Some(10) | None)),
        Model::discard,
        |m| assert_eq!(m.load(), None),
    );
}

#[test]
fn a_store_beside_the_evacuator_is_not_lost() {
    check(
        |m| m.store(2, 20),
        |m| m.evacuate(1, 3),
        |m| assert_eq!(m.load(), Some(20)),
    );
}

#[test]
fn a_discard_beside_the_evacuator_is_not_undone() {
    check(
        Model::discard,
        |m| m.evacuate(1, 3),
        |m| assert_eq!(m.load(), None),
    );
}

#[test]
fn of_two_stores_one_wins() {
    check(
        |m| m.store(2, 20),
        |m| m.store(3, 30),
        |m| assert!(matches!(m.load(), Some(20 | 30))),
    );
}

#[test]
fn a_store_beside_a_discard() {
    check(
        |m| m.store(2, 20),
        Model::discard,
        |m| assert!(matches!(m.load(), Some(20) | None)),
    );
}

#[test]
fn a_load_beside_the_recompressor() {
    check(
        |m| assert_eq!(m.load(), Some(10)),
        |m| m.recompress(3),
        |m| assert_eq!(m.load(), Some(10)),
    );
}

#[test]
fn a_store_beside_the_recompressor_is_not_lost() {
    check(
        |m| m.store(2, 20),
        |m| m.recompress(3),
        |m| assert_eq!(m.load(), Some(20)),
    );
}

/// The new chunk lies where the one lay that was just freed and has its length and codec: only
/// its age tells them apart.
#[test]
fn a_store_at_the_same_place_beside_the_recompressor_is_not_lost() {
    check(
        |m| {
            let old = slot::replace(&m.slot, Slot::EMPTY, backoff).unwrap();
            let place = old.slot().as_chunk().map_or(2, |chunk| chunk.place);
            m.free(old);
            m.store(place as usize, 20);
        },
        |m| m.recompress(3),
        |m| assert_eq!(m.load(), Some(20)),
    );
}

#[test]
fn a_discard_beside_the_recompressor_is_not_undone() {
    check(
        Model::discard,
        |m| m.recompress(3),
        |m| assert_eq!(m.load(), None),
    );
}

#[test]
fn the_evacuator_beside_the_recompressor() {
    check(
        |m| m.evacuate(1, 2),
        |m| m.recompress(3),
        |m| assert_eq!(m.load(), Some(10)),
    );
}

/// A chunk that was moved away and back is the same chunk.
#[test]
fn there_and_back_beside_the_recompressor() {
    check(
        |m| {
            m.evacuate(1, 2);
            m.evacuate(2, 1);
        },
        |m| m.recompress(3),
        |m| assert_eq!(m.load(), Some(10)),
    );
}

#[test]
fn a_page_that_died_is_freed() {
    check(
        |m| {
            m.die();
            m.free_dead();
        },
        |m| assert!(matches!(m.load(), Some(10) | None)),
        |m| assert_eq!(m.load(), None),
    );
}

/// The kernel frees a slot, gives it to another page and writes that, while the thread that
/// frees dead pages works.
#[test]
fn a_page_written_anew_is_not_freed() {
    check(
        |m| {
            m.die();
            m.request(2, 20);
        },
        |m| m.free_dead(),
        |m| assert_eq!(m.load(), Some(20)),
    );
}

/// The same twice: the page dies, is written, dies again and is written again.
#[test]
fn a_page_that_dies_twice_is_not_freed_for_the_first_death() {
    check(
        |m| {
            m.die();
            m.request(2, 20);
            m.die();
            m.request(3, 30);
        },
        |m| m.free_dead(),
        |m| assert_eq!(m.load(), Some(30)),
    );
}

#[test]
fn a_page_that_dies_again_is_freed_in_the_end() {
    check(
        |m| {
            m.request(2, 20);
            m.die();
        },
        |m| {
            m.die();
            m.free_dead();
        },
        |m| {
            m.free_dead();
            assert_eq!(m.load(), None);
        },
    );
}

#[test]
fn a_dead_page_that_is_discarded_too_is_freed_once() {
    check(
        |m| {
            m.die();
            m.free_dead();
        },
        Model::discard,
        |m| assert_eq!(m.load(), None),
    );
}

#[test]
fn a_dead_page_beside_the_evacuator() {
    check(
        |m| {
            m.die();
            m.free_dead();
        },
        |m| m.evacuate(1, 3),
        |m| assert_eq!(m.load(), None),
    );
}

#[test]
fn a_dead_page_beside_the_recompressor() {
    check(
        |m| {
            m.die();
            m.free_dead();
        },
        |m| m.recompress(3),
        |m| assert_eq!(m.load(), None),
    );
}

/// Of a page that goes to the backing store while somebody does something else with it: what it
/// may read as afterwards where it came there, and if it did not.
fn check_transit(
    other: impl Fn(&Model) + Sync + Send + Copy + 'static,
    written: &'static [Option<u64>],
    failed: &'static [Option<u64>],
) {
    for (arrives, expected) in [(true, written), (false, failed)] {
        check(
            move |m| m.send(40, arrives),
            other,
            move |m| {
                let value = m.load();
                assert!(expected.contains(&value), "{value:?} ({arrives})");
            },
        );
    }
}

#[test]
fn a_page_in_transit_beside_a_free() {
    check_transit(Model::discard, &[Some(40), None], &[None]);
}

#[test]
fn a_page_in_transit_is_freed_once() {
    check_transit(
        |m| {
            m.discard();
            m.discard();
        },
        &[Some(40), None],
        &[None],
    );
}

#[test]
fn a_page_in_transit_beside_a_store() {
    check_transit(
        |m| m.store(2, 20),
        &[Some(40), Some(20)],
        &[Some(10), Some(20)],
    );
}

/// A slot that was freed and given to another page while the first one is still in transit.
#[test]
fn a_page_in_transit_that_is_freed_and_stored_anew() {
    check_transit(
        |m| {
            m.discard();
            m.store(2, 20);
        },
        &[Some(40), Some(20)],
        &[Some(20)],
    );
}

#[test]
fn of_two_pages_in_transit_one_waits() {
    check_transit(|m| m.send(50, true), &[Some(40), Some(50)], &[Some(50)]);
}

#[test]
fn a_load_of_a_page_in_transit() {
    check_transit(
        |m| assert!(matches!(m.load(), Some(10 | 40))),
        &[Some(40)],
        &[Some(10)],
    );
}

#[test]
fn a_page_in_transit_beside_the_evacuator() {
    check_transit(|m| m.evacuate(1, 3), &[Some(40)], &[Some(10)]);
}

#[test]
fn a_page_in_transit_beside_the_recompressor() {
    check_transit(|m| m.recompress(3), &[Some(40)], &[Some(10)]);
}

/// A free, an arrival and a read, once the page is in transit.
#[test]
fn a_page_in_transit_beside_a_free_and_a_load() {
    for written in [true, false] {
        loom::model(move || {
            let model = Model::new();
            let departure = model.depart(40);
            let other = |act: fn(&Model)| {
                let model = Arc::clone(&model);
                thread::spawn(move || act(&model))
            };
            let free = other(Model::discard);
            let load = other(|m| assert!(matches!(m.load(), Some(10 | 40) | None)));
            model.arrive(departure, written);
            free.join().unwrap();
            load.join().unwrap();
            assert_eq!(model.load(), None);
            model.check_freed();
        });
    }
}

/// The thread that frees dead pages asks while the page is in transit, arrives and sets out again
/// with the same content: what it heard of the first must not free the second.
#[test]
fn a_page_that_sets_out_anew_is_not_freed() {
    check(
        |m| {
            let departure = m.depart(40);
            m.die();
            m.arrive(departure, true);
            // The request of the page that the slot was given to.
            m.dead.fetch_and(!1, Ordering::AcqRel);
            m.send(40, true);
        },
        Model::free_dead,
        |m| assert_eq!(m.load(), Some(40)),
    );
}
