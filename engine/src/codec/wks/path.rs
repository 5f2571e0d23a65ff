//! Which instructions do the work. All paths write and read the same bytes.

#[cfg(all(
    target_arch = "x86_64",
    any(feature = "std", all(feature = "simd", target_feature = "sse2"))
))]
use super::avx2;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
use super::avx512;
use super::far::Far;
use super::format::Parts;
use super::{choose, scalar};
use crate::cpu::Cpu;
use crate::page::Page;

/// A set of instructions that this processor has: a value other than `Scalar` is made only
/// where the processor was found to have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec) enum Path {
    /// No more than the build target has.
    Scalar,
    /// AVX2, BMI 1 and 2, POPCNT.
    #[cfg(all(
        target_arch = "x86_64",
        any(feature = "std", all(feature = "simd", target_feature = "sse2"))
    ))]
    Avx2,
    /// AVX-512 F, BW, VL and VBMI2, and what [`Path::Avx2`] has.
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    Avx512,
}

impl Path {
    /// The paths that a processor can take, the fastest last.
    pub(super) fn all(cpu: Cpu) -> impl DoubleEndedIterator<Item = Path> {
        #[cfg(not(all(
            target_arch = "x86_64",
            any(feature = "std", all(feature = "simd", target_feature = "sse2"))
        )))]
        let _ = cpu;
        [
            Some(Path::Scalar),
            #[cfg(all(
                target_arch = "x86_64",
                any(feature = "std", all(feature = "simd", target_feature = "sse2"))
            ))]
            cpu.avx2().then_some(Path::Avx2),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            cpu.avx512().then_some(Path::Avx512),
        ]
        .into_iter()
        .flatten()
    }

    /// The fastest path of a processor.
    pub(in crate::codec) fn best(cpu: Cpu) -> Path {
        Path::all(cpu).next_back().unwrap_or(Path::Scalar)
    }

    /// [`choose::is_text`].
    pub(super) fn is_text(self, page: &Page) -> bool {
        match self {
            Path::Scalar => choose::is_text(page),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            // SAFETY: the processor has the instructions, see [`Path`].
            Path::Avx512 => unsafe { avx512::is_text(page) },
            #[cfg(all(
                target_arch = "x86_64",
                any(feature = "std", all(feature = "simd", target_feature = "sse2"))
            ))]
            // SAFETY: as above.
            Path::Avx2 => unsafe { avx2::is_text(page) },
        }
    }

    /// [`choose::stride`].
    pub(super) fn stride(self, page: &Page) -> (usize, usize) {
        match self {
            Path::Scalar => choose::stride(page),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            // SAFETY: the processor has the instructions, see [`Path`].
            Path::Avx512 => unsafe { avx512::stride(page) },
            #[cfg(all(
                target_arch = "x86_64",
                any(feature = "std", all(feature = "simd", target_feature = "sse2"))
            ))]
            // SAFETY: as above.
            Path::Avx2 => unsafe { avx2::stride(page) },
        }
    }

    /// [`scalar::encode`].
    pub(super) fn encode(
        self,
        page: &Page,
        stride: usize,
        far: Option<&mut Far>,
        parts: &mut Parts,
    ) {
        match self {
            Path::Scalar => scalar::encode(page, stride, far, parts),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            // SAFETY: the processor has the instructions, see [`Path`].
            Path::Avx512 => unsafe { avx512::encode(page, stride, far, parts) },
            #[cfg(all(
                target_arch = "x86_64",
                any(feature = "std", all(feature = "simd", target_feature = "sse2"))
            ))]
            // SAFETY: as above.
            Path::Avx2 => unsafe { avx2::encode(page, stride, far, parts) },
        }
    }

    /// [`scalar::decode`]; `parts` is only memory.
    pub(super) fn decode(self, chunk: &[u8], parts: &mut Parts, page: &mut Page) -> Option<()> {
        match self {
            Path::Scalar => scalar::decode(chunk, &mut parts.words, page),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            // SAFETY: the processor has the instructions, see [`Path`].
            Path::Avx512 => unsafe { avx512::decode(chunk, &mut parts.words, page) },
            #[cfg(all(
                target_arch = "x86_64",
                any(feature = "std", all(feature = "simd", target_feature = "sse2"))
            ))]
            // SAFETY: as above.
            Path::Avx2 => unsafe { avx2::decode(chunk, parts, page) },
        }
    }
}
