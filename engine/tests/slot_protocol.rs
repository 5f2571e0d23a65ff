//! The slot protocol under a model checker: every interleaving of any two of a store, a load,
//! a discard, the evacuator and the recompressor on one slot, with the chunks' memory watched for races.
//!
//! A chunk's bytes are modelled by one cell a place. Whoever takes a chunk out of the slot
//! overwrites its cell at once, as the pool may after the chunk was freed: if anybody still
//! read it, loom would report the race.

use compcache_engine::codec::CodecId;
use compcache_engine::slot::{self, ChunkRef, Slot, Taken, Word};
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

    fn swap_if(&self, old: u64, new: u64) -> bool {
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

fn relax(_: u32) {
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
        model.slot.store_release(1);
        let empty = slot::resume(&model.slot).commit(chunk(1));
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

    /// Frees what a slot said, as the pool does: the place may be written from now on.
    fn free(&self, old: Taken) {
        if let Some(chunk) = old.slot().as_chunk() {
            self.write(chunk.place as usize, FREED);
        }
    }

    fn store(&self, place: usize, value: u64) {
        self.write(place, value);
        let old = slot::replace(&self.slot, chunk(place), relax);
        self.free(old);
    }

    fn discard(&self) {
        let old = slot::replace(&self.slot, Slot::EMPTY, relax);
        self.free(old);
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
        if let Some(taken) = slot::empty_if(&self.slot, still_dead, relax) {
            self.free(taken);
        }
    }

    fn load(&self) -> Option<u64> {
        let held = slot::lock(&self.slot, relax);
        let value = held
            .said()
            .as_chunk()
            .map(|chunk| self.read(chunk.place as usize));
        held.touch();
        value
    }

    /// The recompressor: ages the chunk, copies it out, and stores the copy at place `to`. It
    /// does nothing where the slot changed meanwhile.
    fn recompress(&self, to: usize) {
        let (said, held) = slot::glance(&self.slot);
        if held || said.as_chunk().is_none() {
            return;
        }
        let Some(aged) = slot::age(&self.slot, said) else {
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
        let named = slot::glance(&self.slot)
            .0
            .as_chunk()
            .map(|chunk| chunk.place as usize);
        for place in (0..self.places.len()).filter(|place| Some(*place) != named) {
            assert_eq!(self.read(place), FREED, "place {place} leaks");
        }
    }

    /// Moves the chunk at place `from`, if the slot names it, to place `to`.
    fn evacuate(&self, from: u64, to: usize) {
        let (said, held) = slot::glance(&self.slot);
        if held || said.as_chunk().is_none_or(|chunk| chunk.place != from) {
            return;
        }
        if let Some(held) = slot::try_lock(&self.slot, said) {
            let value = self.read(from as usize);
            self.write(to, value);
            self.free(held.commit(said.moved_to(to as u64)));
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
            let old = slot::replace(&m.slot, Slot::EMPTY, relax);
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
