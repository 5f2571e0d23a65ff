//! Heap allocations whose failure is an error and not the end: whatever is made here is
//! made at set-up.

use alloc::alloc::{Layout, alloc};
use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::page::{PAGE_SIZE, Page};

/// The system has no more memory to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system has no more memory")]
pub struct NoMemory;

/// A value on the heap.
///
/// # Errors
/// [`NoMemory`] if there is none for it.
#[inline(always)] // into code that must not use vector registers for what is moved
pub fn boxed<T>(value: T) -> Result<Box<T>, NoMemory> {
    const { assert!(size_of::<T>() != 0, "it needs no memory") };
    // SAFETY: a `T` has a size.
    let memory = unsafe { alloc(Layout::new::<T>()) }.cast::<T>();
    if memory.is_null() {
        return Err(NoMemory);
    }
    // SAFETY: the memory is new, from the global allocator and of a `T`'s layout.
    unsafe {
        memory.write(value);
        Ok(Box::from_raw(memory))
    }
}

/// `count` things, each made from its number where it stays.
///
/// # Errors
/// [`NoMemory`] if there is none for them.
pub fn collect<T>(count: usize, make: impl FnMut(usize) -> T) -> Result<Box<[T]>, NoMemory> {
    let mut things = reserved(count)?;
    things.extend((0..count).map(make));
    // As long as its memory, so that this moves nothing.
    Ok(things.into_boxed_slice())
}

/// As [`collect`], for things for which there may be no memory either.
///
/// # Errors
/// [`NoMemory`] if there is none for them, or one could not be made.
pub fn try_collect<T>(
    count: usize,
    mut make: impl FnMut(usize) -> Result<T, NoMemory>,
) -> Result<Box<[T]>, NoMemory> {
    let mut things = reserved(count)?;
    for number in 0..count {
        things.push(make(number)?);
    }
    Ok(things.into_boxed_slice())
}

/// An empty vector that takes `count` things without growing.
///
/// # Errors
/// [`NoMemory`] if there is none for them.
pub fn reserved<T>(count: usize) -> Result<Vec<T>, NoMemory> {
    let mut things = Vec::new();
    things.try_reserve_exact(count).map_err(|_| NoMemory)?;
    Ok(things)
}

/// A page of zeros, made where it stays: kernels' stacks are small.
///
/// # Errors
/// [`NoMemory`] if there is none for it.
pub fn boxed_page() -> Result<Box<Page>, NoMemory> {
    let mut bytes = reserved(PAGE_SIZE)?;
    bytes.resize(PAGE_SIZE, 0);
    bytes.into_boxed_slice().try_into().map_err(|_| NoMemory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn things_are_made_and_dropped_once() {
        assert_eq!(*boxed(String::from("one")).unwrap(), "one");
        let numbers = collect(3, |number| String::from(["a", "b", "c"][number]));
        assert_eq!(*numbers.unwrap(), ["a", "b", "c"]);
        let refused = try_collect(3, |number| {
            if number < 2 {
                boxed(number)
            } else {
                Err(NoMemory)
            }
        });
        assert_eq!(refused, Err(NoMemory));
        assert_eq!(*boxed_page().unwrap(), [0; PAGE_SIZE]);
    }

    #[test]
    fn what_no_machine_has_is_refused() {
        assert_eq!(reserved::<u64>(usize::MAX / 16), Err(NoMemory));
    }
}
