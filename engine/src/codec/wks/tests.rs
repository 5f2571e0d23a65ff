use alloc::vec::Vec;

use proptest::prelude::*;

use super::Wks;
use super::format::{BLOCKS, KIND_FAR, KIND_PLAIN, PLANES};
use crate::codec::testing::{any_page, check_damage, check_round_trips, chunk_of};
use crate::codec::{Codec, Scratch};
use crate::page::{PAGE_SIZE, Page};

const LEVELS: [i8; 2] = [Wks::FAST, Wks::BALANCED];

fn page_of(chunk: &[u8]) -> Option<Page> {
    let mut page = [0xEE; PAGE_SIZE];
    let decoded = Wks.decompress(chunk, &mut Scratch::default(), &mut page);
    decoded.is_ok().then_some(page)
}

#[test]
fn every_page_comes_back() {
    for level in LEVELS {
        check_round_trips(&Wks, level);
    }
}

#[test]
fn damage_is_survived() {
    for level in LEVELS {
        check_damage(&Wks, level);
    }
}

/// A chunk whose first blocks have these planes and thirds, and all others words of class D.
fn chunk(stride: u8, blocks: &[[u16; 3]], streams: &[&[u8]]) -> Vec<u8> {
    let mut planes = [0; PLANES];
    let mut with_third = 0_u64;
    let mut thirds = Vec::new();
    for (block, [p0, p1, p2]) in blocks.iter().enumerate() {
        planes[4 * block..][..2].copy_from_slice(&p0.to_le_bytes());
        planes[4 * block + 2..][..2].copy_from_slice(&p1.to_le_bytes());
        if *p2 != 0 {
            with_third |= 1 << block;
            thirds.extend(p2.to_le_bytes());
        }
    }
    let mut chunk = alloc::vec![KIND_PLAIN, stride];
    if with_third != 0 {
        chunk[0] = KIND_FAR;
        chunk.extend(with_third.to_le_bytes());
    }
    chunk.extend(planes);
    chunk.extend(thirds);
    chunk.extend(streams.concat());
    chunk
}

/// The words of the page that a chunk restores.
fn words_of(chunk: &[u8]) -> Option<Vec<u32>> {
    let page = page_of(chunk)?;
    let words = page.as_chunks::<4>().0.iter();
    Some(words.map(|bytes| u32::from_le_bytes(*bytes)).collect())
}

#[test]
fn a_hand_written_chunk_is_read() {
    // Words 0 and 1 are literals, word 2 has another low byte than word 0, word 3 another low
    // half than word 1; all others repeat those two places before them.
    let plain = chunk(
        2,
        &[[0b0111, 0b1011, 0]],
        &[
            &0x1234_5678_u32.to_le_bytes(),
            &0x9abc_def0_u32.to_le_bytes(),
            &0x4321_u16.to_le_bytes(),
            &[0x99],
        ],
    );
    let words = words_of(&plain).unwrap();
    assert_eq!(
        words[..4],
        [0x1234_5678, 0x9abc_def0, 0x1234_5699, 0x9abc_4321]
    );
    assert!(
        words[4..]
            .as_chunks()
            .0
            .iter()
            .all(|pair| *pair == [words[2], words[3]])
    );
}

#[test]
fn a_hand_written_chunk_with_a_third_plane_is_read() {
    // Word 0 is a literal and all of its block repeat it. Word 16 is zero; 17 is the word 16
    // before its block, word 0; 18 is the last before its block with another low byte; 19 a
    // byte; all others repeat what is 1 before.
    let far = chunk(
        1,
        &[[1, 1, 0], [0b1010, 0b1100, 0b1111]],
        &[
            &0xcafe_f00d_u32.to_le_bytes(),
            &0x0077_u16.to_le_bytes(),
            &[15, 0x42],
        ],
    );
    let words = words_of(&far).unwrap();
    assert!(words[..16].iter().all(|word| *word == 0xcafe_f00d));
    assert_eq!(words[16..20], [0, 0xcafe_f00d, 0xcafe_f077, 0x42]);
    assert!(words[20..].iter().all(|word| *word == 0x42));
    assert_eq!(words.len(), BLOCKS * 16);
}

#[test]
fn what_no_page_can_be_is_refused() {
    let good = chunk(64, &[], &[]);
    assert_eq!(page_of(&good), Some([0; PAGE_SIZE]));
    for (what, chunk) in [
        ("nothing", Vec::new()),
        ("another kind", [&[3], &good[1..]].concat()),
        ("no stride", chunk(0, &[], &[])),
        ("too long a stride", chunk(65, &[], &[])),
        ("a word too few", chunk(1, &[[1, 1, 0]], &[])),
        ("a byte too many", chunk(1, &[[1, 0, 0]], &[&[1, 2]])),
        (
            "a far word before the page",
            chunk(1, &[[1, 0, 1]], &[&[0]]),
        ),
        (
            "a far word one before the page",
            chunk(1, &[[0, 0, 0], [1, 0, 1]], &[&[16]]),
        ),
        (
            "part of a far word before the page",
            chunk(1, &[[0, 0, 0], [0, 1, 1]], &[&[0, 16]]),
        ),
    ] {
        assert_eq!(page_of(&chunk), None, "{what}");
    }
}

proptest! {
    #[test]
    fn any_page_comes_back(page in any_page()) {
        let mut scratch = Scratch::default();
        for level in LEVELS {
            if let Some(chunk) = chunk_of(&Wks, level, &page, &mut scratch) {
                prop_assert!(page_of(&chunk) == Some(*page));
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(
        kind in 0_u8..4,
        stride in 0_u8..70,
        rest in proptest::collection::vec(any::<u8>(), 0..6000),
    ) {
        page_of(&[&[kind, stride], &rest[..]].concat());
    }
}
