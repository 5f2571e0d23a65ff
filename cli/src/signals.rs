//! Signals as events to be read, by signalfd(2).

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// A signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// Its number.
    pub signal: i32,
    /// Whether the kernel made it, as it does for keys on the terminal and for a terminal that
    /// hangs up; these go to the whole process group, so that our child gets them too.
    pub from_kernel: bool,
}

/// Signals that are blocked for as long as this lives and read from a descriptor instead.
///
/// Threads inherit what is blocked: make it before any thread, and in one place only.
#[derive(Debug)]
pub(crate) struct Signals {
    descriptor: OwnedFd,
    before: libc::sigset_t,
    /// The last one that was read, other than SIGCHLD.
    last: Cell<Option<i32>>,
}

impl Signals {
    /// Blocks `signals` in this thread.
    ///
    /// # Errors
    /// Those of signalfd(2): no descriptors or memory left.
    pub(crate) fn block(signals: &[i32]) -> io::Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `set` and `before` are valid for writing; sigemptyset initialises `set` before
        // sigaddset and the others read it; an invalid signal number is refused, not followed.
        let raw = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for &signal in signals {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            let raw = libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if raw < 0 {
                return Err(io::Error::last_os_error());
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr());
            raw
        };
        // SAFETY: signalfd gave a new descriptor that nobody else owns.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: pthread_sigmask with a valid `how` can't fail, and wrote the old mask.
        let before = unsafe { before.assume_init() };
        Ok(Signals {
            descriptor,
            before,
            last: Cell::new(None),
        })
    }

    /// The next signal that has arrived, if there is one.
    ///
    /// # Errors
    /// Those of read(2), which none is expected of.
    pub(crate) fn next(&self) -> io::Result<Option<Arrived>> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        loop {
            // SAFETY: `info` is valid for writing `size` bytes, and the descriptor is ours.
            let read =
                unsafe { libc::read(self.descriptor.as_raw_fd(), info.as_mut_ptr().cast(), size) };
            if read == size as isize {
                break;
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Ok(None),
                _ => return Err(error),
            }
        }
        // SAFETY: all of it was zeroed and then written by the kernel, and it holds integers only.
        let info = unsafe { info.assume_init() };
        let signal = info.ssi_signo.cast_signed();
        if signal != libc::SIGCHLD {
            self.last.set(Some(signal));
        }
        Ok(Some(Arrived {
            signal,
            // SI_USER, SI_QUEUE and SI_TKILL, which processes send, are 0 and below.
            from_kernel: info.ssi_code > 0,
        }))
    }

    /// The last signal other than SIGCHLD that has arrived so far. It may have come too late to
    /// reach a child that was ending.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub(crate) fn last(&self) -> io::Result<Option<i32>> {
        while self.next()?.is_some() {}
        Ok(self.last.get())
    }

    /// The mask from before, for a child to start with.
    #[must_use]
    pub(crate) fn mask_before(&self) -> libc::sigset_t {
        self.before
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // Discards what arrived and was not read: it was blocked on purpose, and must not end
        // the process now.
        while let Ok(Some(_)) = self.next() {}
        // SAFETY: `before` is an initialised mask.
        unsafe {
            libc::pthread_sigmask(
                libc::SIG_SETMASK,
                &raw const self.before,
                std::ptr::null_mut(),
            );
        }
    }
}
