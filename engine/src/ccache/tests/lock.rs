//! What is not done under the cache's lock.

use core::ptr::NonNull;
use std::sync::{Arc, OnceLock, Weak};

use super::*;
use crate::fallible::NoMemory;
use crate::host::FrameMemory;

type WatchedCache = Ccache<TestHost, Watched, HeapSlots>;

/// Frames that nobody may touch while the lock of their cache is held.
struct Watched {
    frames: HeapFrames,
    cache: OnceLock<Weak<WatchedCache>>,
}

// SAFETY: as `HeapFrames`, to which all is handed on.
unsafe impl FrameMemory for Watched {
    fn capacity(&self) -> u32 {
        self.frames.capacity()
    }

    fn frame(&self, index: u32) -> NonNull<u8> {
        let cache = self.cache.get().and_then(Weak::upgrade);
        let locked = cache.is_some_and(|cache| cache.guarded.is_locked());
        assert!(!locked, "frame {index} is touched under the lock");
        self.frames.frame(index)
    }

    fn populate(&self, index: u32, may_wait: bool) -> Result<(), NoMemory> {
        self.frames.populate(index, may_wait)
    }

    fn release(&self, index: u32) {
        self.frames.release(index);
    }
}

#[test]
fn no_chunk_is_stored_read_or_freed_under_the_lock() {
    let cache = Arc::new(cache_in(MIB, |frames| Watched {
        frames: HeapFrames::new(frames),
        cache: OnceLock::new(),
    }));
    let frames = cache.store.pool_frames();
    assert!(frames.cache.set(Arc::downgrade(&cache)).is_ok());
    cache.set_reclaiming(true);
    let (mut worker, file) = (cache.try_worker().unwrap(), cache.add_file().unwrap());
    let mut got = [0; PAGE_SIZE];
    // Some are held, and most evicted.
    for i in 0..2000 {
        let again = i / 2;
        for index in [i, again] {
            if cache.read(&mut worker, file, index, &mut got) == Lookup::Miss
                && cache.should_admit(file, index, true) == Decision::Admit
            {
                cache.insert(&mut worker, file, index, &page(index), Read::Demand, || {
                    true
                });
            }
        }
    }
    for i in 0..100 {
        cache.pin(&mut worker, file, i, &page(i)).unwrap();
        cache.pin(&mut worker, file, i, &page(i + 1)).unwrap();
    }
    let before = cache.stats();
    assert!(before.counts.evicted > 0 && before.counts.hits > 0 && before.pinned == 100);
    let held = cache.next_held(file, 100).unwrap();
    let found = cache.lock().index.find(file, held).unwrap();
    assert!(cache.store.flip_bit(u64::from(found.0)));
    assert_eq!(
        cache.read(&mut worker, file, held, &mut got),
        Lookup::Corrupt
    );
    cache.tune(MIB, MIB / 4, u64::MAX);
    assert!(cache.stats().counts.evicted > before.counts.evicted);
    assert!(cache.invalidate(file, 0, 50) > 0);
    assert!(cache.forget(file, 0, u64::MAX) > 0);
    assert_eq!(cache.stats().store.pages_stored, 0);
}
