//! The end of a mount that has to end, whatever SOURCE does.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Mount;
use crate::content::{Contents, Loss};
use crate::error::FilesError;
use crate::options::MountOptions;
use crate::patience::{Exhausted, retry_while_progressing};

/// How a mount has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Its dirty pages are written out, and it is gone.
    Unmounted,
    /// Its dirty pages are written out, and it is out of the tree; programs still have files open there.
    Detached,
    /// SOURCE did not take its dirty pages in time: it is gone, and they are lost.
    GivenUp(Arc<Loss>),
}

impl Mount {
    /// Writes dirty pages out and unmounts, lazily if it is in use. What fails is tried again. If
    /// SOURCE takes nothing for as long as [`MountOptions::give_up_after`], what is dirty is given up,
    /// which the log says file by file, and the connection to the kernel aborted, so that no program
    /// waits for it. Returns even if SOURCE never answers; an [`unmount`](Mount::unmount) may be under way.
    #[must_use]
    pub fn end(&self) -> Ending {
        if let Some(loss) = self.loss() {
            return Ending::GivenUp(loss);
        }
        let target = Arc::clone(&self.target);
        let attempt = move || -> Result<Ending, String> {
            if target.ended.is_set() {
                return Ok(Ending::Unmounted);
            }
            let sync = target.contents.sync();
            sync.map_err(|e| format!("SOURCE does not take dirty pages: {e}"))?;
            if !target.mounted.is_in_tree() {
                return Ok(Ending::Detached);
            }
            match target.take_out(false) {
                Ok(()) => {
                    target.ended.wait();
                    Ok(Ending::Unmounted)
                }
                Err(FilesError::Busy(_)) => match target.take_out(true) {
                    Ok(()) => Ok(Ending::Detached),
                    Err(error) => Err(error.to_string()),
                },
                Err(error) => Err(error.to_string()),
            }
        };
        let contents = &self.target.contents;
        let finished = contents.finish_by(&self.options, attempt);
        match (finished, self.loss()) {
            // By the thread that has served it.
            (_, Some(loss)) => Ending::GivenUp(loss),
            (Ok(ending), None) => ending,
            (Err(reason), None) => {
                // First, so that programs dirty nothing more.
                self.target.abort();
                let source = self.options.source.as_deref();
                Ending::GivenUp(contents.give_up(source, self.target.mounted.path(), reason))
            }
        }
    }

    /// What it has given up, at its end or after somebody else has unmounted it.
    #[must_use]
    pub fn loss(&self) -> Option<Arc<Loss>> {
        self.target.contents.loss().cloned()
    }
}

impl Contents {
    /// Writes out what is dirty in a mount that is gone. What SOURCE does not take, is given up as
    /// by [`Mount::end`].
    pub(super) fn finish(self: &Arc<Self>, options: &MountOptions, mountpoint: &Path) {
        if self.loss().is_some() || self.dirty_pages() == 0 {
            return;
        }
        let contents = Arc::clone(self);
        let sync = move || {
            let sync = contents.sync();
            sync.map_err(|e| format!("SOURCE does not take dirty pages: {e}"))
        };
        if let Err(reason) = self.finish_by(options, sync) {
            self.give_up(options.source.as_deref(), mountpoint, reason);
        }
    }

    /// Has `attempt`, which writes out all that is dirty, tried until it works or SOURCE takes nothing
    /// for too long; the reason then.
    fn finish_by<T: Send + 'static>(
        &self,
        options: &MountOptions,
        attempt: impl FnMut() -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        self.hurry();
        let patience = options.give_up_after;
        retry_while_progressing(patience, || self.last_progress(), attempt).map_err(|exhausted| {
            let seconds = patience.as_secs();
            match exhausted {
                Exhausted::Failed(error) => format!("{error}, for {seconds} s"),
                Exhausted::Silent => format!("SOURCE does not answer for {seconds} s"),
            }
        })
    }
}
