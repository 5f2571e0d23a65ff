//! What Rust needs of its surroundings in a kernel.

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::panic::PanicInfo;

unsafe extern "C" {
    fn rzk_alloc(size: usize, align: usize) -> *mut c_void;
    fn rzk_alloc_zeroed(size: usize, align: usize) -> *mut c_void;
    fn rzk_free(memory: *mut c_void);
    fn rzk_bug();
}

/// The allocator, for set-up only: it sleeps.
struct KernelAllocator;

// SAFETY: `rzk_alloc` returns null or memory of the size and alignment asked for, which is nobody
// else's until `rzk_free`.
unsafe impl GlobalAlloc for KernelAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size and alignment may be asked for.
        unsafe { rzk_alloc(layout.size(), layout.align()).cast() }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { rzk_alloc_zeroed(layout.size(), layout.align()).cast() }
    }

    unsafe fn dealloc(&self, memory: *mut u8, _: Layout) {
        // SAFETY: the memory is from `alloc`, and is given back once.
        unsafe { rzk_free(memory.cast()) }
    }
}

#[global_allocator]
static ALLOCATOR: KernelAllocator = KernelAllocator;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: it ends the task. The instruction behind it tells the kernel's checker so.
    unsafe {
        rzk_bug();
        core::arch::asm!("ud2", options(noreturn))
    }
}
