//! The codecs of this crate as one set, and their working memory.

use alloc::alloc::{Layout, alloc_zeroed};
use alloc::boxed::Box;
use core::fmt;

#[cfg(feature = "wkdm")]
use super::wkdm;
#[cfg(feature = "zstd")]
use super::zstd;
use super::{CodecId, CodecSpec, Codecs, Corrupt, lz4, lz77, lzo, wks};
use crate::cpu::Cpu;
use crate::fallible::NoMemory;
use crate::page::{PAGE_SIZE, Page};

/// The codecs that this build of the crate has: `zstd` and `wkdm` with the features of these
/// names, all others always.
#[derive(Clone, Copy, Debug)]
pub struct Builtin;

/// The working memory of [`Builtin`]'s codecs.
pub struct Scratch {
    memory: Box<Memory>,
    pub(super) path: wks::Path,
    #[cfg(feature = "zstd")]
    pub(super) zstd: zstd::State,
}

/// What is plain memory: numbers and arrays of numbers, all zero at first.
pub(super) struct Memory {
    /// The hash table of lz4 and lzo.
    pub(super) table: lz77::Table,
    #[cfg(feature = "wkdm")]
    pub(super) wkdm: wkdm::State,
    pub(super) wks: wks::State,
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Memory for a `T`, all of its bytes zero.
///
/// # Safety
/// Bytes of zero must be a `T`.
unsafe fn zeroed<T>() -> Result<Box<T>, NoMemory> {
    const { assert!(size_of::<T>() != 0) };
    // SAFETY: `T` has a size.
    let memory = unsafe { alloc_zeroed(Layout::new::<T>()) }.cast::<T>();
    if memory.is_null() {
        return Err(NoMemory);
    }
    // SAFETY: the memory is new, from the allocator that boxes are freed to, and of the layout of
    // a `T`, which its zeros are.
    Ok(unsafe { Box::from_raw(memory) })
}

impl Scratch {
    /// Working memory for a processor, not yet touched by any codec.
    pub(super) fn new(path: wks::Path) -> Result<Self, NoMemory> {
        Ok(Scratch {
            // SAFETY: `Memory` is made of numbers.
            memory: unsafe { zeroed()? },
            path,
            #[cfg(feature = "zstd")]
            zstd: zstd::State::new()?,
        })
    }

    /// Working memory for a processor that has `cpu`, not yet touched by any codec: for an embedder
    /// whose memory is always resident, and who may use vector registers only while it serves.
    ///
    /// # Errors
    /// [`NoMemory`] if there is none.
    pub fn for_cpu(cpu: Cpu) -> Result<Self, NoMemory> {
        Scratch::new(wks::Path::best(cpu))
    }

    /// Has every codec use the memory once, both ways.
    fn warm_up(&mut self) -> Result<(), NoMemory> {
        // SAFETY: two pages are made of numbers.
        let mut pages = unsafe { zeroed::<[Page; 2]>()? };
        let [page, chunk] = &mut *pages;
        for id in Builtin::selectable() {
            // Literals, repeats and counters: something of all that a codec looks for.
            for (i, byte) in (0..).zip(page.iter_mut()) {
                *byte = if i < 256 {
                    (i * 37 % 251) as u8
                } else {
                    (i / 16 % 7) as u8
                };
            }
            let spec = CodecSpec::of(id);
            if let Some(length) = Builtin::compress(spec, page, self, chunk) {
                // A chunk of our own decodes; what counts here is that memory was used.
                let _ = Builtin::decompress(id, &chunk[..length.min(PAGE_SIZE)], self, page);
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }
}

impl Codecs for Builtin {
    type Scratch = Scratch;

    fn scratch() -> Result<Scratch, NoMemory> {
        let mut scratch = Scratch::new(wks::Path::best(Cpu::current()))?;
        scratch.warm_up()?;
        Ok(scratch)
    }

    fn has(id: CodecId) -> bool {
        match id {
            CodecId::Raw | CodecId::Fill => false,
            CodecId::Lzo | CodecId::Lz4 | CodecId::Wks => true,
            CodecId::Wkdm => cfg!(feature = "wkdm"),
            CodecId::Zstd => cfg!(feature = "zstd"),
        }
    }

    #[inline]
    fn compress(
        spec: CodecSpec,
        page: &Page,
        scratch: &mut Scratch,
        out: &mut [u8],
    ) -> Option<usize> {
        let Memory { table, wks, .. } = &mut *scratch.memory;
        match spec.id() {
            CodecId::Lzo => lzo::compress(page, table, out),
            CodecId::Lz4 => lz4::compress(page, table, out),
            CodecId::Wks => wks::compress(page, spec.level(), scratch.path, wks, table, out),
            #[cfg(feature = "wkdm")]
            CodecId::Wkdm => wkdm::compress(page, &mut scratch.memory.wkdm, out),
            #[cfg(feature = "zstd")]
            CodecId::Zstd => scratch.zstd.compress(page, spec.level(), out),
            _ => None,
        }
    }

    #[inline]
    fn decompress(
        id: CodecId,
        chunk: &[u8],
        scratch: &mut Scratch,
        page: &mut Page,
    ) -> Result<(), Corrupt> {
        let restored = match id {
            CodecId::Lzo => lzo::decompress(chunk, page),
            CodecId::Lz4 => lz4::decompress(chunk, page),
            CodecId::Wks => wks::decompress(chunk, scratch.path, &mut scratch.memory.wks, page),
            #[cfg(feature = "wkdm")]
            CodecId::Wkdm => wkdm::decompress(chunk, &mut scratch.memory.wkdm, page),
            #[cfg(feature = "zstd")]
            CodecId::Zstd => scratch.zstd.decompress(chunk, page),
            _ => None,
        };
        restored.ok_or(Corrupt { codec: id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_memory_has_served_every_codec() {
        let mut scratch = Builtin::scratch().unwrap();
        let Memory { table, wks, .. } = scratch.memory();
        assert!(table.is_touched());
        assert!(wks.is_touched());
        #[cfg(feature = "wkdm")]
        assert!(scratch.memory().wkdm.is_touched());
    }
}
