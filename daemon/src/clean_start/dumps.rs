//! Core dumps: none, since what is in this process's memory is everybody's.

use std::fs;
use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// What of a process's memory a core dump contains, core(5): bits for kinds of mappings.
const FILTER: &str = "/proc/self/coredump_filter";

/// Has no crash write this process's memory to a disk, nor to a program that gathers dumps. Returns a
/// warning for what the system has refused.
///
/// The limit is for dumps in files. Programs that gather them get them whatever it says, unless the
/// process is not dumpable; the kernel makes it dumpable for them again when a thread of a mount takes
/// another file system user, if `fs.suid_dumpable` is 2. Then the filter leaves nothing to be written.
///
/// The price: files below `/proc/PID` belong to root, and only root may attach a debugger, of a
/// daemon that is another user's too.
pub(super) fn forbid() -> Option<String> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // The filter first: later the file is root's.
    let done = clear_filter()
        .and_then(|()| setrlimit(Resource::Core, none).map_err(Into::into))
        .and_then(|()| {
            set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(io::Error::from)
        });
    let error = done.err()?;
    Some(format!(
        "a crash of this daemon may write what it holds to a disk: {error}; forbid core dumps \
         (sysctl kernel.core_pattern)"
    ))
}

fn clear_filter() -> io::Result<()> {
    match fs::write(FILTER, "0") {
        // A kernel that writes no core dumps.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
