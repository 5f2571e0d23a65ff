//! The kernel as the engine's host: locks, preemption, time, wake-ups.

use core::sync::atomic::AtomicU32;

use compcache_engine::Host;

use crate::codecs::KernelCodecs;
use crate::sys;
use crate::threads::Thread;

/// The bare spinlock of the kernel (`arch_spinlock_t`), with preemption off while it is held.
#[derive(Debug)]
pub(crate) struct Spinlock(AtomicU32);

// SAFETY: the kernel's lock excludes everybody else; 0 is one that is not taken.
unsafe impl lock_api::RawMutex for Spinlock {
    const INIT: Self = Spinlock(AtomicU32::new(0));
    type GuardMarker = lock_api::GuardNoSend;

    #[inline]
    fn lock(&self) {
        // SAFETY: the word is a lock, and lives while it is borrowed.
        unsafe { sys::rzk_spin_lock(self.0.as_ptr()) }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        // SAFETY: as above.
        unsafe { sys::rzk_spin_trylock(self.0.as_ptr()) }
    }

    #[inline]
    unsafe fn unlock(&self) {
        // SAFETY: as above; the caller holds it.
        unsafe { sys::rzk_spin_unlock(self.0.as_ptr()) }
    }
}

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
        unsafe { sys::rzk_now_ns() }
    }

    /// All who hold slots are running: waiting is short.
    #[inline]
    fn backoff(&self, _: u32) {
        core::hint::spin_loop();
    }

    fn pin(&self) {
        // SAFETY: followed by `unpin`.
        unsafe { sys::rzk_cpu_enter() };
    }

    fn unpin(&self) {
        // SAFETY: follows `pin`.
        unsafe { sys::rzk_cpu_leave() }
    }

    fn wake_keeper(&self) {
        self.keeper.wake();
    }

    fn wake_recompressor(&self) {
        self.cold.wake();
    }
}
