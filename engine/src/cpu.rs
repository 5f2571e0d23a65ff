//! What the processor can do beyond the baseline of its architecture.
//!
//! With `std` the processor is queried. Without, whoever embeds the engine knows better what may
//! be used (in a kernel, CPUID alone does not say whether vector registers are saved) and says it
//! once, before the first store is made: `Cpu::announce`.

#[cfg(not(feature = "std"))]
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Sets of instructions that this processor has.
///
/// A value that names one is made only if that is so: by asking the processor, or by
/// somebody who vouches for it. So code that needs them may rely on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu(u8);

const SSE42: u8 = 1;
const AVX2: u8 = 2;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
const AVX512: u8 = 4;

/// What was announced. Relaxed is enough: nothing but the number is read after it.
#[cfg(not(feature = "std"))]
static ANNOUNCED: AtomicU8 = AtomicU8::new(0);

impl Cpu {
    /// No more than the build target has.
    pub const BASELINE: Cpu = Cpu(0);

    /// The same with SSE 4.2, of which the checksum uses `crc32`, an instruction on general
    /// registers.
    ///
    /// # Safety
    /// The processor must be x86-64 and have SSE 4.2.
    #[must_use]
    pub const unsafe fn with_sse42(self) -> Self {
        Cpu(self.0 | SSE42)
    }

    /// The same with AVX2, BMI 1 and 2, and POPCNT.
    ///
    /// # Safety
    /// The processor must be x86-64 and have all of them, and the registers of AVX must be free
    /// to use wherever pages are compressed and restored.
    #[must_use]
    pub const unsafe fn with_avx2(self) -> Self {
        Cpu(self.0 | AVX2)
    }

    /// Says what this processor has. Codecs look when their working memory is made, checksums
    /// each time; what was computed before stays right.
    #[cfg(not(feature = "std"))]
    pub fn announce(self) {
        ANNOUNCED.store(self.0, Relaxed);
    }

    /// What was announced: the baseline if nothing was.
    #[cfg(not(feature = "std"))]
    #[must_use]
    #[inline]
    pub fn current() -> Self {
        Cpu(ANNOUNCED.load(Relaxed))
    }

    /// What this processor has.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn current() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = std::is_x86_feature_detected!("avx2")
                && std::is_x86_feature_detected!("popcnt")
                && std::is_x86_feature_detected!("bmi1")
                && std::is_x86_feature_detected!("bmi2");
            let avx512 = avx2
                && std::is_x86_feature_detected!("avx512f")
                && std::is_x86_feature_detected!("avx512bw")
                && std::is_x86_feature_detected!("avx512vl")
                && std::is_x86_feature_detected!("avx512vbmi2");
            let bit = |has: bool, bit| if has { bit } else { 0 };
            Cpu(bit(Self::has_sse42(), SSE42) | bit(avx2, AVX2) | bit(avx512, AVX512))
        }
        #[cfg(not(target_arch = "x86_64"))]
        Cpu::BASELINE
    }

    /// Whether [`Cpu::current`] has SSE 4.2; cheap enough to be called for every chunk.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    #[inline]
    pub(crate) fn has_sse42() -> bool {
        #[cfg(feature = "std")]
        {
            std::is_x86_feature_detected!("sse4.2")
        }
        #[cfg(not(feature = "std"))]
        {
            Cpu::current().0 & SSE42 != 0
        }
    }

    /// AVX2, BMI 1 and 2, POPCNT.
    #[must_use]
    pub const fn avx2(self) -> bool {
        self.0 & AVX2 != 0
    }

    /// AVX-512 F, BW, VL and VBMI2, and what [`Cpu::avx2`] says.
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    pub(crate) const fn avx512(self) -> bool {
        self.0 & AVX512 != 0
    }
}
