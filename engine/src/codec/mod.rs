//! Codecs: each turns one page into a chunk and back, one file a codec.
//!
//! [`Codecs`] is a set of them, of which a store is made; [`Builtin`] is the set that this crate
//! has. [`CodecId`] is what a slot records, so that a chunk stays readable after the device has
//! changed its codec. Decoders are bounds-checked: a truncated or corrupted chunk gives
//! [`Corrupt`], never a panic and never a read or write out of bounds.

mod blocks;
mod builtin;
mod lz4;
mod lz77;
mod lzo;
mod spec;
#[cfg(test)]
mod testing;
#[cfg(feature = "wkdm")]
mod wkdm;
mod wks;
#[cfg(feature = "zstd")]
mod zstd;

pub use builtin::{Builtin, Scratch};
pub use spec::{CodecSpec, UnknownCodec};

use crate::fallible::NoMemory;
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
    /// Words and strides, or LZ4: see `docs/wks.md`.
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

    /// The codec of a name; `None` for a name that no codec has.
    #[must_use]
    pub fn from_name(name: &str) -> Option<CodecId> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
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

/// A set of codecs. What it is called for is known when the engine is compiled: no pointer is
/// followed to a codec.
///
/// Neither [`compress`](Self::compress) nor [`decompress`](Self::decompress) allocates: all
/// working memory is in [`Scratch`](Self::Scratch), one for each worker.
pub trait Codecs: Send + Sync + 'static {
    /// The working memory of all codecs of the set.
    type Scratch: Send;

    /// Working memory for one worker, all of it resident: the first page that comes does not wait
    /// for memory.
    ///
    /// # Errors
    /// [`NoMemory`] if there is none.
    fn scratch() -> Result<Self::Scratch, NoMemory>;

    /// Whether the set has a codec: never [`CodecId::Raw`] and [`CodecId::Fill`], which the store
    /// itself reads.
    fn has(id: CodecId) -> bool;

    /// Compresses `page` into `out` and returns the length of the chunk, or `None` if it
    /// does not fit into `out`, or the set does not have the codec. Bytes of `out` past the chunk
    /// are left undefined.
    fn compress(
        spec: CodecSpec,
        page: &Page,
        scratch: &mut Self::Scratch,
        out: &mut [u8],
    ) -> Option<usize>;

    /// Restores the page of a chunk.
    ///
    /// # Errors
    /// [`Corrupt`] if the chunk is not one that decodes to exactly 4096 bytes, or the set does
    /// not have the codec. The page's contents are then undefined.
    fn decompress(
        id: CodecId,
        chunk: &[u8],
        scratch: &mut Self::Scratch,
        page: &mut Page,
    ) -> Result<(), Corrupt>;

    /// The codecs that a user can choose, in the order that help texts list them.
    fn selectable() -> impl Iterator<Item = CodecId> {
        CodecId::ALL.into_iter().filter(|id| Self::has(*id))
    }
}
