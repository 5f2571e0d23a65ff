//! The pool's promises: chunks keep their bytes, and little memory lies idle.

use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::sync::atomic::Ordering;
use std::println;

use super::*;
use compcache_random::Random;

use crate::codec::CodecId;
use crate::host::heap::{HeapFrames, HeapSlots};
use crate::host::testing::TestHost;
use crate::slot::{ChunkRef, Slot};
use crate::space::Table;

/// A pool with the slots of its chunks' owners.
struct Rig {
    host: TestHost,
    pool: Pool<TestHost, HeapFrames>,
    table: Table<HeapSlots>,
    bytes: Cell<u64>,
}

impl Rig {
    fn new(owners: usize, frames: u32, limit: Option<u64>) -> Self {
        Rig {
            host: TestHost::default(),
            pool: Pool::try_new(HeapFrames::new(frames), 2, limit, 8 << 20).unwrap(),
            table: Table::try_new(HeapSlots::new(owners)).unwrap(),
            bytes: Cell::new(0),
        }
    }

    fn chunk_of(&self, owner: u32) -> Option<ChunkRef> {
        let word = self.table.get(owner.into())?;
        crate::slot::load(word).0.as_chunk()
    }

    /// What `owner` stores at `length` bytes.
    fn content(owner: u32, length: usize) -> Vec<u8> {
        (0..length)
            .map(|i| (owner as usize * 31 + i * 7 + length) as u8)
            .collect()
    }

    fn put(&self, owner: u32, length: usize) -> Result<(), Full> {
        let bytes = Self::content(owner, length);
        let place = self
            .pool
            .insert(&self.host, owner as usize, owner, &bytes, Room::Limited)?;
        self.drop_chunk(owner);
        let slot = Slot::chunk(ChunkRef {
            place,
            length,
            codec: CodecId::Raw,
        });
        let word = self.table.get_to_write(owner.into()).unwrap();
        let empty = crate::slot::replace(word, slot, |_| ()).unwrap();
        assert_eq!(empty.slot(), Slot::EMPTY);
        self.bytes.set(self.bytes.get() + length as u64);
        Ok(())
    }

    fn drop_chunk(&self, owner: u32) {
        let Some(word) = self.table.get(owner.into()) else {
            return;
        };
        let old = crate::slot::replace(word, Slot::EMPTY, |_| ()).unwrap();
        let length = old.slot().as_chunk().map_or(0, |chunk| chunk.length as u64);
        self.bytes.set(self.bytes.get() - length);
        self.pool.remove(&self.host, old);
    }

    /// What the background thread does, until it has nothing left.
    fn keep(&self) {
        while self.pool.keep(&self.host, &self.table) {}
    }

    /// Does the background thread's work if it was called.
    fn keep_if_called(&self) {
        if self.host.keeper_calls.swap(0, Ordering::Relaxed) > 0 {
            self.keep();
        }
    }

    fn check(&self, owner: u32) {
        let Some(chunk) = self.chunk_of(owner) else {
            return;
        };
        let held = crate::slot::lock(self.table.get(owner.into()).unwrap(), |_| ());
        let bytes = self.pool.get(&held, owner);
        assert_eq!(
            bytes.unwrap(),
            Self::content(owner, chunk.length),
            "owner {owner}"
        );
    }

    fn overhead(&self) -> f64 {
        self.pool.bytes() as f64 / self.bytes.get() as f64 - 1.0
    }
}

/// Lengths as real pages have them: mostly a quarter to a half of a page, with a tail.
fn length(random: &mut Random) -> usize {
    match random.index(20) {
        0 => 20 + random.index(200),
        1 => 4096,
        2..6 => 1800 + random.index(1272),
        _ => 300 + random.index(1500),
    }
}

#[test]
fn overhead_is_at_most_five_per_cent_in_churn_and_ten_after_half_is_freed() {
    const OWNERS: u32 = 60_000;
    let rig = Rig::new(OWNERS as usize, 4000, None);
    let mut random = Random::new(1);
    for owner in 0..OWNERS {
        rig.put(owner, length(&mut random)).unwrap();
        rig.keep_if_called();
    }
    println!("overhead after the fill: {:.2} %", rig.overhead() * 100.0);
    assert!(rig.overhead() <= 0.05);
    let mut worst: f64 = 0.0;
    for step in 0..4 * OWNERS {
        rig.put(random.index(OWNERS as usize) as u32, length(&mut random))
            .unwrap();
        rig.keep_if_called();
        if step % 1000 == 0 {
            worst = worst.max(rig.overhead());
        }
    }
    let moved = rig.pool.evacuated() as f64 / f64::from(5 * OWNERS);
    println!(
        "worst in churn: {:.2} %, chunks moved per store: {moved:.3}",
        worst * 100.0
    );
    assert!(worst <= 0.05, "{worst}");
    for owner in 0..OWNERS {
        if random.index(2) == 0 {
            rig.drop_chunk(owner);
        }
    }
    println!("just after half was freed: {:.2} %", rig.overhead() * 100.0);
    rig.keep();
    println!("once evacuated: {:.2} %", rig.overhead() * 100.0);
    assert!(rig.overhead() <= 0.10);
    (0..OWNERS).for_each(|owner| rig.check(owner));
    (0..OWNERS).for_each(|owner| rig.drop_chunk(owner));
    rig.keep();
    assert_eq!(
        rig.pool.held.load(Ordering::Relaxed),
        RESERVE_MIN,
        "all but the reserve is back"
    );
}

#[test]
fn chunks_keep_their_bytes_through_any_mix() {
    for seed in 0..60 {
        let rig = Rig::new(500, 30, Some(25 * FRAME_SIZE as u64));
        let mut random = Random::new(seed);
        for _ in 0..3000 {
            let owner = random.index(500) as u32;
            match random.index(10) {
                0..6 => {
                    let length = length(&mut random);
                    let before = rig.chunk_of(owner);
                    if rig.put(owner, length) == Err(Full) {
                        assert_eq!(rig.chunk_of(owner), before, "a refusal changes nothing");
                    }
                }
                6..9 => rig.drop_chunk(owner),
                _ => {
                    rig.pool.keep(&rig.host, &rig.table);
                }
            }
            assert!(
                rig.pool.bytes() <= 26 * FRAME_SIZE as u64,
                "the limit holds"
            );
        }
        (0..500).for_each(|owner| rig.check(owner));
    }
}

#[test]
fn a_full_pool_says_so_and_takes_pages_that_must_stay() {
    let rig = Rig::new(100, 4, Some(2 * FRAME_SIZE as u64));
    let stored = (0..100)
        .take_while(|owner| rig.put(*owner, 4096).is_ok())
        .count();
    assert_eq!(stored, 30, "fifteen whole pages to a frame");
    let bytes = vec![1; 4096];
    assert!(
        rig.pool
            .insert(&rig.host, 0, 99, &bytes, Room::BeyondLimit)
            .is_ok()
    );
}

#[test]
fn a_frame_that_is_emptied_beyond_the_limit_is_given_back_at_once() {
    let rig = Rig::new(100, 8, None);
    (0..60).for_each(|owner| rig.put(owner, 4096).unwrap());
    rig.keep();
    let held = rig.pool.held.load(Relaxed);
    assert!(rig.pool.set_limit(Some(FRAME_SIZE as u64)));
    rig.keep();
    let lowered = rig.pool.held.load(Relaxed);
    assert!(lowered < held, "the reserve is given back");
    assert!(
        !rig.pool.set_limit(Some(FRAME_SIZE as u64)),
        "it is the same"
    );
    // Fewer than are freed between two looks at whether the arena is sparse.
    let first = frame_of(rig.chunk_of(0).unwrap().place);
    let in_frame = |owner: &u32| frame_of(rig.chunk_of(*owner).unwrap().place) == first;
    let chunks: Vec<u32> = (0..60).filter(in_frame).collect();
    assert_eq!(chunks.len(), 15, "whole pages to a frame");
    chunks.into_iter().for_each(|owner| {
        rig.drop_chunk(owner);
        rig.keep_if_called();
    });
    assert_eq!(rig.pool.held.load(Relaxed), lowered - 1);
}

#[test]
fn ready_frames_are_given_back_when_memory_is_wanted_but_for_the_least_reserve() {
    let rig = Rig::new(400, 64, None);
    // Twenty frames of fifteen pages, all of which become ready.
    (0..300).for_each(|owner| rig.put(owner, 4096).unwrap());
    (10..300).for_each(|owner| rig.drop_chunk(owner));
    let pool = &rig.pool;
    let (ready, held) = (pool.ready_count(), pool.held.load(Relaxed));
    assert!(ready > RESERVE_MIN, "{ready}");
    let frame = FRAME_SIZE as u64;
    assert_eq!(
        pool.shrinkable_bytes(),
        u64::from(ready - RESERVE_MIN) * frame
    );
    // Whole frames, as many as hold what is asked for.
    assert_eq!(pool.shrink(1), frame);
    assert_eq!(pool.held.load(Relaxed), held - 1);
    assert_eq!(
        pool.shrink(u64::MAX),
        u64::from(ready - 1 - RESERVE_MIN) * frame
    );
    assert_eq!(pool.ready_count(), RESERVE_MIN);
    assert_eq!((pool.shrinkable_bytes(), pool.shrink(frame)), (0, 0));
    (0..10).for_each(|owner| rig.check(owner));
}

#[test]
fn a_host_without_memory_is_a_full_pool() {
    let rig = Rig::new(10, 4, None);
    rig.pool.memory.0.set_failing(true);
    assert_eq!(
        rig.pool.insert(&rig.host, 0, 1, &[1; 100], Room::Limited),
        Err(Full)
    );
    rig.pool.memory.0.set_failing(false);
    assert!(
        rig.pool
            .insert(&rig.host, 0, 1, &[1; 100], Room::Limited)
            .is_ok()
    );
}

#[test]
fn a_changed_byte_or_a_wrong_owner_is_noticed() {
    let rig = Rig::new(10, 4, None);
    rig.put(3, 1000).unwrap();
    let chunk = rig.chunk_of(3).unwrap();
    let whole = Slot::chunk(chunk);
    let get = |slot: Slot, owner| {
        let word = AtomicU64::new(0);
        let _ = crate::slot::replace(&word, slot, |_| ());
        let held = crate::slot::lock(&word, |_| ());
        rig.pool.get(&held, owner).map(<[u8]>::len)
    };
    assert_eq!(get(whole, 3), Ok(1000));
    assert_eq!(get(whole, 4), Err(Mismatch));
    let other = |place, length| {
        Slot::chunk(ChunkRef {
            place,
            length,
            ..chunk
        })
    };
    assert_eq!(get(other(chunk.place, 999), 3), Err(Mismatch));
    assert_eq!(get(other(u64::MAX >> 28, 1000), 3), Err(Mismatch));
    assert_eq!(get(other(4095, 4096), 3), Err(Mismatch));
    // SAFETY: nobody else is at work, and the chunk's bytes are the test's to change.
    let byte = unsafe {
        rig.pool
            .memory
            .chunk(chunk.place, 1000)
            .as_ptr()
            .cast_mut()
            .add(500)
    };
    for (flip, expected) in [(1, Err(Mismatch)), (0, Err(Mismatch)), (1, Ok(1000))] {
        // SAFETY: as above.
        unsafe { *byte ^= flip };
        assert_eq!(get(whole, 3), expected);
    }
}

#[test]
fn chunks_that_somebody_holds_are_left_alone_by_the_evacuator() {
    let rig = Rig::new(20_000, 2000, None);
    for owner in 0..20_000 {
        rig.put(owner, 1500).unwrap();
    }
    let held: Vec<u32> = (0..20_000).filter(|o| o % 100 == 0).collect();
    let holds: Vec<_> = held
        .iter()
        .map(|owner| crate::slot::lock(rig.table.get(u64::from(*owner)).unwrap(), |_| ()))
        .collect();
    let before: Vec<_> = held.iter().map(|o| rig.chunk_of(*o)).collect();
    (0..20_000)
        .filter(|o| o % 100 != 0 && o % 3 != 0)
        .for_each(|o| rig.drop_chunk(o));
    rig.keep();
    assert!(rig.pool.evacuated() > 0);
    assert!(held.iter().map(|o| rig.chunk_of(*o)).eq(before));
    drop(holds);
    (0..20_000).for_each(|owner| rig.check(owner));
}
