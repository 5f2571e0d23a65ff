//! The codecs' vector code for `ramzswap.ko`, compiled with AVX2 as an object of its own.
//!
//! The core (`kernel/core`) calls [`ks_compress`] and [`ks_decompress`] between
//! `kernel_fpu_begin()` and `kernel_fpu_end()`, and nothing else here uses a vector register or
//! is called then. Only pointers and integers cross the border: values with vector types would be
//! passed in registers that the core does not have.
//!
//! The kernel keeps its stack aligned to 8 bytes, and this object's code, compiled for a target
//! with vector registers, takes 16 for granted. So the two functions realign their frames, and
//! with them those of all that they call (the build's check looks for it).
#![no_std]

extern crate alloc;

use alloc::boxed::Box;
use core::ffi::c_void;
use core::mem::MaybeUninit;

use compcache_engine::codec::{Builtin, CodecId, CodecSpec, Codecs, Scratch};
use compcache_engine::cpu::Cpu;
use compcache_engine::fallible::boxed;
use compcache_engine::page::Page;

mod runtime;

/// A local that a frame can hold only at an address of its alignment.
#[repr(align(32))]
struct Realigned(#[expect(dead_code, reason = "its place is what counts")] MaybeUninit<[u8; 32]>);

/// Realigns the frame of the function that calls this.
macro_rules! realign_frame {
    () => {
        let mut realigned = Realigned(MaybeUninit::uninit());
        core::hint::black_box(&mut realigned);
    };
}

/// Working memory, or null if there is none. May sleep, and uses no vector register.
#[unsafe(no_mangle)]
pub extern "C" fn ks_scratch_new() -> *mut c_void {
    // SAFETY: the core calls this if the processor has AVX2, BMI 1 and 2, and POPCNT, and
    // compresses and restores pages where their registers are free to use.
    let cpu = unsafe { Cpu::BASELINE.with_avx2() };
    match Scratch::for_cpu(cpu).and_then(boxed) {
        Ok(scratch) => Box::into_raw(scratch).cast(),
        Err(_) => core::ptr::null_mut(),
    }
}

/// Frees working memory. May sleep.
///
/// # Safety
/// `scratch` is from [`ks_scratch_new`], and is freed once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_scratch_free(scratch: *mut c_void) {
    // SAFETY: by this function's contract.
    drop(unsafe { Box::from_raw(scratch.cast::<Scratch>()) });
}

/// Compresses a page into `room` bytes at `out`; returns the chunk's length, or -1 if it does not
/// fit.
///
/// # Safety
/// The vector registers are ours. `scratch` is from [`ks_scratch_new`] and nobody else's meanwhile;
/// `page` and `out` have these lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_compress(
    scratch: *mut c_void,
    codec: u32,
    level: i32,
    page: *const Page,
    out: *mut u8,
    room: usize,
) -> isize {
    realign_frame!();
    // SAFETY: by this function's contract.
    let (scratch, page, out) = unsafe {
        let out = core::slice::from_raw_parts_mut(out, room);
        (&mut *scratch.cast::<Scratch>(), &*page, out)
    };
    let spec = CodecId::from_number(codec as u8)
        .and_then(|id| CodecSpec::new(id).ok())
        .and_then(|spec| spec.with_level(level as i8));
    spec.and_then(|spec| Builtin::compress(spec, page, scratch, out))
        .map_or(-1, |length| length as isize)
}

/// Restores the page of a chunk; says whether it was one.
///
/// # Safety
/// As for [`ks_compress`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ks_decompress(
    scratch: *mut c_void,
    codec: u32,
    chunk: *const u8,
    length: usize,
    page: *mut Page,
) -> bool {
    realign_frame!();
    // SAFETY: by this function's contract.
    let (scratch, page, chunk) = unsafe {
        let chunk = core::slice::from_raw_parts(chunk, length);
        (&mut *scratch.cast::<Scratch>(), &mut *page, chunk)
    };
    let id = CodecId::from_number(codec as u8);
    id.is_some_and(|id| Builtin::decompress(id, chunk, scratch, page).is_ok())
}
