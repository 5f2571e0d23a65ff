//! What a device's threads do.

use crate::exhaustion::Watch;
use crate::live::Live;
use crate::threads::Role;
use crate::{cold, sys};

/// The work of a thread of a device, until it is stopped.
///
/// # Safety
/// `live` is what [`Thread::start`] was given.
#[unsafe(no_mangle)]
unsafe extern "C" fn rz_thread_run(live: *const Live, kind: u32) {
    // SAFETY: it stays until this thread was stopped.
    let live = unsafe { &*live };
    if kind == Role::Keeper as u32 {
        keep(live);
    } else {
        cold::run(live);
    }
}

fn keep(live: &Live) {
    let thread = &live.store().host().keeper;
    let mut watch = Watch::default();
    while !thread.is_stopped() {
        thread.take_wake();
        while live.store().keep() && !thread.is_stopped() {
            // SAFETY: nothing is held.
            unsafe { sys::rzk_cond_resched() }
        }
        if !thread.is_stopped() {
            thread.sleep(watch.keep(live));
        }
    }
}
