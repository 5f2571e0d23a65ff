//! The kernel as the engine's host: preemption, time, wake-ups.

use compcache_engine::Host;

use crate::codecs::KernelCodecs;
use crate::spinlock::Spinlock;
use crate::sys;
use crate::threads::Thread;

/// What a device's store asks of the kernel.
#[derive(Debug)]
pub(crate) struct KernelHost {
    /// Keeps the pool.
    pub(crate) keeper: Thread,
    /// Recompresses cold pages.
    pub(crate) cold: Thread,
}

impl Host for KernelHost {
    type Lock = Spinlock;
    type Codecs = KernelCodecs;

    #[inline]
    fn now_ns(&self) -> u64 {
        // SAFETY: may be called anywhere.
        unsafe { sys::rzk_local_clock() }
    }

    /// All who hold slots are running: waiting is short.
    #[inline]
    fn backoff(&self, _: u32) {
        core::hint::spin_loop();
    }

    fn pin(&self) {
        // SAFETY: followed by `unpin`.
        unsafe { sys::rzk_get_cpu() };
    }

    fn unpin(&self) {
        // SAFETY: follows `pin`.
        unsafe { sys::rzk_put_cpu() }
    }

    fn wake_keeper(&self) {
        self.keeper.wake();
    }

    fn wake_recompressor(&self) {
        self.cold.wake();
    }
}
