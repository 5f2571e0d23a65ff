//! The thread of write-back.

use std::io;
use std::sync::Arc;

use compcache_host::Background;

use super::file_content::Shared;

/// The thread that writes out what has been dirty for long.
#[derive(Debug)]
pub(super) struct Flusher {
    // In the order in which they end.
    _thread: Background,
    _left: Left,
}

impl Flusher {
    pub(super) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let served = Arc::clone(shared);
        let thread = shared.write_back.wake.spawn("files/flush", move |wake| {
            let write_back = &served.write_back;
            while !wake.is_stopped() {
                let age = served.limits.dirty_after;
                // Failures are noted in the files, for fsync and close.
                let _ = write_back.write_out_where(|content| content.is_overdue(age));
                write_back.drop_behind();
                write_back.sleep();
            }
        })?;
        Ok(Flusher {
            _thread: thread,
            _left: Left(Arc::clone(shared)),
        })
    }
}

/// The files that are dirty at the end.
#[derive(Debug)]
struct Left(Arc<Shared>);

impl Drop for Left {
    fn drop(&mut self) {
        // Files whose pages could not be written out hold on to what they share, and the other
        // way round.
        let lost = std::mem::take(&mut *self.0.write_back.files.lock());
        if !lost.is_empty() {
            tracing::error!("dirty pages of {} files are lost", lost.len());
        }
    }
}
