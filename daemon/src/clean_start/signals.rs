//! Signals: none blocked, and none ignored except those ignored on purpose (nohup(1), background jobs).

/// The last real-time signal of Linux.
const LAST: i32 = 64;

/// Unblocks all signals and gives them their default dispositions. Three stay or become ignored:
/// `SIGPIPE`, as in every Rust program; `SIGXFSZ`, so that a write beyond a limit is an error; and
/// of `SIGHUP` and `SIGINT` those that were ignored, which are returned.
pub(super) fn reset() -> Vec<i32> {
    let mut ignored = Vec::new();
    for signal in 1..=LAST {
        match signal {
            libc::SIGKILL | libc::SIGSTOP | libc::SIGPIPE => {}
            libc::SIGXFSZ => set(signal, libc::SIG_IGN),
            libc::SIGHUP | libc::SIGINT if is_ignored(signal) => ignored.push(signal),
            _ => set(signal, libc::SIG_DFL),
        }
    }
    // SAFETY: an empty set is made and read; both calls have room for it.
    unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
    ignored
}

/// Gives `SIGCHLD` its default disposition: if it is ignored, the system does not say how a child
/// has ended.
pub fn reset_sigchld() {
    set(libc::SIGCHLD, libc::SIG_DFL);
}

/// Has signals be ignored from here on.
pub(crate) fn ignore_signals(signals: &[i32]) {
    for signal in signals {
        set(*signal, libc::SIG_IGN);
    }
}

fn is_ignored(signal: i32) -> bool {
    // SAFETY: the call fills in the zeroed structure, and changes nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

fn set(signal: i32, disposition: libc::sighandler_t) {
    // SAFETY: no handler runs: the disposition is the default or to ignore. The C library refuses
    // the signals that it keeps for itself.
    unsafe { libc::signal(signal, disposition) };
}
