//! The driver's set of codecs: the engine's, the vector object's in its place if that is
//! faster, and the kernel's zstd.

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use compcache_engine::Page;
use compcache_engine::codec::{self, Builtin, CodecId, CodecSpec, Codecs, Corrupt};
use compcache_engine::fallible::NoMemory;

use crate::{sys, zstd};

/// Vector instructions are to be used. Set before the first device is initialised.
static VECTOR: AtomicBool = AtomicBool::new(false);

/// Says whether vector instructions are to be used, which the processor then must have.
pub(crate) fn use_vector(on: bool) {
    VECTOR.store(on, Relaxed);
}

/// Whether vector instructions are used.
pub(crate) fn uses_vector() -> bool {
    VECTOR.load(Relaxed)
}

/// The codec that was chosen for new devices: number and level, and a bit that says so.
static DEFAULT: AtomicU32 = AtomicU32::new(0);
const CHOSEN: u32 = 1 << 16;

/// Chooses the codec of new devices.
pub(crate) fn set_default(spec: CodecSpec) {
    let level = u32::from(spec.level() as u8);
    DEFAULT.store(CHOSEN | (spec.id() as u32) << 8 | level, Relaxed);
}

/// The codec of new devices: what was chosen, else the default of all devices.
pub(crate) fn default_codec() -> CodecSpec {
    let [level, number, chosen, _] = DEFAULT.load(Relaxed).to_le_bytes();
    let id = CodecId::from_number(number).filter(|_| chosen != 0);
    let spec = id.and_then(|id| CodecSpec::new_in::<KernelCodecs>(id).ok());
    let spec = spec.and_then(|spec| spec.with_level(level as i8));
    spec.unwrap_or_default()
}

/// The set.
#[derive(Debug)]
pub(crate) struct KernelCodecs;

/// Who has the vector registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Registers {
    /// Each call takes them and gives them back.
    EachCall,
    /// The next call that needs them takes them, and [`Scratch::end_section`] gives them back.
    NotTaken,
    /// They are taken.
    Taken,
}

/// Working memory of one worker.
#[derive(Debug)]
pub(crate) struct Scratch {
    scalar: codec::Scratch,
    vector: Option<Vector>,
    registers: Registers,
}

impl Scratch {
    /// From now on, vector registers that were taken are kept until [`Scratch::end_section`],
    /// which the caller calls before it lets itself be preempted.
    pub(crate) fn keep_registers(&mut self) {
        self.registers = Registers::NotTaken;
    }

    /// Gives the vector registers back, if they were taken.
    #[inline]
    pub(crate) fn end_section(&mut self) {
        if self.registers == Registers::Taken {
            self.registers = Registers::NotTaken;
            // SAFETY: they were taken by `with_vector`, on this CPU.
            unsafe { sys::rzk_fpu_end() }
        }
    }

    /// Calls `work` with the vector object's memory and the registers; `None` if there are
    /// none to be had.
    #[inline]
    fn with_vector<T>(&mut self, work: impl FnOnce(&Vector) -> T) -> Option<T> {
        let vector = self.vector.as_ref()?;
        if self.registers == Registers::Taken {
            return Some(work(vector));
        }
        // SAFETY: followed by `rzk_fpu_end`, here or in `end_section`; whoever keeps them is
        // not preempted until then.
        if !unsafe { sys::rzk_fpu_begin() } {
            return None;
        }
        let done = work(vector);
        if self.registers == Registers::EachCall {
            // SAFETY: taken above.
            unsafe { sys::rzk_fpu_end() }
        } else {
            self.registers = Registers::Taken;
        }
        Some(done)
    }
}

/// The vector object's working memory.
#[derive(Debug)]
struct Vector(NonNull<c_void>);

// SAFETY: it is memory, used by whoever has it.
unsafe impl Send for Vector {}

impl Vector {
    fn new() -> Result<Self, NoMemory> {
        // SAFETY: called at set-up, which may sleep.
        let scratch = unsafe { sys::ks_scratch_new() };
        NonNull::new(scratch).map(Vector).ok_or(NoMemory)
    }
}

impl Drop for Vector {
    fn drop(&mut self) {
        // SAFETY: made by `ks_scratch_new`, freed once.
        unsafe { sys::ks_scratch_free(self.0.as_ptr()) }
    }
}

/// Whether pages are compressed faster by the vector object: lz4 and lzo, which search byte by byte, gain by how they
/// clear their tables and copy literals.
fn compresses_by_vectors(id: CodecId) -> bool {
    matches!(id, CodecId::Wks | CodecId::Lz4 | CodecId::Lzo)
}

/// Whether pages are restored faster by the vector object. lzo copies too few bytes at a time.
fn restores_by_vectors(id: CodecId) -> bool {
    matches!(id, CodecId::Wks | CodecId::Lz4)
}

impl Codecs for KernelCodecs {
    type Scratch = Scratch;

    fn scratch() -> Result<Scratch, NoMemory> {
        Ok(Scratch {
            scalar: Builtin::scratch()?,
            vector: uses_vector().then(Vector::new).transpose()?,
            registers: Registers::EachCall,
        })
    }

    fn has(id: CodecId) -> bool {
        match id {
            CodecId::Zstd => zstd::is_there(),
            id => Builtin::has(id),
        }
    }

    fn compress(
        spec: CodecSpec,
        page: &Page,
        scratch: &mut Scratch,
        out: &mut [u8],
    ) -> Option<usize> {
        if spec.id() == CodecId::Zstd {
            return zstd::compress(page, spec.level(), out);
        }
        if compresses_by_vectors(spec.id()) {
            let level = spec.level().into();
            let length = scratch.with_vector(|vector| {
                // SAFETY: the registers are ours, page and buffer have these lengths, and the
                // memory is this worker's.
                unsafe {
                    sys::ks_compress(
                        vector.0.as_ptr(),
                        spec.id() as u32,
                        level,
                        page.as_ptr(),
                        out.as_mut_ptr(),
                        out.len(),
                    )
                }
            });
            if let Some(length) = length {
                return usize::try_from(length).ok();
            }
        }
        Builtin::compress(spec, page, &mut scratch.scalar, out)
    }

    fn decompress(
        id: CodecId,
        chunk: &[u8],
        scratch: &mut Scratch,
        page: &mut Page,
    ) -> Result<(), Corrupt> {
        if id == CodecId::Zstd {
            return zstd::decompress(chunk, page).ok_or(Corrupt { codec: id });
        }
        if restores_by_vectors(id) {
            let restored = scratch.with_vector(|vector| {
                // SAFETY: as in `compress`.
                unsafe {
                    sys::ks_decompress(
                        vector.0.as_ptr(),
                        id as u32,
                        chunk.as_ptr(),
                        chunk.len(),
                        page.as_mut_ptr(),
                    )
                }
            });
            if let Some(restored) = restored {
                return restored.then_some(()).ok_or(Corrupt { codec: id });
            }
        }
        Builtin::decompress(id, chunk, &mut scratch.scalar, page)
    }
}
