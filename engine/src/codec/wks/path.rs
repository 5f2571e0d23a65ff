//! Which instructions do the work. All paths write and read the same bytes.

use super::far::Far;
use super::format::Parts;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
use super::{avx2, avx512};
use super::{choose, scalar};
use crate::page::Page;

/// A set of instructions that this processor has: a value other than `Scalar` is made only
/// where the processor was found to have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// No more than the build target has.
    Scalar,
    /// AVX2, BMI 1 and 2, POPCNT.
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    Avx2,
    /// AVX-512 F, BW, VL and VBMI2, and what [`Path::Avx2`] has.
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    Avx512,
}

impl Path {
    /// The paths that this processor can take, the fastest last.
    pub(super) fn all() -> impl DoubleEndedIterator<Item = Path> {
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        let avx2 = std::is_x86_feature_detected!("avx2")
            && std::is_x86_feature_detected!("popcnt")
            && std::is_x86_feature_detected!("bmi1")
            && std::is_x86_feature_detected!("bmi2");
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        let avx512 = avx2
            && std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512vbmi2");
        [
            Some(Path::Scalar),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            avx2.then_some(Path::Avx2),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            avx512.then_some(Path::Avx512),
        ]
        .into_iter()
        .flatten()
    }

    /// The fastest path.
    pub(super) fn best() -> Path {
        Path::all().next_back().unwrap_or(Path::Scalar)
    }

    /// [`choose::is_text`].
    pub(super) fn is_text(self, page: &Page) -> bool {
        match self {
            Path::Scalar => choose::is_text(page),
            // SAFETY: the processor has the instructions, see [`Path`].
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Path::Avx512 => unsafe { avx512::is_text(page) },
            // SAFETY: as above.
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Path::Avx2 => unsafe { avx2::is_text(page) },
        }
    }

    /// [`choose::stride`].
    pub(super) fn stride(self, page: &Page) -> (usize, usize) {
        match self {
            Path::Scalar => choose::stride(page),
            // SAFETY: the processor has the instructions, see [`Path`].
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Path::Avx512 => unsafe { avx512::stride(page) },
            // SAFETY: as above.
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
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
            // SAFETY: the processor has the instructions, see [`Path`].
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Path::Avx512 => unsafe { avx512::encode(page, stride, far, parts) },
            // SAFETY: as above.
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Path::Avx2 => unsafe { avx2::encode(page, stride, far, parts) },
        }
    }

    /// [`scalar::decode`]; `parts` is only memory.
    #[cfg_attr(
        not(all(feature = "std", target_arch = "x86_64")),
        expect(unused_variables, reason = "the portable path needs no memory")
    )]
    pub(super) fn decode(self, chunk: &[u8], parts: &mut Parts, page: &mut Page) -> Option<()> {
        match self {
            Path::Scalar => scalar::decode(chunk, page),
            // SAFETY: the processor has the instructions, see [`Path`].
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Path::Avx512 => unsafe { avx512::decode(chunk, &mut parts.words, page) },
            // SAFETY: as above.
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Path::Avx2 => unsafe { avx2::decode(chunk, &mut parts.words, page) },
        }
    }
}
