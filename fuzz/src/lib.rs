//! What the fuzz targets do with their input, and tests that do it with a fixed one.
//!
//! Each function here is one target: it takes any bytes and panics only if compcache is
//! wrong. The programs in `fuzz_targets/` hand them the inputs of libFuzzer; the tests of this
//! crate, which need neither a nightly compiler nor cargo-fuzz, those of a fixed random
//! generator.

use std::cell::RefCell;

use compcache_device::freed::btf::Btf;
use compcache_engine::swap_header::SwapHeader;
use compcache_engine::codec::{Builtin, CodecId, Codecs, Scratch};
use compcache_engine::{CodecSpec, PAGE_SIZE, Page};
use compcached::protocol::{self, Message, Request, Response};

mod fuse;
#[cfg(test)]
mod tests;
mod texts;

pub use fuse::fuse_requests;
pub use texts::{kernel_tables, settings};

thread_local! {
    /// One worker's memory, kept from input to input as a daemon does.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Builtin::scratch().unwrap());
}

/// Any description of a kernel's types.
pub fn btf(data: &[u8]) {
    let Ok(btf) = Btf::parse(data) else { return };
    for name in ["", "f", "swap_entries_free"] {
        let Some(function) = btf.function(name) else {
            continue;
        };
        for parameter in function.parameters {
            let _ = btf.kind(parameter.number);
            let _ = btf.member(parameter.number, parameter.name);
        }
    }
}

/// Any chunk for the lz4 decoder. See [`decode`] for what must hold.
pub fn decode_lz4(data: &[u8]) {
    decode(CodecId::Lz4, data);
}

/// Any chunk for the lzo decoder. See [`decode`] for what must hold.
pub fn decode_lzo(data: &[u8]) {
    decode(CodecId::Lzo, data);
}

/// Any chunk for the wkdm decoder. See [`decode`] for what must hold.
pub fn decode_wkdm(data: &[u8]) {
    decode(CodecId::Wkdm, data);
}

/// Any chunk for the wks decoder. See [`decode`] for what must hold.
pub fn decode_wks(data: &[u8]) {
    decode(CodecId::Wks, data);
}

/// Any chunk for the zstd decoder. See [`decode`] for what must hold.
pub fn decode_zstd(data: &[u8]) {
    decode(CodecId::Zstd, data);
}

/// A decoder refuses a chunk or decodes it, and does the same with it the next time, whatever
/// it has decoded in between and whatever was in the page before: nothing of another page can
/// show through a damaged chunk.
pub fn decode(id: CodecId, chunk: &[u8]) {
    let Ok(spec) = CodecSpec::new(id) else {
        return;
    };
    SCRATCH.with_borrow_mut(|scratch| {
        let mut first = [0x00; PAGE_SIZE];
        let mut second = [0xFF; PAGE_SIZE];
        let decoded = Builtin::decompress(id, chunk, scratch, &mut first);
        let mut other = [0; PAGE_SIZE];
        if let Some(len) = Builtin::compress(spec, &OTHER_PAGE, scratch, &mut other) {
            let restored = Builtin::decompress(id, &other[..len].to_vec(), scratch, &mut other);
            assert!(
                restored.is_ok() && other == OTHER_PAGE,
                "{id:?} after {decoded:?}"
            );
        }
        let again = Builtin::decompress(id, chunk, scratch, &mut second);
        assert_eq!(decoded, again, "{id:?} changed its mind");
        assert!(
            decoded.is_err() || first == second,
            "{id:?} showed what was there before"
        );
    });
}

/// A page that leaves something in every corner of a decoder's memory.
const OTHER_PAGE: Page = {
    let mut page = [0; PAGE_SIZE];
    let mut i = 0;
    while i < PAGE_SIZE {
        page[i] = if i % 16 < 9 {
            (i * i / 7 % 251) as u8
        } else {
            (i / 64) as u8
        };
        i += 1;
    }
    page
};

/// Every codec gives back any page, from a chunk of the length that it returned, if it fits.
///
/// The first byte of `data` chooses the level and whether the rest is repeated or followed by
/// zeros until it fills the page.
pub fn roundtrip(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    let mut page = [0; PAGE_SIZE];
    if choice & 1 == 0 {
        for (to, from) in page.iter_mut().zip(data) {
            *to = *from;
        }
    } else {
        for (to, from) in page.iter_mut().zip(data.iter().cycle()) {
            *to = *from;
        }
    }
    let levels = CodecSpec::ZSTD_LEVELS;
    let level = levels.start() + (choice >> 1) as i8 % (levels.end() - levels.start() + 1);
    for id in Builtin::selectable() {
        let spec = CodecSpec::new(id).unwrap();
        // Codecs that do not have the level: any that they have.
        let lower = level.rem_euclid(2);
        let specs = [level, lower, 0].map(|level| spec.with_level(level));
        round_trip(specs.into_iter().flatten().next().unwrap(), &page);
    }
}

fn round_trip(spec: CodecSpec, page: &Page) {
    const GUARD: u8 = 0xA5;
    let id = spec.id();
    SCRATCH.with_borrow_mut(|scratch| {
        // Buffers as the store has them: a whole page, and the limit for incompressible ones.
        for room in [PAGE_SIZE, PAGE_SIZE * 3 / 4, 100] {
            let mut out = [GUARD; PAGE_SIZE + 64];
            let len = Builtin::compress(spec, page, scratch, &mut out[..room]);
            assert!(
                out[room..].iter().all(|b| *b == GUARD),
                "{id:?} wrote past its buffer"
            );
            let Some(len) = len else { continue };
            assert!(len <= room, "{id:?}: {len} bytes in {room}");
            let mut back = [0xDD; PAGE_SIZE];
            assert_eq!(
                Builtin::decompress(id, &out[..len], scratch, &mut back),
                Ok(())
            );
            assert!(back == *page, "{spec}: another page came back");
        }
    });
}

/// A swap header is refused or understood; what is understood lies within the area and can be
/// written again. The first two bytes of `data` are the number of pages of the area.
pub fn swap_header(data: &[u8]) {
    let Some((pages, data)) = data.split_first_chunk() else {
        return;
    };
    let pages = u64::from(u16::from_le_bytes(*pages));
    let mut page = [0; PAGE_SIZE];
    for (to, from) in page.iter_mut().zip(data) {
        *to = *from;
    }
    let _ = SwapHeader::foreign_page_size(data);
    if let Ok(header) = SwapHeader::check(&page, pages) {
        assert!(header.last_page > 0 && u64::from(header.last_page) < pages);
        assert_eq!(SwapHeader::check(&header.to_page(), pages), Ok(header));
    }
}

/// Bytes on the control socket are refused, wait for more, or are a message, which then reads
/// back from its own frame. A frame's beginning is never refused if the frame is not.
pub fn control_protocol(data: &[u8]) {
    message::<Request>(data);
    message::<Response>(data);
}

fn message<M: Message + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let Ok(Some((message, used))) = protocol::decode::<M>(data) else {
        return;
    };
    assert!(used <= data.len());
    assert!(matches!(protocol::decode::<M>(&data[..used - 1]), Ok(None)));
    let frame = protocol::encode(&message).expect("a decoded message has a frame");
    let (again, len) = protocol::decode::<M>(&frame)
        .expect("a frame decodes")
        .expect("whole");
    assert_eq!((again, len), (message, frame.len()));
}
