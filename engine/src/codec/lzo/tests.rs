//! The LZO codec: it reads what another implementation writes and the other way round, and refuses what is no stream.

use alloc::boxed::Box;
use alloc::vec::Vec;

use proptest::prelude::*;

use crate::codec::lz77::testing::{all_pages, any_lz_page, check_exact, chunk, lz_pages, page_of};
use crate::codec::testing::check_damage;
use crate::codec::{Builtin, CodecSpec, Codecs};
use crate::page::{PAGE_SIZE, Page};

fn oracle(chunk: &[u8]) -> Option<Box<Page>> {
    let mut page = Box::new([0; PAGE_SIZE]);
    let length = lzokay::decompress::decompress(chunk, &mut page[..]).ok()?;
    (length == PAGE_SIZE).then_some(page)
}

#[test]
fn pages_round_trip() {
    for (name, page) in all_pages() {
        check_exact(CodecSpec::LZO, &name, &page);
    }
}

#[test]
fn damage_is_survived() {
    check_damage(CodecSpec::LZO);
}

#[test]
fn another_decoder_reads_our_streams() {
    let mut scratch = Builtin::scratch().unwrap();
    for (name, page) in all_pages() {
        let ours = chunk(CodecSpec::LZO, &mut scratch, &page);
        assert!(*oracle(&ours).unwrap() == *page, "{name}");
    }
}

#[test]
fn our_decoder_reads_another_encoders_streams() {
    // Its encoder uses every instruction of the format that a page can have.
    for (name, page) in all_pages() {
        let theirs = lzokay::compress::compress(&page[..]).unwrap();
        assert!(
            *page_of(CodecSpec::LZO, &theirs).unwrap() == *page,
            "{name}"
        );
    }
}

/// A stream of a first run of literals (0, 1, 2, …), `middle`, a run of literals to the end.
fn stream(first: usize, middle: &[u8], restored: usize) -> Vec<u8> {
    let mut chunk = alloc::vec![17 + first as u8];
    chunk.extend((0..first).map(|i| i as u8));
    chunk.extend(middle);
    let rest = PAGE_SIZE - first - restored;
    // 3 + 15 + 255 for each zero + the last byte.
    let zeros = (rest - 18 - 1) / 255;
    chunk.push(0);
    chunk.extend(core::iter::repeat_n(0, zeros));
    chunk.push((rest - 18 - zeros * 255) as u8);
    chunk.extend(core::iter::repeat_n(0xee, rest));
    chunk.extend(super::END);
    chunk
}

#[test]
fn each_instruction_is_read() {
    let cases: [(&str, usize, &[u8], &[u8]); 5] = [
        (
            "M1 of two bytes",
            8,
            &[0x40 | 2, 0, 5, 6, 2 << 2, 0],
            &[7, 7, 7, 5, 6, 7, 5],
        ),
        ("M2 of three bytes", 8, &[0x40 | 4 << 2, 0], &[3, 4, 5]),
        (
            "M2 of eight bytes and three literals",
            8,
            &[0xe0 | 7 << 2 | 3, 0, 9, 9, 9, 0x40, 0],
            &[0, 1, 2, 3, 4, 5, 6, 7, 9, 9, 9, 9, 9, 9],
        ),
        (
            "M3 of five bytes",
            8,
            &[0x20 | 3, 1 << 2, 0],
            &[6, 7, 6, 7, 6],
        ),
        (
            "M3 of 34 bytes",
            8,
            &[0x20, 1, 7 << 2, 0],
            &[
                0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3,
                4, 5, 6, 7, 0, 1,
            ],
        ),
    ];
    for (what, first, middle, restored) in cases {
        let chunk = stream(first, middle, restored.len());
        let page = page_of(CodecSpec::LZO, &chunk).unwrap_or_else(|| panic!("{what}"));
        assert_eq!(page[first..first + restored.len()], *restored, "{what}");
        assert!(*oracle(&chunk).unwrap() == *page, "{what}");
    }
}

#[test]
fn what_no_page_can_be_is_refused() {
    let good = chunk(
        CodecSpec::LZO,
        &mut Builtin::scratch().unwrap(),
        &lz_pages()[40].1,
    );
    let mut version_1 = alloc::vec![17, 1];
    version_1.extend(&good);
    let mut far = alloc::vec![18, 1, 0x18, 0, 0];
    far.extend(super::END);
    let cases: [(&str, Vec<u8>); 7] = [
        ("nothing", Vec::new()),
        ("an empty stream", super::END.to_vec()),
        ("a stream of the kernel's version 1", version_1),
        ("an M4 match", far),
        ("a match first", alloc::vec![0x40, 0, 0x11, 0, 0]),
        ("a length without end", alloc::vec![0; 5000]),
        ("literals past the chunk", alloc::vec![255, 1, 2, 3]),
    ];
    for (what, chunk) in cases {
        assert!(page_of(CodecSpec::LZO, &chunk).is_none(), "{what}");
    }
}

proptest! {
    #[test]
    fn any_page_round_trips(page in any_lz_page()) {
        check_exact(CodecSpec::LZO, "any page", &page);
    }

    #[test]
    fn any_page_of_another_encoder_is_read(page in any_lz_page()) {
        let theirs = lzokay::compress::compress(&page[..]).unwrap();
        prop_assert!(*page_of(CodecSpec::LZO, &theirs).unwrap() == *page);
    }

    #[test]
    fn any_bytes_are_survived(chunk in proptest::collection::vec(any::<u8>(), 0..600)) {
        page_of(CodecSpec::LZO, &chunk);
    }

    #[test]
    fn any_damage_is_survived(
        page in any_lz_page(),
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..9),
    ) {
        let mut chunk = chunk(CodecSpec::LZO, &mut Builtin::scratch().unwrap(), &page);
        for (at, byte) in hits {
            let at = at.index(chunk.len());
            chunk[at] = byte;
        }
        // If both decoders read it, they read the same.
        if let (Some(ours), Some(theirs)) = (page_of(CodecSpec::LZO, &chunk), oracle(&chunk)) {
            prop_assert!(ours == theirs);
        }
    }
}
