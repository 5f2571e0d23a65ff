//! The scheduling policy of a thread (sched(7)).

use std::cell::Cell;
use std::io;

use crate::remedy;

/// Gives the calling thread a policy without a priority: `SCHED_OTHER`, `SCHED_BATCH` or
/// `SCHED_IDLE`.
///
/// # Errors
/// The system's error; the policy is then as it was.
pub fn set_policy(policy: libc::c_int) -> io::Result<()> {
    let none = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads one `sched_param`, which lives until it returns; 0 is this thread.
    if unsafe { libc::sched_setscheduler(0, policy, &raw const none) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// What the calling thread is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Ordinary,
    Idle,
    /// An idle task whose policy the kernel has refused to change.
    Stuck,
}

thread_local! {
    static STANDING: Cell<Standing> = const { Cell::new(Standing::Ordinary) };
}

/// Makes the calling thread an idle task (`SCHED_IDLE`): it runs if a CPU has nothing else to
/// do, and whoever wakes gets the CPU at once. While it holds a slot or an arena of a store, it is
/// an ordinary task: see [`Host::pin`](compcache_engine::Host::pin).
pub fn become_idle() {
    STANDING.set(Standing::Idle);
    change(libc::SCHED_IDLE);
}

/// Makes an idle task an ordinary one, until [`unpin`].
pub(crate) fn pin() {
    change(libc::SCHED_OTHER);
}

/// Makes what was an idle task one again.
pub(crate) fn unpin() {
    change(libc::SCHED_IDLE);
}

fn change(policy: libc::c_int) {
    if STANDING.get() == Standing::Idle
        && let Err(error) = set_policy(policy)
    {
        STANDING.set(Standing::Stuck);
        let remedy = remedy::root("CAP_SYS_NICE");
        tracing::warn!("a thread cannot change its scheduling policy: {error}; {remedy}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The policy of the calling thread.
    fn policy() -> libc::c_int {
        // SAFETY: asks about the calling thread, and touches no memory.
        unsafe { libc::sched_getscheduler(0) }
    }

    #[test]
    fn a_thread_is_idle_but_while_it_is_pinned() {
        std::thread::spawn(|| {
            become_idle();
            assert_eq!(policy(), libc::SCHED_IDLE);
            pin();
            // Not root: the kernel may refuse it.
            if STANDING.get() == Standing::Idle {
                assert_eq!(policy(), libc::SCHED_OTHER);
            }
            unpin();
            assert_eq!(policy(), libc::SCHED_IDLE);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn an_ordinary_thread_stays_one() {
        let before = policy();
        pin();
        assert_eq!(policy(), before);
        unpin();
        assert_eq!(policy(), before);
    }
}
