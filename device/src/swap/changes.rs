//! Notices of changes of the kernel's table of swap areas, `/proc/swaps` (`swaps_poll` in
//! `mm/swapfile.c`).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// A descriptor with an exceptional condition (`POLLPRI`) once a swap area was added or has gone
/// since it was made, or was last polled.
#[derive(Debug)]
pub struct Changes(File);

impl Changes {
    /// Notices from now on.
    ///
    /// # Errors
    /// If `/proc/swaps` can't be opened; `NotFound` on a kernel without swap.
    pub fn watch() -> io::Result<Self> {
        File::open("/proc/swaps").map(Changes)
    }

    /// Waits for a change until `timeout` is over, and says whether there was one. May return early.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let mut polled = [PollFd::new(&self.0, PollFlags::PRI)];
        let timeout = Timespec::try_from(timeout).map_err(|_| Errno::INVAL)?;
        match poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(polled[0].revents().contains(PollFlags::PRI)),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What changes the table is in the tests with real swap.
    #[test]
    fn the_table_can_be_watched() {
        let changes = Changes::watch().unwrap();
        // Other tests may swap something on or off meanwhile.
        changes.wait(Duration::ZERO).unwrap();
    }
}
