//! Changes other than writes: truncating, punching holes, allocating, copying into.

use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering;

use compcache_engine::disk::PAGE;

use super::file_content::Content;
use super::mode::Mode;
use super::stamp::Stamp;

/// What a change does to the bytes of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// They are cut off or become zeros: truncate, from the smaller size on; punch a hole; zero a
    /// range.
    Zeros,
    /// They stay as they are, and what lies behind the end becomes zeros: allocate, truncate to
    /// a larger size.
    Nothing,
    /// They become something else: copy into, insert or collapse a range (up to the end).
    Other,
}

impl Content {
    /// Does something to the file that changes the bytes of `range`. Dirty pages are written
    /// out before, but for those that become zeros, which are only dropped, so that a file whose pages SOURCE
    /// has no room for can be cut. Pages held of that range are dropped after. `apply` does it on SOURCE and gives
    /// back what SOURCE says of the file then.
    ///
    /// # Errors
    /// Those of `apply` and of writing out; EOPNOTSUPP for [`Change::Other`] on a `--ram` mount,
    /// whose SOURCE has no data.
    pub fn change(
        &self,
        range: Range<u64>,
        change: Change,
        apply: impl FnOnce() -> io::Result<Stamp>,
    ) -> io::Result<()> {
        let _one = self.exclusive.lock();
        let zeroed = match change {
            Change::Zeros => whole_pages(&range),
            Change::Nothing | Change::Other => 0..0,
        };
        let needless = match self.shared.mode {
            Mode::Memory if change == Change::Other => {
                return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
            }
            Mode::Back => {
                self.write_out_but(zeroed.clone())?;
                self.dirty_in(zeroed)
            }
            Mode::Memory | Mode::Through => Vec::new(),
        };
        let _changing = self.begin_change();
        let applied = apply();
        if applied.is_ok() && !needless.is_empty() {
            self.discard_dirty(needless);
        }
        if self.shared.mode == Mode::Memory {
            if applied.is_ok() && change == Change::Zeros {
                self.zero_memory(range)?;
            }
        } else if let Some(id) = self.id
            && (change != Change::Nothing || applied.is_err())
        {
            // Also after a failure: how much was done is not known.
            let (first, end) = (range.start / PAGE, range.end.div_ceil(PAGE));
            self.shared.cache.invalidate(id, first, end);
        }
        let stamp = applied?;
        self.size.store(stamp.size, Ordering::Relaxed);
        self.state.lock().stamp = stamp;
        if let (Some(id), true) = (self.id, self.shared.mode != Mode::Memory) {
            // Behind the end there is nothing to remember.
            self.shared
                .cache
                .forget(id, stamp.size.div_ceil(PAGE), u64::MAX);
        }
        Ok(())
    }
}

/// The pages that lie in a range of bytes whole.
fn whole_pages(range: &Range<u64>) -> Range<u64> {
    let end = match range.end {
        u64::MAX => u64::MAX,
        end => end / PAGE,
    };
    let first = range.start.div_ceil(PAGE);
    first..end.max(first)
}
