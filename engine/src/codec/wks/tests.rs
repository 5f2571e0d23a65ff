//! The wks codec: all its paths write the same bytes, read them back, and refuse the same damage.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::format::{KIND_FAR, KIND_PLAIN};
use super::path::Path;
use super::sizes::BLOCKS;
use super::{State, choose, narrow};
use crate::codec::testing::{
    any_page, check_damage, check_round_trips, chunk_of, made_pages, real_pages,
};
use crate::codec::{Builtin, CodecId, CodecSpec, Codecs, Scratch};
use crate::cpu::Cpu;
use crate::page::{PAGE_SIZE, Page};

const LEVELS: [CodecSpec; 2] = [CodecSpec::WKS_FAST, CodecSpec::WKS_BALANCED];

/// Working memory for each path of this processor, the portable one first.
fn scratches() -> Vec<Scratch> {
    let scratch = |path| Scratch::new(path).unwrap();
    Path::all(Cpu::current()).map(scratch).collect()
}

/// The page of a chunk; panics if the paths disagree.
fn page_of(chunk: &[u8]) -> Option<Page> {
    let decode = |mut scratch: Scratch| {
        let mut page = [0xEE; PAGE_SIZE];
        let decoded = Builtin::decompress(CodecId::Wks, chunk, &mut scratch, &mut page);
        decoded.is_ok().then_some(page)
    };
    let mut pages = scratches().into_iter().map(decode);
    let first = pages.next().unwrap();
    assert!(pages.all(|page| page == first), "the paths disagree");
    first
}

/// Panics unless what build targets without vector registers do says the same of a page.
fn check_narrow(name: &str, page: &Page) {
    assert_eq!(narrow::is_text(page), choose::is_text(page), "{name}");
    assert_eq!(narrow::stride(page), choose::stride(page), "{name}");
}

/// Panics unless all paths write the same chunks for a page, and read it from all of them.
fn check_paths(name: &str, page: &Page, scratches: &mut [Scratch]) {
    for level in LEVELS {
        let [portable, others @ ..] = &mut *scratches else {
            return;
        };
        let chunk = chunk_of(level, page, portable);
        for other in others {
            let path = other.path;
            assert_eq!(
                path.is_text(page),
                choose::is_text(page),
                "{name}: {path:?}"
            );
            assert_eq!(path.stride(page), choose::stride(page), "{name}: {path:?}");
            assert!(
                chunk_of(level, page, other) == chunk,
                "{name}: another chunk by {path:?}"
            );
        }
        // All strides, also those that this page would not get.
        for stride in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64] {
            let mut first = None;
            for scratch in &mut *scratches {
                let path = scratch.path;
                let State { parts, far } = &mut scratch.memory().wks;
                let far = (level == CodecSpec::WKS_BALANCED).then_some(far);
                path.encode(page, stride, far, parts);
                let mut chunk = alloc::vec![0; 2 * PAGE_SIZE];
                let len = parts.write(stride, &mut chunk).unwrap();
                chunk.truncate(len);
                let chunk = first.get_or_insert(chunk.clone()) == &chunk;
                assert!(chunk, "{name}: another chunk by {path:?}, stride {stride}");
            }
            let chunk = first.unwrap_or_default();
            for scratch in &mut *scratches {
                let mut back = [0xEE; PAGE_SIZE];
                let decoded = Builtin::decompress(CodecId::Wks, &chunk, scratch, &mut back);
                let path = scratch.path;
                assert_eq!(decoded, Ok(()), "{name}: {path:?}, stride {stride}");
                assert!(back == *page, "{name}: {path:?}, stride {stride}");
            }
        }
    }
}

#[test]
fn all_paths_write_and_read_the_same() {
    let mut scratches = scratches();
    for (name, page) in made_pages().iter().chain(&real_pages()) {
        check_paths(name, page, &mut scratches);
        check_narrow(name, page);
    }
}

#[test]
fn all_paths_refuse_the_same_damage() {
    let mut scratch = Builtin::scratch().unwrap();
    for (name, page) in made_pages() {
        if ![
            "records, seed 2",
            "pointers, seed 1",
            "small numbers, seed 3",
        ]
        .contains(&&*name)
        {
            continue;
        }
        let Some(mut chunk) = chunk_of(CodecSpec::WKS_BALANCED, &page, &mut scratch) else {
            continue;
        };
        for bit in (0..chunk.len() * 8).step_by(17) {
            chunk[bit / 8] ^= 1 << (bit % 8);
            page_of(&chunk);
            chunk[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn every_page_comes_back() {
    for level in LEVELS {
        check_round_trips(level);
    }
}

#[test]
fn damage_is_survived() {
    for level in LEVELS {
        check_damage(level);
    }
}

/// A chunk whose first blocks have these planes and thirds, and all others words of class D.
fn chunk(stride: u8, blocks: &[[u16; 3]], streams: &[&[u8]]) -> Vec<u8> {
    let mut planes = [[0; BLOCKS * 2]; 2];
    let mut with_third = 0_u64;
    let mut thirds = Vec::new();
    for (block, [p0, p1, p2]) in blocks.iter().enumerate() {
        planes[0][2 * block..][..2].copy_from_slice(&p0.to_le_bytes());
        planes[1][2 * block..][..2].copy_from_slice(&p1.to_le_bytes());
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
    chunk.extend(planes.as_flattened());
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
        let mut scratch = Builtin::scratch().unwrap();
        for level in LEVELS {
            if let Some(chunk) = chunk_of(level, &page, &mut scratch) {
                prop_assert!(page_of(&chunk) == Some(*page));
            }
        }
        check_paths("any page", &page, &mut scratches());
        check_narrow("any page", &page);
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
