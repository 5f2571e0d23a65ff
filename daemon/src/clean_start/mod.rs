//! A clean start: what a daemon does not keep of whoever has started it.
//!
//! A daemon outlives its starter and serves others. What the starter happened to have must not
//! end, slow or hinder it later: signals that are blocked or ignored, descriptors, limits of
//! resources, and, for a daemon that a command has started for itself, priorities and cgroups. Nor is
//! what others have given to it to be found on a disk after a crash.

mod dumps;
mod limits;
mod priority;
mod signals;

use std::io;

pub(crate) use limits::LimitTooLow;
pub(crate) use signals::ignore_signals;
pub use signals::reset_sigchld;

/// What was found, and could or could not be changed.
#[derive(Debug, Default)]
pub(crate) struct CleanStart {
    /// Signals that the starter ignores, and that are not to end this daemon either: `SIGHUP` under
    /// nohup(1), `SIGINT` of a shell's background job.
    pub(crate) ignored: Vec<i32>,
    /// What the user should know.
    pub(crate) warnings: Vec<String>,
}

/// Lays off what came from the starter, and forbids core dumps. To be called before any thread is
/// started, and before anything is opened. `own` says that a command has started this daemon for itself: then it keeps
/// neither the command's priorities nor its cgroups.
///
/// # Errors
/// [`LimitTooLow`] for a limit under which this daemon would be killed.
pub(crate) fn clean_start(own: bool) -> Result<CleanStart, LimitTooLow> {
    let mut warnings = Vec::new();
    let ignored = signals::reset();
    if let Err(error) = close_descriptors() {
        warnings.push(format!(
            "descriptors of whoever started this daemon stay open: {error}"
        ));
    }
    warnings.extend(dumps::forbid());
    let low = limits::lift()?;
    if !low.is_empty() {
        warnings.push(format!(
            "limits of whoever started this daemon stay: {}; raise them (ulimit -H), or start it as \
             root",
            low.join(", ")
        ));
    }
    if own {
        warnings.extend(priority::reset());
    }
    Ok(CleanStart { ignored, warnings })
}

/// Closes all descriptors but the standard ones.
fn close_descriptors() -> io::Result<()> {
    // SAFETY: this process has opened nothing yet, so nothing relies on these descriptors.
    match unsafe { libc::close_range(3, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
