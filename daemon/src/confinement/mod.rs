//! What a process of ours gives up once it is set up, and before it has a second thread: capabilities and
//! system calls that its work never needs. A fault in a mount, or in a device, is worth less then.
//!
//! | process | capabilities | system calls |
//! |---|---|---|
//! | devices and control socket | [`DEVICES`](capabilities::DEVICES) to act with; the process of the mounts gets more from it | as the unit has it |
//! | mounts | [`MOUNTS`](capabilities::MOUNTS), for good | all but [`DENIED`](system_calls::DENIED) |
//!
//! The shipped unit's limits hold for both beside that; this holds however a daemon was started. A kernel that
//! refuses it is no reason not to serve, but a warning. Without root there is nothing to give up: such a daemon has
//! no capability, and needs `fusermount3`, which a filter for system calls would keep from its rights.

mod capabilities;
mod system_calls;

use std::io;

/// Confines the process of devices and control socket; gives warnings.
#[must_use]
pub(crate) fn devices() -> Vec<String> {
    let done = capabilities::keep(capabilities::DEVICES, capabilities::MOUNTS);
    warnings([("capabilities", done)])
}

/// Confines the process of the mounts; gives warnings.
#[must_use]
pub(crate) fn mounts() -> Vec<String> {
    warnings([
        // The bounding set first, which takes a capability that is given up then.
        (
            "bounding set of capabilities",
            capabilities::bound(capabilities::MOUNTS),
        ),
        (
            "capabilities",
            capabilities::keep(capabilities::MOUNTS, capabilities::MOUNTS),
        ),
        ("filter of system calls", system_calls::deny()),
    ])
}

fn warnings<const N: usize>(done: [(&str, io::Result<()>); N]) -> Vec<String> {
    let refused = |(what, result): (&str, io::Result<()>)| {
        let error = result.err()?;
        Some(format!(
            "this process keeps rights that it does not need, since the kernel refused it a smaller {what}: {error}"
        ))
    };
    done.into_iter().filter_map(refused).collect()
}
