//! The kernel's own zstd: contexts for all devices.
//!
//! A frame has its magic number and no checksum, size or dictionary (the kernel's interface cannot
//! leave out the magic number, as the library in userspace does).
//!
//! A pair of contexts takes some 250 KiB. So there is one for each CPU up to sixteen, and CPUs
//! beyond share them: each is behind a lock that is taken for some microseconds with preemption
//! off.

use alloc::boxed::Box;
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use compcache_engine::Page;
use compcache_engine::codec::CodecSpec;
use compcache_engine::fallible::{NoMemory, boxed, try_collect};
use lock_api::Mutex;

use crate::spinlock::Spinlock;
use crate::sys;

/// Pairs of contexts, at most.
const MOST: usize = 16;

/// A compressor and a decompressor, with the memory that they live in.
#[derive(Debug)]
struct Contexts {
    compressor: Context,
    decompressor: Context,
}

#[derive(Debug)]
struct Context {
    /// Freed on drop.
    memory: NonNull<c_void>,
    context: NonNull<c_void>,
}

// SAFETY: it is memory, used by whoever has it.
unsafe impl Send for Context {}

impl Context {
    fn new(
        bytes: usize,
        make: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    ) -> Result<Self, NoMemory> {
        // SAFETY: set-up, which may sleep.
        let memory = NonNull::new(unsafe { sys::rzk_alloc(bytes, 64) }).ok_or(NoMemory)?;
        // SAFETY: the memory has this length, and is this context's alone.
        match NonNull::new(unsafe { make(memory.as_ptr(), bytes) }) {
            Some(context) => Ok(Context { memory, context }),
            None => {
                // SAFETY: it was just made, and nobody uses it.
                unsafe { sys::rzk_free(memory.as_ptr()) };
                Err(NoMemory)
            }
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by `rzk_alloc`, freed once.
        unsafe { sys::rzk_free(self.memory.as_ptr()) }
    }
}

type Pairs = Box<[Mutex<Spinlock, Contexts>]>;

/// The contexts, once they are made; a pointer to a box.
static PAIRS: AtomicPtr<Pairs> = AtomicPtr::new(ptr::null_mut());

/// Makes the contexts, before the first device. May sleep.
///
/// # Errors
/// [`NoMemory`].
pub(crate) fn start() -> Result<(), NoMemory> {
    // SAFETY: may be called anywhere.
    let (cpus, for_restoring) = unsafe {
        (
            sys::rzk_nr_cpu_ids() as usize,
            sys::rzk_zstd_decompressor_bytes(),
        )
    };
    let for_compressing = CodecSpec::ZSTD_LEVELS
        // SAFETY: as above.
        .map(|level| unsafe { sys::rzk_zstd_compressor_bytes(level.into()) })
        .max()
        .unwrap_or(0);
    let pairs = try_collect(cpus.min(MOST), |_| {
        Ok(Mutex::new(Contexts {
            compressor: Context::new(for_compressing, sys::rzk_zstd_compressor)?,
            decompressor: Context::new(for_restoring, sys::rzk_zstd_decompressor)?,
        }))
    })?;
    PAIRS.store(Box::into_raw(boxed(pairs)?), Ordering::Release);
    Ok(())
}

/// Frees the contexts, after the last device.
pub(crate) fn stop() {
    let pairs = PAIRS.swap(ptr::null_mut(), Ordering::Acquire);
    if !pairs.is_null() {
        // SAFETY: it is the box that `start` made; no device is left to use it.
        drop(unsafe { Box::from_raw(pairs) });
    }
}

/// Whether there are contexts.
pub(crate) fn is_there() -> bool {
    !PAIRS.load(Ordering::Relaxed).is_null()
}

/// Calls `work` with the contexts of this CPU, with preemption off.
fn with_contexts<T>(work: impl FnOnce(&Contexts) -> Option<T>) -> Option<T> {
    // SAFETY: what was stored is a box that lives until the last device is gone.
    let pairs = unsafe { PAIRS.load(Ordering::Acquire).as_ref()? };
    // SAFETY: followed by `rzk_put_cpu`.
    let cpu = unsafe { sys::rzk_get_cpu() } as usize;
    let done = work(&pairs[cpu % pairs.len()].lock());
    // SAFETY: follows `rzk_get_cpu`.
    unsafe { sys::rzk_put_cpu() };
    done
}

/// Compresses a page; `None` if it does not fit, or there is no zstd.
pub(crate) fn compress(page: &Page, level: i8, out: &mut [u8]) -> Option<usize> {
    with_contexts(|contexts| {
        // SAFETY: the context is locked, page and buffer have these lengths.
        let length = unsafe {
            sys::rzk_zstd_compress(
                contexts.compressor.context.as_ptr(),
                level.into(),
                page.as_ptr().cast(),
                out.as_mut_ptr().cast(),
                out.len(),
            )
        };
        (length != 0).then_some(length)
    })
}

/// Restores a page; `None` if the chunk is not one.
pub(crate) fn decompress(chunk: &[u8], page: &mut Page) -> Option<()> {
    with_contexts(|contexts| {
        // SAFETY: as in `compress`.
        let whole = unsafe {
            sys::rzk_zstd_decompress(
                contexts.decompressor.context.as_ptr(),
                chunk.as_ptr().cast(),
                chunk.len(),
                page.as_mut_ptr().cast(),
            )
        };
        whole.then_some(())
    })
}
