//! The format, and the rules of single operations.

use core::sync::atomic::AtomicU64;

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_chunk_reads_back(place in 0u64..1 << PLACE_BITS, length in 1usize..=4096, codec in 0u8..7) {
        let codec = CodecId::from_number(codec).unwrap();
        let chunk = ChunkRef { place, length, codec };
        prop_assert_eq!(Slot::chunk(chunk).entry(), Some(Entry::Chunk(chunk)));
    }

    #[test]
    fn a_checksum_reads_back(checksum: u32) {
        prop_assert_eq!(Slot::backing(checksum).entry(), Some(Entry::Backing { checksum }));
    }

    #[test]
    fn a_shadow_reads_back(evicted_at in 0..EVICTION_CLOCK_RANGE) {
        prop_assert_eq!(Slot::shadow(evicted_at).entry(), Some(Entry::Shadow { evicted_at }));
    }

    #[test]
    fn a_word_that_fits_reads_back(small in -(1i64 << 51)..1i64 << 51, half: u32) {
        let repeated = u64::from(half) << 32 | u64::from(half);
        for word in [small as u64, repeated] {
            prop_assert_eq!(Slot::same(word).and_then(Slot::entry), Some(Entry::Same(word)));
        }
    }

    #[test]
    fn any_word_is_either_kept_or_refused(word: u64) {
        if let Some(slot) = Slot::same(word) {
            prop_assert_eq!(slot.entry(), Some(Entry::Same(word)));
        }
    }

    #[test]
    fn no_word_panics(value: u64) {
        let _ = Slot(value & !LOCK).entry();
    }
}

fn some_chunk() -> Slot {
    Slot::chunk(ChunkRef {
        place: (1 << PLACE_BITS) - 1,
        length: 4096,
        codec: CodecId::Wks,
    })
}

#[test]
fn a_chunk_ages_until_it_is_touched() {
    let fresh = some_chunk();
    let word = AtomicU64::new(fresh.0);
    for expected in 1..=300 {
        let current = age(&word, load(&word).0).unwrap();
        assert_eq!(current.age(), expected.min(i32::from(MAX_AGE)) as u8);
        assert_eq!(current.entry(), fresh.entry());
        assert!(!current.no_recompress());
    }
    lock(&word, |_| ()).touch();
    assert_eq!(load(&word), (fresh, false));
}

#[test]
fn a_marked_chunk_stays_so_when_it_is_touched_or_moved() {
    let word = AtomicU64::new(some_chunk().0);
    let old = age(&word, some_chunk()).unwrap();
    assert!(mark_no_recompress(&word, old));
    lock(&word, |_| ()).touch();
    let current = load(&word).0;
    assert_eq!((current.age(), current.no_recompress()), (0, true));
    assert!(current.moved_to(7).no_recompress());
    assert_eq!(current.entry(), some_chunk().entry());
}

#[test]
fn a_slot_that_is_held_or_says_something_else_is_left_alone() {
    let word = AtomicU64::new(some_chunk().0);
    let held = lock(&word, |_| ());
    assert_eq!(age(&word, some_chunk()), None);
    assert!(!mark_no_recompress(&word, some_chunk()));
    drop(held);
    assert_eq!(age(&word, some_chunk().moved_to(1)), None);
    assert!(!mark_no_recompress(&word, some_chunk().moved_to(1)));
    assert_eq!(load(&word), (some_chunk(), false));
}

#[test]
fn a_wide_word_is_refused() {
    assert_eq!(Slot::same(0x0123_4567_89ab_cdef), None);
}
