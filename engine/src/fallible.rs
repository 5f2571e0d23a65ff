//! Memory from the heap where a refusal is an error and not the end: whatever is made here is
//! made at set-up.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::host::NoMemory;
use crate::page::{PAGE_SIZE, Page};

/// `count` things, each made from its number.
pub(crate) fn boxed<T>(count: usize, make: impl FnMut(usize) -> T) -> Result<Box<[T]>, NoMemory> {
    let mut things = reserved(count)?;
    things.extend((0..count).map(make));
    // As long as its memory, so that this moves nothing.
    Ok(things.into_boxed_slice())
}

/// An empty vector that takes `count` things without growing.
pub(crate) fn reserved<T>(count: usize) -> Result<Vec<T>, NoMemory> {
    let mut things = Vec::new();
    things.try_reserve_exact(count).map_err(|_| NoMemory)?;
    Ok(things)
}

/// A page of zeros, made where it stays: kernels' stacks are small.
pub(crate) fn boxed_page() -> Result<Box<Page>, NoMemory> {
    let mut bytes = reserved(PAGE_SIZE)?;
    bytes.resize(PAGE_SIZE, 0);
    bytes.into_boxed_slice().try_into().map_err(|_| NoMemory)
}
