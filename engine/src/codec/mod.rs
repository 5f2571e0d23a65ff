//! Codecs: each turns one page into a chunk and back, one file a codec.
//!
//! All of them stand behind [`Codec`]; [`CodecId`] is what a slot records, so that a chunk
//! stays readable after the device has changed its codec. Decoders are bounds-checked: a
//! truncated or corrupted chunk gives [`Corrupt`], never a panic and never a read or write
//! out of bounds.

pub mod lz4;
mod lz77;
pub mod lzo;
pub mod wkdm;
pub mod wks;
#[cfg(feature = "zstd")]
pub mod zstd;

mod spec;
#[cfg(test)]
mod testing;

pub use spec::{CodecSpec, UnknownCodec};

use alloc::boxed::Box;

use crate::page::Page;

/// Identifies a codec in a slot. The values are part of the slot's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CodecId {
    /// The page as it is: 4096 bytes.
    Raw = 0,
    /// One 64-bit word that the page repeats, too wide to live in the slot: 8 bytes.
    Fill = 1,
    /// LZO1X-1.
    Lzo = 2,
    /// WKdm (Wilson, Kaplan and Smaragdakis, USENIX 1999).
    Wkdm = 3,
    /// The LZ4 block format.
    Lz4 = 4,
    /// Zstandard, magicless frames without checksum.
    Zstd = 5,
    /// Words and strides, or LZ4: see [`wks`].
    Wks = 6,
}

impl CodecId {
    /// Every codec, in the order of their numbers.
    pub const ALL: [CodecId; 7] = [
        CodecId::Raw,
        CodecId::Fill,
        CodecId::Lzo,
        CodecId::Wkdm,
        CodecId::Lz4,
        CodecId::Zstd,
        CodecId::Wks,
    ];

    /// The codec of a number as found in a slot; `None` for a number that no codec has.
    #[must_use]
    pub const fn from_number(n: u8) -> Option<CodecId> {
        if (n as usize) < Self::ALL.len() {
            Some(Self::ALL[n as usize])
        } else {
            None
        }
    }

    /// The name a user gives and statistics show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            CodecId::Raw => "raw",
            CodecId::Fill => "fill",
            CodecId::Lzo => "lzo",
            CodecId::Wkdm => "wkdm",
            CodecId::Lz4 => "lz4",
            CodecId::Zstd => "zstd",
            CodecId::Wks => "wks",
        }
    }
}

/// A chunk that its codec can't have written: truncated, bit-flipped, or of another codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("corrupt {} chunk: the page cannot be restored from it", .codec.name())]
pub struct Corrupt {
    /// The codec that refused the chunk.
    pub codec: CodecId,
}

/// Compresses one page to a chunk and back.
///
/// Neither method allocates: all working memory lives in [`Scratch`], one for each worker.
pub trait Codec: Sync {
    /// The number under which a slot records this codec.
    fn id(&self) -> CodecId;

    /// Compresses `page` into `out` and returns the length of the chunk, or `None` where it
    /// does not fit into `out`. Bytes of `out` past the chunk are left undefined.
    ///
    /// `level` is meaningful to codecs that have levels (see [`CodecSpec`]); others ignore it.
    fn compress(
        &self,
        page: &Page,
        level: i8,
        scratch: &mut Scratch,
        out: &mut [u8],
    ) -> Option<usize>;

    /// Restores the page of a chunk.
    ///
    /// # Errors
    /// [`Corrupt`] where the chunk is not one that decodes to exactly 4096 bytes. The page's
    /// contents are then undefined.
    fn decompress(
        &self,
        chunk: &[u8],
        scratch: &mut Scratch,
        page: &mut Page,
    ) -> Result<(), Corrupt>;
}

/// The working memory of all codecs, one for each worker thread, made before it serves.
#[derive(Debug, Default)]
pub struct Scratch {
    /// LZ4's hash table.
    pub lz4: lz4::State,
    /// LZO's hash table.
    pub lzo: lzo::State,
    /// WKdm's dictionary and queues.
    pub wkdm: wkdm::State,
    /// Wks's streams and table.
    pub wks: wks::State,
    /// Zstandard's contexts.
    #[cfg(feature = "zstd")]
    pub zstd: zstd::State,
}

impl Scratch {
    /// Working memory that every codec has used once, both ways, so that it is resident: the
    /// first page that comes does not wait for memory.
    ///
    /// `chunk` is a buffer to compress into, and `page` one to restore into; both are left
    /// undefined.
    #[must_use]
    pub fn warmed(page: &mut Page, chunk: &mut [u8]) -> Box<Self> {
        let mut scratch = Box::<Scratch>::default();
        for codec in selectable().filter_map(by_id) {
            // Literals, repeats and counters: something of all that a codec looks for.
            for (i, byte) in (0..).zip(page.iter_mut()) {
                *byte = if i < 256 {
                    (i * 37 % 251) as u8
                } else {
                    (i / 16 % 7) as u8
                };
            }
            if let Some(length) = codec.compress(page, 1, &mut scratch, chunk) {
                // A chunk of our own decodes; what counts here is that memory was used.
                let _ = codec.decompress(&chunk[..length], &mut scratch, page);
            }
        }
        scratch
    }
}

/// The codec of a number, or `None` where this build has none for it ([`CodecId::Zstd`]
/// without the feature; [`CodecId::Raw`] and [`CodecId::Fill`], which the store itself reads).
#[must_use]
pub fn by_id(id: CodecId) -> Option<&'static dyn Codec> {
    match id {
        CodecId::Lzo => Some(&lzo::Lzo),
        CodecId::Wkdm => Some(&wkdm::Wkdm),
        CodecId::Lz4 => Some(&lz4::Lz4),
        CodecId::Wks => Some(&wks::Wks),
        #[cfg(feature = "zstd")]
        CodecId::Zstd => Some(&zstd::Zstd),
        _ => None,
    }
}

/// The codecs that a user can choose in this build, in the order that help texts list them.
pub fn selectable() -> impl Iterator<Item = CodecId> {
    CodecId::ALL.into_iter().filter(|id| by_id(*id).is_some())
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::page::PAGE_SIZE;

    #[test]
    fn warming_uses_every_codec_both_ways() {
        let (mut page, mut chunk) = ([0; PAGE_SIZE], [0; PAGE_SIZE]);
        let _ = Scratch::warmed(&mut page, &mut chunk);
        // What the last codec restored is the page that it was given.
        assert_eq!((page[1], page[255], page[256], page[4095]), (37, 148, 2, 3));
        assert_ne!(chunk, [0; PAGE_SIZE]);
    }
}
