//! Memory where a refusal is an error. All of it is taken at set-up.

use alloc::alloc::{Layout, alloc_zeroed};
use alloc::boxed::Box;
use alloc::vec::Vec;

use compcache_engine::host::NoMemory;

/// A value on the heap.
pub(crate) fn boxed<T>(value: T) -> Result<Box<T>, NoMemory> {
    let mut one = Vec::new();
    one.try_reserve_exact(1).map_err(|_| NoMemory)?;
    one.push(value);
    let slice: Box<[T]> = one.into_boxed_slice();
    let slice: Result<Box<[T; 1]>, _> = slice.try_into();
    let array = slice.map_err(|_| NoMemory)?;
    // SAFETY: an array of one thing has the layout of the thing.
    Ok(unsafe { Box::from_raw(Box::into_raw(array).cast()) })
}

/// `count` things, each made from its number.
pub(crate) fn collect<T>(
    count: usize,
    mut make: impl FnMut(usize) -> Result<T, NoMemory>,
) -> Result<Box<[T]>, NoMemory> {
    let mut things = Vec::new();
    things.try_reserve_exact(count).map_err(|_| NoMemory)?;
    for number in 0..count {
        things.push(make(number)?);
    }
    // As long as its memory, so that this moves nothing.
    Ok(things.into_boxed_slice())
}

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
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(from.len()).map_err(|_| NoMemory)?;
    bytes.extend_from_slice(from);
    Ok(bytes.into_boxed_slice())
}
