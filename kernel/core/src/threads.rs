//! The threads of a device, as the kernel runs them: the keeper, and the one that recompresses cold
//! pages.

use core::ffi::CStr;
use core::ptr::NonNull;

use compcache_engine::fallible::NoMemory;

use crate::error::Error;
use crate::sys;

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Role {
    /// Readies frames, gives surplus ones back, evacuates.
    Keeper = 0,
    /// Recompresses cold pages.
    Cold = 1,
}

impl Role {
    /// The thread's name, behind the device's.
    fn name(self) -> &'static CStr {
        match self {
            Role::Keeper => c"keep",
            Role::Cold => c"cold",
        }
    }
}

/// A kernel thread, started or not; freed on drop, once it was stopped.
#[derive(Debug)]
pub(crate) struct Thread(NonNull<sys::Thread>);

// SAFETY: the kernel's side locks what several threads use.
unsafe impl Send for Thread {}
// SAFETY: as above.
unsafe impl Sync for Thread {}

impl Thread {
    /// May sleep.
    pub(crate) fn new() -> Result<Self, NoMemory> {
        // SAFETY: set-up.
        NonNull::new(unsafe { sys::rzk_thread_alloc() })
            .map(Thread)
            .ok_or(NoMemory)
    }

    /// Starts it for the device of this number, with what [`work`](crate::work) gets. May sleep.
    ///
    /// # Safety
    /// `live` must be the device as it is while it is initialised, and stay where it is until
    /// [`Thread::stop`] has returned.
    pub(crate) unsafe fn start<L>(
        &self,
        role: Role,
        number: u32,
        live: &L,
    ) -> Result<(), Error<'static>> {
        let idle = role == Role::Cold;
        let at = core::ptr::from_ref(live).cast();
        // SAFETY: the name is static, and `live` stays by this function's contract.
        let code = unsafe {
            sys::rzk_thread_start(
                self.0.as_ptr(),
                number,
                role.name().as_ptr(),
                role as u32,
                idle,
                at,
            )
        };
        match code {
            0 => Ok(()),
            code => Err(Error::Kernel {
                action: "start its threads",
                code: -code,
                remedy: None,
            }),
        }
    }

    /// Ends it and waits for that, if it was started. May sleep.
    pub(crate) fn stop(&self) {
        // SAFETY: it is a thread.
        unsafe { sys::rzk_thread_stop(self.0.as_ptr()) }
    }

    /// Wakes it. Never sleeps.
    pub(crate) fn wake(&self) {
        // SAFETY: as above.
        unsafe { sys::rzk_thread_wake(self.0.as_ptr()) }
    }

    /// The calling thread: whether it is to end.
    pub(crate) fn is_stopped(&self) -> bool {
        // SAFETY: called by the thread itself.
        unsafe { sys::rzk_thread_should_stop(self.0.as_ptr()) }
    }

    /// The calling thread: whether it was woken since this was last asked.
    pub(crate) fn take_wake(&self) -> bool {
        // SAFETY: as above.
        unsafe { sys::rzk_thread_clear_woken(self.0.as_ptr()) }
    }

    /// The calling thread: sleeps until it is woken or stopped, or for `limit_ms` milliseconds
    /// if that is not 0.
    pub(crate) fn sleep(&self, limit_ms: u64) {
        // SAFETY: as above.
        unsafe { sys::rzk_thread_sleep(self.0.as_ptr(), limit_ms) }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // SAFETY: made by `rzk_thread_alloc`, stopped or never started, freed once.
        unsafe { sys::rzk_thread_free(self.0.as_ptr()) }
    }
}
