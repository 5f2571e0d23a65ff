//! Allocations whose failure is an error, beside what the engine has for it
//! ([`compcache_engine::fallible`]). All of it is taken at set-up.

use alloc::alloc::{Layout, alloc_zeroed};
use alloc::boxed::Box;

use compcache_engine::fallible::{NoMemory, reserved};

/// Memory for a `T`, all of its bytes zero, made where it stays: a kernel's stack is small.
///
/// # Safety
/// Bytes of zero must be a `T`, which has a size.
pub(crate) unsafe fn zeroed<T>() -> Result<Box<T>, NoMemory> {
    const { assert!(size_of::<T>() != 0) };
    // SAFETY: `T` has a size.
    let memory = unsafe { alloc_zeroed(Layout::new::<T>()) }.cast::<T>();
    if memory.is_null() {
        return Err(NoMemory);
    }
    // SAFETY: the memory is new, of a `T`'s layout, and its zeros are one.
    Ok(unsafe { Box::from_raw(memory) })
}

/// A text of its own.
pub(crate) fn text(from: &[u8]) -> Result<Box<[u8]>, NoMemory> {
    let mut bytes = reserved(from.len())?;
    bytes.extend_from_slice(from);
    Ok(bytes.into_boxed_slice())
}
