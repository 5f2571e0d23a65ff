//! The scheduling policy of a thread (sched(7)).

use std::io;

/// Gives the calling thread a policy without a priority: `SCHED_OTHER`, `SCHED_BATCH` or
/// `SCHED_IDLE`.
///
/// # Errors
/// What the system said; the policy is then as it was.
pub(crate) fn set_policy(policy: libc::c_int) -> io::Result<()> {
    let none = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads one `sched_param`, which lives until it returns; 0 is this thread.
    if unsafe { libc::sched_setscheduler(0, policy, &raw const none) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
