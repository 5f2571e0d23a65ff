//! Pages on which LZ77 codecs may stumble, beside those that every codec is tried on.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use proptest::prelude::*;

use compcache_random::Random;

use crate::codec::testing::{NamedPage, any_page, made_pages, real_pages};
use crate::codec::{Builtin, CodecSpec, Codecs, Scratch};
use crate::page::{PAGE_SIZE, Page};

/// All pages: made for every codec, made for these, and real.
pub(in crate::codec) fn all_pages() -> Vec<NamedPage> {
    let mut pages = lz_pages();
    pages.extend(made_pages());
    pages.extend(real_pages());
    pages
}

/// Pages at the edges of the formats: every class of length, distance and place.
pub(in crate::codec) fn lz_pages() -> Vec<NamedPage> {
    let mut pages = Vec::new();
    let mut noise = [0; PAGE_SIZE];
    Random::new(0x5eed).fill(&mut noise);
    let mut add = |name, byte: &dyn Fn(usize) -> u8| {
        pages.push((name, Box::new(core::array::from_fn(byte))));
    };
    // Where the search, the wild copies and the last literals begin and end.
    for at in [
        1, 7, 8, 2047, 2048, 4064, 4079, 4080, 4083, 4084, 4085, 4090, 4091, 4092, 4094,
    ] {
        add(format!("byte {at} differs"), &|i| u8::from(i == at));
    }
    for period in 1..70 {
        add(format!("period {period}"), &|i| (i % period * 37) as u8);
    }
    for n in [
        1, 3, 4, 5, 14, 15, 16, 17, 18, 19, 31, 32, 33, 238, 239, 269, 270, 273, 274, 3000,
    ] {
        add(format!("{n} literals, then a run"), &|i| {
            if i < n { noise[i] } else { 9 }
        });
        add(format!("{n} literals after a run"), &|i| {
            if i < PAGE_SIZE - n { 9 } else { noise[i] }
        });
        add(format!("{n} literals between runs"), &|i| {
            if i % 600 < n {
                noise[i]
            } else {
                (i % 600 / 290) as u8
            }
        });
    }
    for seed in 0..200 {
        pages.push((format!("copies, seed {seed}"), copies(seed)));
    }
    pages
}

/// A page of random bytes and of copies, of random length from random places before.
fn copies(seed: u64) -> Box<Page> {
    let mut rng = Random::new(seed);
    let mut page = Box::new([0; PAGE_SIZE]);
    let (longest, furthest) = (2 + rng.index(300), 1 + rng.index(PAGE_SIZE));
    let mut at = 0;
    while at < PAGE_SIZE {
        let length = (1 + rng.index(longest)).min(PAGE_SIZE - at);
        if at > 0 && rng.index(3) > 0 {
            let distance = 1 + rng.index(furthest.min(at));
            for i in at..at + length {
                page[i] = page[i - distance];
            }
            at += length;
        } else {
            let length = length.min(1 + rng.index(40));
            page[at..at + length].fill_with(|| rng.next_u64() as u8);
            at += length;
        }
    }
    page
}

/// Any page, half of them made of copies.
pub(in crate::codec) fn any_lz_page() -> impl Strategy<Value = Box<Page>> {
    prop_oneof![any_page(), any::<u64>().prop_map(copies)]
}

/// Compresses a page without a limit that any page would meet.
pub(in crate::codec) fn chunk(spec: CodecSpec, scratch: &mut Scratch, page: &Page) -> Vec<u8> {
    let mut out = alloc::vec![0xa5; 2 * PAGE_SIZE];
    let length =
        Builtin::compress(spec, page, scratch, &mut out).expect("two pages hold any chunk");
    out.truncate(length);
    out
}

/// The page of a chunk.
pub(in crate::codec) fn page_of(spec: CodecSpec, chunk: &[u8]) -> Option<Box<Page>> {
    let mut page = Box::new([0x5a; PAGE_SIZE]);
    let mut scratch = Builtin::scratch().unwrap();
    Builtin::decompress(spec.id(), chunk, &mut scratch, &mut page)
        .ok()
        .map(|()| page)
}

/// A page comes back; its chunk is the same each time, is written into a buffer of just its
/// length, and refused by any shorter one.
pub(in crate::codec) fn check_exact(spec: CodecSpec, name: &str, page: &Page) {
    let mut scratch = Builtin::scratch().unwrap();
    let first = chunk(spec, &mut scratch, page);
    assert!(
        *page_of(spec, &first).expect(name) == *page,
        "{name}: came back different"
    );
    let mut out = alloc::vec![0xa5; first.len()];
    for _ in 0..2 {
        out.fill(0);
        assert_eq!(
            Builtin::compress(spec, page, &mut scratch, &mut out),
            Some(first.len()),
            "{name}"
        );
        assert!(out == first, "{name}: has two chunks");
    }
    for less in 1..=first.len().min(40) {
        let shorter = first.len() - less;
        let fit = Builtin::compress(spec, page, &mut scratch, &mut out[..shorter]);
        assert_eq!(fit, None, "{name}: {} bytes in {shorter}", first.len());
    }
}
