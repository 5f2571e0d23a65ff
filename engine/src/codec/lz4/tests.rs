//! The LZ4 codec: it reads what the C library writes and the other way round, and refuses what is no block.

use alloc::vec::Vec;

use proptest::prelude::*;

use crate::codec::lz77::testing::{all_pages, any_lz_page, check_exact, chunk, page_of};
use crate::codec::testing::{check_damage, real_pages};
use crate::codec::{Builtin, CodecSpec, Codecs};
use crate::page::PAGE_SIZE;

#[test]
fn pages_round_trip() {
    for (name, page) in all_pages() {
        check_exact(CodecSpec::LZ4, &name, &page);
    }
}

#[test]
fn damage_is_survived() {
    check_damage(CodecSpec::LZ4);
}

#[test]
fn another_decoder_reads_our_blocks_and_ours_reads_another_encoders() {
    let mut scratch = Builtin::scratch().unwrap();
    for (name, page) in all_pages() {
        let ours = chunk(CodecSpec::LZ4, &mut scratch, &page);
        assert!(
            lz4_flex::block::decompress(&ours, PAGE_SIZE).unwrap() == *page,
            "{name}"
        );
        let theirs = lz4_flex::block::compress(&page[..]);
        assert!(
            *page_of(CodecSpec::LZ4, &theirs).unwrap() == *page,
            "{name}"
        );
    }
}

#[test]
fn our_blocks_are_as_small_as_another_encoders() {
    let mut scratch = Builtin::scratch().unwrap();
    let (mut ours, mut theirs) = (0, 0);
    for (_, page) in real_pages() {
        ours += chunk(CodecSpec::LZ4, &mut scratch, &page).len();
        theirs += lz4_flex::block::compress(&page[..]).len();
    }
    assert!(ours * 100 <= theirs * 101, "{ours} bytes against {theirs}");
}

/// A block of hand-written sequences: token, then whatever follows.
fn block(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn a_hand_written_block_is_read() {
    // One literal, repeated 4090 times (4 + 15 + 15 * 255 + 246), then five literals.
    let mut run = alloc::vec![255; 15];
    run.push(246);
    let chunk = block(&[&[0x1f, 7, 1, 0], &run, &[0x50, 1, 2, 3, 4, 5]]);
    let page = page_of(CodecSpec::LZ4, &chunk).unwrap();
    assert!(page[..4091].iter().all(|&b| b == 7));
    assert_eq!(page[4091..], [1, 2, 3, 4, 5]);
}

#[test]
fn what_no_page_can_be_is_refused() {
    let all_255 = alloc::vec![255; 5000];
    let mut literals = alloc::vec![0xf0];
    literals.extend([255; 16]);
    literals.push(0);
    literals.extend([3; 4095]);
    let cases: [(&str, Vec<u8>); 8] = [
        ("nothing", Vec::new()),
        ("a lone token", alloc::vec![0]),
        (
            "a distance of zero",
            block(&[&[0x10, 7, 0, 0], &[0x50, 1, 2, 3, 4, 5]]),
        ),
        (
            "a distance before the page",
            block(&[&[0x10, 7, 2, 0], &[0x50, 1, 2, 3, 4, 5]]),
        ),
        ("lengths without end", all_255),
        (
            "a match past the page",
            block(&[&[0x1f, 7, 1, 0], &[255; 16], &[9], &[0x10, 1]]),
        ),
        ("literals past the chunk", alloc::vec![0xf0, 200, 1, 2, 3]),
        ("a page less one byte", literals),
    ];
    for (what, chunk) in cases {
        assert!(page_of(CodecSpec::LZ4, &chunk).is_none(), "{what}");
    }
}

proptest! {
    #[test]
    fn any_page_round_trips(page in any_lz_page()) {
        check_exact(CodecSpec::LZ4, "any page", &page);
    }

    #[test]
    fn any_bytes_are_survived(chunk in proptest::collection::vec(any::<u8>(), 0..600)) {
        page_of(CodecSpec::LZ4, &chunk);
    }

    #[test]
    fn any_damage_is_survived(
        page in any_lz_page(),
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..9),
    ) {
        let mut chunk = chunk(CodecSpec::LZ4, &mut Builtin::scratch().unwrap(), &page);
        for (at, byte) in hits {
            let at = at.index(chunk.len());
            chunk[at] = byte;
        }
        // If both decoders read it, they read the same.
        if let Some(ours) = page_of(CodecSpec::LZ4, &chunk) {
            let theirs = lz4_flex::block::decompress(&chunk, PAGE_SIZE);
            prop_assert!(theirs.is_ok_and(|theirs| theirs == *ours));
        }
    }
}
