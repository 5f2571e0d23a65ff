//! The kernel's spinlock, for what is held a few instructions long.

use core::sync::atomic::AtomicU32;

use crate::sys;

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
