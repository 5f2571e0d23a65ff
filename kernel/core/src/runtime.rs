//! What Rust needs of its surroundings in a kernel: an allocator and an end.

/// The allocator, for set-up and control only: it sleeps. Nothing that serves requests allocates.
#[cfg(not(test))]
mod bare {
    use core::alloc::{GlobalAlloc, Layout};
    use core::panic::PanicInfo;

    use crate::print::{Level, print};
    use crate::sys;

    struct KernelAllocator;

    // SAFETY: `rzk_alloc` returns null or memory of the requested size and alignment, which is
    // nobody else's until `rzk_free`.
    unsafe impl GlobalAlloc for KernelAllocator {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: any size and alignment may be requested.
            unsafe { sys::rzk_alloc(layout.size(), layout.align()).cast() }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            // SAFETY: as above.
            unsafe { sys::rzk_alloc_zeroed(layout.size(), layout.align()).cast() }
        }

        unsafe fn dealloc(&self, memory: *mut u8, _: Layout) {
            // SAFETY: the memory is from `alloc`, and is given back once.
            unsafe { sys::rzk_free(memory.cast()) }
        }
    }

    #[global_allocator]
    static ALLOCATOR: KernelAllocator = KernelAllocator;

    #[panic_handler]
    fn panic(info: &PanicInfo<'_>) -> ! {
        print(
            Level::Error,
            None,
            format_args!("a fault of the driver: {info}"),
        );
        // SAFETY: it ends the task. The instruction behind it tells the kernel's checker so.
        unsafe {
            sys::rzk_bug();
            core::arch::asm!("ud2", options(noreturn))
        }
    }
}
